"""One teacher pass for a whole sweep, on a real local Ray: shared, resumed, repaired, and never blocking it."""

import io
import os
import shutil
import signal as signals
import subprocess
import sys
import threading

import pytest

from kd_core.data.survey import summarize
from kd_core.store.files import read_json, write_json
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.engine.labelling import Labeller, num_workers_for
from sweeps.plan.plan import plan_sweep
from sweeps.plan.schedule import Labelling
from sweeps.terminal.progress import SweepProgress
from tests.damages import damage

EPOCHS = 12  # of 450 images, which are worth two labelling tasks


@pytest.fixture
def labelling(tiny):
    """Begins to label the signal of the tiny sweep with overrides; returns the epochs of each worker, and the log."""

    def run(store, *overrides):
        """Plan, and find out what is missing."""
        spec, log = read_spec(str(tiny), overrides), io.StringIO()
        with SweepProgress(log) as progress:
            plan = plan_sweep(spec, store, summarize(spec.data))
            labeller, (signal,) = Labeller(plan, lambda: 2, progress), plan.signals
            parts = labeller.labellings(signal, plan.teachers[0])
            for part in parts:
                labeller.started(part)
        return [each.epochs for each in parts], log.getvalue()

    return run


@pytest.mark.parametrize(
    ("num_epochs", "num_samples", "room", "tasks"),
    [(2, 72, 8, 1), (EPOCHS, 450, 2, 2), (200, 50_000, 8, 8), (3, 50_000, 8, 3), (1, 1, 0, 1)],
)
def test_no_more_workers_label_than_there_are_epochs_and_work_and_room_for(num_epochs, num_samples, room, tasks):
    assert num_workers_for(num_epochs, num_samples, room) == tasks


def test_workers_take_epochs_in_turn_so_that_the_first_come_first():
    parts = [Labelling(None, None, (1, 2, 3, 4, 5), part, 2) for part in range(2)]
    assert [each.epochs for each in parts] == [(1, 3, 5, 2, 4), (2, 4, 1, 3, 5)]
    assert Labelling(None, None, (2, 7), 0, 1).epochs == (2, 7)


def forget_results(store):
    """Make a finished sweep need its signal again."""
    for path in store.local.glob("trials/*/manifest.json"):
        path.unlink()


def test_of_a_longer_sweep_only_the_epochs_that_are_new_are_labelled(labelling, store):
    before = contents(store)
    epochs, log = labelling(store, "train.epochs=3")
    assert epochs == [(3,)]
    assert "labelling 1 epochs of signal resnet uniform" in log
    assert contents(store) == before
    assert labelling(store, "train.epochs=2") == ([], "")


def test_what_is_damaged_is_said_and_labelled_anew(labelling, store):
    (signal,) = store.signals()
    damage(signal.path / "epoch-00002.npy", "flipped")
    forget_results(store)
    epochs, log = labelling(store)
    assert "epoch-00002.npy: its sha256 is" in log
    assert "labelling it anew" in log
    assert epochs == [(2,)]
    assert signal.epochs() == {1}


def test_a_manifest_of_other_weights_is_said_and_all_of_it_labelled_anew(labelling, store):
    (signal,) = store.signals()
    identity = read_json(signal.path / "manifest.json")
    identity["teacher"]["weights"] = "0" * 64
    write_json(signal.path / "manifest.json", identity)
    forget_results(store)
    epochs, log = labelling(store)
    assert "teacher.weights is 0" in log
    assert epochs == [(1, 2)]
    assert not signal.epochs()


def contents(store):
    """When each file of the signals was written."""
    return {path: path.stat().st_mtime_ns for path in store.local.glob("signals/*/*")}


def test_labels_that_are_made_again_are_those_that_were_lost(sweep_here, store, students_of):
    (signal,) = store.signals()
    labels, students = {epoch: signal.logits(epoch).tobytes() for epoch in signal.epochs()}, students_of(store)
    signal.discard([2])
    forget_results(store)
    sweep_here(store)
    assert {epoch: signal.logits(epoch).tobytes() for epoch in signal.epochs()} == labels
    assert students_of(store) == students


def test_a_signal_that_cannot_be_stored_leaves_the_teacher_to_its_trials_which_end_in_the_same_students(
    sweep, store, tiny_store, students_of
):
    """A file lies where the folder of signals should be; the students of the other store had a stored signal."""
    for kind in ("signals", "trials"):
        shutil.rmtree(store.local / kind)
    (store.local / "signals").touch()
    outcome, log = sweep(store)
    assert outcome.ok
    assert "its trials run the teacher themselves" in log
    assert students_of(store) == students_of(tiny_store)
    assert len(students_of(store)) == 3
    assert store.sweep("tiny").index().signals == ()  # so that no report tells of passes that were shared


def test_two_sweeps_and_a_killed_one_at_the_same_signal_leave_one_whole_store(
    sweep, sweep_here, tiny, tmp_path, wait_until
):
    """Two drivers, each with its own Ray and two labelling tasks; one of them is killed while it labels."""
    store, kd_mixup = Store.at(tmp_path), "method: kd_mixup, teacher: resnet"
    sweep_here(store, "data.limit=1000", f"arms=[{{{kd_mixup}, train.epochs: 0, train.head_epochs: 1}}]")  # the teacher
    edits = ["data.limit=1000", f"arms=[{{{kd_mixup}}}]", f"train.epochs={EPOCHS}", "signal=stored"]
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), f"--storage={store.root}", "--set=name=killed"]
    command += [f"--set={edit}" for edit in edits]
    killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)

    def kill():
        """Kill the driver as soon as one epoch is stored."""
        wait_until(lambda: list(store.local.glob("signals/*/epoch-*.npy")), killed)
        os.killpg(killed.pid, signals.SIGKILL)

    wait_until(lambda: list(store.local.glob("signals/*/manifest.json")), killed)
    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    outcome, log = sweep(store, *edits, "name=living")
    killer.join()
    assert killed.wait() == -signals.SIGKILL
    assert f"labelling {EPOCHS} epochs" in log
    assert outcome.counts == {"finished": 1, "stopped": 0, "failed": 0, "reused": 0}
    (signal,) = store.signals()
    assert {path.name for path in signal.path.iterdir()} == {
        "manifest.json",
        *(f"epoch-{epoch:05d}.npy" for epoch in range(1, EPOCHS + 1)),
    }
    assert not signal.damaged(range(1, EPOCHS + 1))
    assert not list(store.local.glob("signals/*/*.tmp"))
