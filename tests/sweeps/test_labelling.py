"""One teacher pass for a whole sweep, on a real local Ray: shared, resumed, mended, and never in the way."""

import io
import os
import signal as signals
import subprocess
import sys
import time

import pytest

from kd_core.records import Store
from sweeps.progress import SweepProgress
from sweeps.run import run_sweep
from sweeps.spec import read_spec


@pytest.fixture
def sweep(tiny, tmp_path, ray_cluster):
    """Run the tiny sweep with overrides in a store of its own name; gives the store, the outcome and the log."""

    def run(*overrides, store="runs"):
        log, store = io.StringIO(), Store.at(tmp_path / store)
        with SweepProgress(log) as progress:
            outcome = run_sweep(read_spec(str(tiny), overrides), store, progress)
        return store, outcome, log.getvalue()

    return run


def weights(store):
    """Every student of a store by its trial's key, as bytes."""
    return {path.parent.name: path.read_bytes() for path in store.local.glob("trials/*/student.safetensors")}


def forget_results(store):
    """Let a finished sweep need its signal once more."""
    for path in store.local.glob("trials/*/result.json"):
        path.unlink()


def test_stored_and_live_sweeps_end_in_the_same_students_and_only_one_labels(sweep):
    stored, outcome, log = sweep("signal=stored", store="stored")
    live, _, live_log = sweep("signal=live", store="live")
    assert outcome.ok
    assert "finished  signal resnet uniform  2 epochs" in log
    assert "signal" not in live_log
    assert not live.signals()
    (signal,) = stored.signals()
    assert signal.epochs() == {1, 2}
    assert weights(stored) == weights(live)
    assert len(weights(stored)) == 3


def test_a_longer_sweep_labels_only_the_epochs_that_are_new(sweep):
    store, _, _ = sweep()
    (signal,) = store.signals()
    before = {path: path.stat().st_mtime_ns for path in signal.path.glob("epoch-*.npy")}
    _, outcome, log = sweep("train.epochs=3")
    assert outcome.ok
    assert "labelling 1 epochs of signal resnet uniform" in log
    assert signal.epochs() == {1, 2, 3}
    assert before.items() <= {path: path.stat().st_mtime_ns for path in signal.path.glob("epoch-*.npy")}.items()


def test_what_is_damaged_is_said_and_labelled_anew(sweep):
    store, _, _ = sweep()
    expected, (signal,) = weights(store), store.signals()
    path = signal.path / "epoch-00002.npy"
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    forget_results(store)
    _, outcome, log = sweep()
    assert outcome.ok
    assert "epoch-00002.npy: its sha256 is" in log
    assert "labelling it anew" in log
    assert "labelling 1 epochs" in log
    assert weights(store) == expected


def test_a_manifest_of_other_weights_is_said_and_all_of_it_labelled_anew(sweep):
    store, _, _ = sweep()
    (signal,) = store.signals()
    manifest = signal.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"weights": "', '"weights": "0'))
    forget_results(store)
    _, outcome, log = sweep()
    assert outcome.ok
    assert "teacher.weights is 0" in log
    assert "labelling 2 epochs" in log


def test_a_teacher_that_cannot_be_stored_leaves_its_trials_to_ask_it_themselves(sweep, tiny):
    """A file lies where the folder of signals should be."""
    store, _, _ = sweep("signal=live")
    forget_results(store)
    (store.local / "signals").touch()
    _, outcome, log = sweep()
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
