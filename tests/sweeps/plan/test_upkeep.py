"""Maintenance of stored signals: verified against their teacher, and removed if no sweep needs them."""

import json

import numpy as np
import pytest

from kd_core.store.evaluation import ARRAYS
from kd_core.store.records import Store
from sweeps.plan.upkeep import problems_of, unneeded_signals
from tests.answers import write_answers
from tests.products import finish, members_of, write_members


def test_a_stored_signal_is_what_the_teacher_says(kdsweep, store):
    done = kdsweep("verify", "tiny", "--storage", store.root, "--samples", 60, "--json")
    assert done.exit_code == 0
    (found,) = json.loads(done.stdout)["signals"]
    assert (found["label"], found["problem"], found["argmax_flips"]) == ("resnet uniform", None, 0)
    assert found["num_slots"] >= 32
    assert found["max_error"] < 1e-2
    assert "arg-max flips 0" in done.stderr


def test_another_teachers_logits_are_found_out(kdsweep, store):
    (signal,) = store.signals()
    for epoch in signal.epochs():
        shape = signal.logits(epoch).shape
        with signal.writing(epoch, *shape) as logits:
            logits[:] = np.random.default_rng(0).normal(size=shape)
    done = kdsweep("verify", "tiny", "--storage", store.root, "--json")
    assert done.exit_code == 1
    (found,) = json.loads(done.stdout)["signals"]
    assert "is not what the teacher says" in found["problem"]
    assert found["argmax_flips"] > 0


def test_a_damaged_epoch_is_found_out(kdsweep, store):
    (signal,) = store.signals()
    path = signal.path / "epoch-00001.npy"
    path.write_bytes(path.read_bytes()[:-1])
    done = kdsweep("verify", "tiny", "--storage", store.root)
    assert done.exit_code == 1
    assert "epoch-00001.npy: its sha256 is" in done.stderr


def test_a_deleted_epoch_is_found_out_and_a_pruned_signal_is_no_problem(kdsweep, store):
    (signal,) = store.signals()
    (signal.path / "epoch-00001.npy").unlink()
    done = kdsweep("verify", "tiny", "--storage", store.root, "--samples", 0, "--json")
    assert done.exit_code == 1
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem == f"{signal.path / 'epoch-00001.npy'}: is not stored; a run that needs it labels it anew"
    kdsweep("signal", "prune", "--finished", "--storage", store.root)
    done = kdsweep("verify", "tiny", "--storage", store.root)
    assert (done.exit_code, done.stderr) == (0, "tiny: everything is whole\n")


def test_verifying_a_sweep_that_is_not_there_is_one_sentence(kdsweep, tmp_path):
    done = kdsweep("verify", "nothing", "--storage", tmp_path)
    assert done.exit_code == 2
    assert "no sweep named nothing" in done.stderr


def signal_of(store, key, *epochs):
    """A signal with these epochs, all zeros."""
    record = store.signal(key)
    record.begin({"key": key})
    for epoch in epochs:
        with record.writing(epoch, 4, 2) as logits:
            logits[:] = 0
    return record


def sweep_of(store, name, signals, finished):
    """The folder of a sweep of one trial that uses some epochs of some signals."""
    trial = store.trial(f"trial-of-{name}")
    if finished:
        finish(trial)
    listed = [{"key": key, "label": key, "teacher": "resnet", "epochs": epochs} for key, epochs in signals.items()]
    entry = {"key": trial.key, "label": "classic seed 0", "arm": "classic", "teacher": None, "seed": 0}
    write_members(store.sweep(name), "", {"sweep": name, "signals": listed, "trials": [entry]})


@pytest.fixture
def signals(tmp_path):
    """Signals that an unfinished sweep, a finished one and no sweep need, and one with more epochs than needed."""
    store = Store.at(tmp_path)
    for key, epochs in (("both", 2), ("finished", 2), ("nobody", 1), ("longer", 5)):
        signal_of(store, key, *range(1, epochs + 1))
    sweep_of(store, "going", {"both": 2, "longer": 3}, finished=False)
    sweep_of(store, "done", {"both": 2, "finished": 2, "longer": 4}, finished=True)
    return store


@pytest.mark.parametrize(
    ("finished", "goes"),
    [
        (False, {"nobody": (1,), "longer": (5,)}),
        (True, {"nobody": (1,), "longer": (4, 5), "finished": (1, 2)}),
    ],
)
def test_what_no_sweep_needs_can_go(signals, finished, goes):
    unneeded = unneeded_signals(signals, finished)
    assert {each.record.key: each.epochs for each in unneeded} == goes
    assert all(each.size_bytes == each.record.size_of(each.epochs) > 0 for each in unneeded)


def test_prune_frees_it_and_again_there_is_nothing_to_free(kdsweep, signals):
    would = kdsweep("signal", "prune", "--storage", signals.root, "--dry-run", "--json")
    assert len(signals.signals()) == 4
    done = kdsweep("signal", "prune", "--storage", signals.root, "--json")
    assert json.loads(done.stdout) == json.loads(would.stdout)
    assert json.loads(done.stdout)["freed_bytes"] > 0
    assert {record.key: len(record.epochs()) for record in signals.signals()} == {"both": 2, "finished": 2, "longer": 4}
    assert json.loads(kdsweep("signal", "prune", "--storage", signals.root, "--json").stdout)["signals"] == []


def test_what_is_being_labelled_stays(signals):
    with signals.signal("nobody").lease(2).held():
        assert "nobody" not in {each.record.key for each in unneeded_signals(signals, finished=True)}


def test_damaged_evaluations_are_found(store):
    write_answers(store, "tiny")
    assert list(problems_of(store, "tiny")) == []
    path = store.evaluation(f"corruption-{members_of(store.sweep('tiny'))['trials'][0]['key']}").path / ARRAYS
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    [problem] = problems_of(store, "tiny")
    assert f"{path}: is damaged" in problem
