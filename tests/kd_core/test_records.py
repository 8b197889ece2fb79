import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from kd_core.outcomes import outcomes_of
from kd_core.records import LEASE_S, Record, Store, read_json, write_bytes, write_json

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


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = UPath(tmp_path / "value.json")
    write_json(path, {"number": 0, "filling": [0] * 20_000})
    done = threading.Event()

    def poll() -> set[int]:
        seen = set()
        while not done.is_set():
            value = json.loads(path.read_bytes())
            assert value["filling"] == [value["number"]] * 20_000
            seen.add(value["number"])
        return seen

    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(poll)
        for number in range(60):
            write_json(path, {"number": number, "filling": [number] * 20_000})
        done.set()
    assert len(seen.result()) > 1
    assert names(tmp_path) == {"value.json"}


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, {"value": float("nan")}),
        lambda path: write_json(path, {"value": object()}),
        lambda path: write_bytes(path, "not bytes"),  # type: ignore[arg-type]
    ],
    ids=["nan", "object", "text"],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, write):
    path = UPath(tmp_path / "value.json")
    write_json(path, {"value": 1})
    with pytest.raises((ValueError, TypeError)):
        write(path)
    assert read_json(path) == {"value": 1}
    assert names(tmp_path) == {"value.json"}


def test_a_replacement_that_fails_leaves_no_temporary_file(tmp_path):
    (tmp_path / "value.json" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"value\.json"):
        write_json(UPath(tmp_path / "value.json"), 1)
    assert names(tmp_path) == {"value.json"}


def test_the_status_is_what_the_files_say(record):
    assert record.status == "pending"
    record.begin({"seed": 0})
    assert record.config() == {"seed": 0}
    with record.heartbeat():
        assert record.status == "running"
    assert record.status == "pending"
    record.beat()
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


def test_a_heartbeat_keeps_beating_while_the_block_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("kd_core.records.LEASE_S", 0.4)
    record = Store.at(tmp_path).trial("key")
    record.begin({})
    with record.heartbeat():
        for _ in range(8):
            time.sleep(0.1)
            assert record.status == "running"
    time.sleep(0.5)
    assert record.status == "pending"


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


def test_a_record_is_in_other_hands_while_another_living_process_works_on_it(record):
    def beat(host, pid):
        write_json(record.path / "heartbeat.json", {"time": time.time(), "host": host, "pid": pid})

    assert not record.in_other_hands
    record.beat()
    assert not record.in_other_hands
    beat("elsewhere", 1)
    assert record.in_other_hands
    assert record.status == "running"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        beat(socket.gethostname(), process.pid)
        assert record.in_other_hands
        process.kill()
    assert not record.in_other_hands
    assert record.status == "pending"
