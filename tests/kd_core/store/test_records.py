import time
from pathlib import Path

import numpy as np
import pytest

from kd_core.measure.outcomes import outcomes_of
from kd_core.store.files import write_bytes, write_json
from kd_core.store.lease import LEASE_S
from kd_core.store.records import Record, Store

OUTCOMES = outcomes_of(np.eye(3, dtype=np.float32), np.arange(3), temperature=2.0)


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path) -> Store:
    """A store in a folder, and one in fsspec's memory file system."""
    return Store.at(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")


@pytest.fixture
def record(store) -> Record:
    return store.trial("0123456789abcdef")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_status_is_what_the_files_say(record):
    assert record.status == "pending"
    record.begin({"seed": 0})
    assert record.config() == {"seed": 0}
    with record.lease.held():
        assert record.status == "running"
    assert record.status == "pending"
    record.lease.renew()
    assert record.status == "running"
    write_json(record.path / "heartbeat.json", {"time": time.time() - LEASE_S - 1, "host": "elsewhere", "pid": 1})
    assert record.status == "pending"
    record.fail("ValueError: no", "Traceback …")
    assert record.status == "failed"
    assert record.failure()["error"] == "ValueError: no"
    record.begin({"seed": 0})
    assert record.failure() is None
    write_bytes(record.checkpoint, b"weights")
    record.finish({"validation": OUTCOMES}, {"metrics": {"test/ece": 0.1}})
    assert record.status == "finished"
    assert record.verdict() == {"metrics": {"test/ece": 0.1}}
    assert names(record.path) == {"config.json", "heartbeat.json", "outcomes-validation.npz", "result.json"}


def test_a_verdict_may_say_stopped(record):
    record.finish({}, {"stopped": {"rung": 3}})
    assert record.status == "stopped"


def test_the_journal_takes_every_epoch_once(record):
    assert record.journal() == []
    for epoch in (1, 2, 1, 2, 3, 3):
        record.append({"epoch": epoch, "loss": 1 / epoch})
    assert record.journal() == [{"epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]
    with pytest.raises(ValueError, match="Out of range"):
        record.append({"epoch": 4, "loss": float("nan")})
    assert len(record.journal()) == 3


def test_outcomes_come_back_from_a_record(record):
    record.finish({"test": OUTCOMES}, {})
    assert record.outcomes("test").logits is None
    np.testing.assert_array_equal(record.outcomes("test", with_logits=True).logits, OUTCOMES.logits)
    with pytest.raises(FileNotFoundError):
        record.outcomes("validation")


def test_a_sweep_lists_its_members(store):
    assert list(store.sweeps()) == []
    with pytest.raises(FileNotFoundError, match="no sweep named first"):
        store.sweep("first").members()
    for name in ("second", "first"):
        store.sweep(name).write("name: x\n", {"sweep": name, "trials": []})
    assert [sweep.name for sweep in store.sweeps()] == ["first", "second"]
    assert store.sweep("first").members() == {"sweep": "first", "trials": []}


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "..", "a b", "-x", "a\n", "a\\b", "x" * 101])
def test_a_sweep_name_that_is_no_file_name_is_refused(store, name):
    with pytest.raises(ValueError, match="is no sweep name"):
        store.sweep(name)


def test_teachers_and_trials_differ_in_two_names(store):
    teacher, trial = store.teacher("key"), store.trial("key")
    assert (teacher.weights.name, trial.weights.name) == ("weights.safetensors", "student.safetensors")
    teacher.finish({}, {"a": 1})
    assert names(teacher.path) == {"card.json"}
    assert teacher.key == "key"
    assert trial.status == "pending"


def test_a_relative_storage_is_the_same_folder_for_every_worker(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = Store.at("runs")
    assert store.local == tmp_path / "runs"
    assert store.root.is_absolute()
    assert Store.at("memory://runs").local is None


def test_a_file_url_is_a_local_store(tmp_path):
    assert Store.at(f"file://{tmp_path}").local == tmp_path
