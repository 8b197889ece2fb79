"""One teacher pass for a whole sweep, on a real local Ray: shared, resumed, mended, and never in the way."""

import io
import os
import shutil
import signal as signals
import subprocess
import sys
import time

import pytest

from kd_core.records import Store
from sweeps.progress import SweepProgress
from sweeps.run import run_sweep
from sweeps.spec import read_spec


def sweep(tiny, store, *overrides):
    """Run the tiny sweep with overrides in a store; gives the outcome and the log."""
    log = io.StringIO()
    with SweepProgress(log) as progress:
        outcome = run_sweep(read_spec(str(tiny), overrides), store, progress)
    return outcome, log.getvalue()


@pytest.fixture(scope="module")
def finished(tiny, tmp_path_factory, ray_cluster):
    """A store with the tiny sweep finished, its signal stored; only to be read."""
    store = Store.at(tmp_path_factory.mktemp("finished"))
    outcome, log = sweep(tiny, store)
    assert outcome.ok
    assert "finished  signal resnet uniform  2 epochs" in log
    return store


@pytest.fixture
def store(finished, tmp_path):
    """A copy of the finished store."""
    shutil.copytree(finished.local, tmp_path / "runs")
    return Store.at(tmp_path / "runs")


def weights(store):
    """Every student of a store by its trial's key, as bytes."""
    return {path.parent.name: path.read_bytes() for path in store.local.glob("trials/*/student.safetensors")}


def forget_results(store):
    """Let a finished sweep need its signal once more."""
    for path in store.local.glob("trials/*/result.json"):
        path.unlink()


def test_stored_and_live_sweeps_end_in_the_same_students_and_only_one_labels(tiny, finished, tmp_path):
    live = Store.at(tmp_path)
    _, log = sweep(tiny, live, "signal=live")
    assert "signal" not in log
    assert not live.signals()
    (signal,) = finished.signals()
    assert signal.epochs() == {1, 2}
    assert weights(finished) == weights(live)
    assert len(weights(finished)) == 3


def test_a_longer_sweep_labels_only_the_epochs_that_are_new(tiny, store):
    (signal,) = store.signals()
    before = {path: path.stat().st_mtime_ns for path in signal.path.glob("epoch-*.npy")}
    outcome, log = sweep(tiny, store, "train.epochs=3")
    assert outcome.ok
    assert "labelling 1 epochs of signal resnet uniform" in log
    assert signal.epochs() == {1, 2, 3}
    assert before.items() <= {path: path.stat().st_mtime_ns for path in signal.path.glob("epoch-*.npy")}.items()


def test_what_is_damaged_is_said_and_labelled_anew(tiny, store):
    expected, (signal,) = weights(store), store.signals()
    path = signal.path / "epoch-00002.npy"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    forget_results(store)
    outcome, log = sweep(tiny, store)
    assert outcome.ok
    assert "epoch-00002.npy: its sha256 is" in log
    assert "labelling it anew" in log
    assert "labelling 1 epochs" in log
    assert weights(store) == expected


def test_a_manifest_of_other_weights_is_said_and_all_of_it_labelled_anew(tiny, store):
    (signal,) = store.signals()
    manifest = signal.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"weights": "', '"weights": "0'))
    forget_results(store)
    outcome, log = sweep(tiny, store)
    assert outcome.ok
    assert "teacher.weights is 0" in log
    assert "labelling 2 epochs" in log


def test_a_teacher_that_cannot_be_stored_leaves_its_trials_to_ask_it_themselves(tiny, store):
    """A file lies where the folder of signals should be."""
    shutil.rmtree(store.local / "signals")
    (store.local / "signals").touch()
    forget_results(store)
    outcome, log = sweep(tiny, store)
    assert outcome.ok
    assert "its trials ask the teacher themselves" in log


def test_two_sweeps_and_a_killed_one_at_the_same_signal_leave_one_whole_store(tiny, tmp_path):
    """Two drivers, each with its own Ray and two labelling tasks; one of them is killed while it labels."""
    store, edits = Store.at(tmp_path / "runs"), ["data.limit=1000", "train.epochs=8", "arms.1.temperature=[2, 4]"]
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), f"--storage={store.root}"]
    command += [f"--set={edit}" for edit in edits]
    subprocess.run([*command, "--set=arms=[{method: kd_mixup, teacher: resnet, train.epochs: 0}]"], check=True)
    drivers = [
        subprocess.Popen([*command, f"--set=name={name}"], stderr=subprocess.DEVNULL, start_new_session=True)
        for name in ("killed", "living")
    ]
    deadline = time.monotonic() + 300
    while not list(store.local.glob("signals/*/epoch-*.npy")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(drivers[0].pid, signals.SIGKILL)
    assert drivers[1].wait(timeout=400) == 0
    (signal,) = store.signals()
    assert {path.name for path in signal.path.iterdir()} == {
        "manifest.json",
        *(f"epoch-{epoch:05d}.npy" for epoch in range(1, 9)),
    }
    assert not signal.damaged(range(1, 9))
    assert not list(store.local.rglob("*.tmp"))
