import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kd_core.measure.outcomes import outcomes_of
from kd_core.store.files import DamagedError, read_sealed, write_json
from kd_core.store.lease import LEASE_S
from kd_core.store.record import Record
from kd_core.store.records import Store
from tests.damages import DAMAGES, damage

OUTCOMES = outcomes_of(np.eye(3, dtype=np.float32), np.arange(3), temperature=2.0)
FILES = ["config.json", "journal.jsonl", "student.safetensors", "student.safetensors.sha256", "outcomes-test.npz"]


@pytest.fixture
def record(store) -> Record:
    return store.trial("0123456789abcdef")


@pytest.fixture
def complete(record) -> Record:
    """A finished trial with every file."""
    record.begin({"seed": 0}, threads=1)
    record.append({"epoch": 1, "loss": 0.5})
    sha256 = record.write_weights(b"some weights, more than twenty bytes")
    verdict = {"metrics": {"test/ece": 0.1}, "weights_sha256": sha256, "recipe": {"seed": 0}, "threads": 1}
    verdict |= {"made_from": {}}
    record.finish({"validation": OUTCOMES, "test": OUTCOMES}, verdict)
    assert record.status == "finished"
    assert record.problems() == []
    return record


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
    record.write_checkpoint(1, b"weights")
    record.finish({"validation": OUTCOMES}, {"metrics": {"test/ece": 0.1}})
    assert record.status == "finished"
    assert record.verdict()["metrics"] == {"test/ece": 0.1}
    assert names(record.path) == {"config.json", "heartbeat.json", "outcomes-validation.npz", "result.json"}
    assert record.verdict()["files"].keys() == {"config.json", "outcomes-validation.npz"}


def test_a_stopped_trial_says_so_until_it_begins_again(record):
    record.begin({"seed": 0})
    assert record.stop() is None
    record.write_stop({"sweep": "tiny", "rung": 3})
    assert (record.status, record.stop()) == ("stopped", {"sweep": "tiny", "rung": 3})
    (record.path / "stopped.json").write_text("{")
    assert (record.status, record.stop()) == ("pending", None)
    assert "stopped.json: is damaged" in record.problems()[0]
    record.write_stop({"sweep": "tiny", "rung": 3})
    record.begin({"seed": 0})
    assert (record.status, record.stop()) == ("pending", None)


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


def test_a_finished_trial_has_no_file_of_a_worker_that_was_still_ending_when_it_began(tmp_path):
    """A killed process ends only when the disk has answered it."""
    record = Store.at(tmp_path).trial("0123456789abcdef")
    code = "import sys; from pathlib import Path; from kd_core.store.files import writing\n"
    code += "with writing(Path(sys.argv[1])) as temporary: temporary.touch(); print(flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, record.weights], **pipes) as ending:
        ending.stdout.readline()
        record.begin({"seed": 0})
        assert len(names(record.path)) == 2
        ending.kill()
    record.finish({"validation": OUTCOMES, "test": OUTCOMES}, {})
    assert not list(record.path.glob("*.tmp"))


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_product_with_a_damaged_file_is_complete_no_more_once_that_is_known(complete, name, kind):
    damage(complete.path / name, kind)
    if kind != "flipped":  # has the size that it had, and is found out by whoever reads it
        assert complete.status == "damaged"
        assert complete.damage() == f"{complete.path / name}: is missing or was cut"
        assert complete.verdict() is None
    assert complete.begun() == {"recipe": {"seed": 0}, "threads": 1, "made_from": {}}
    (problem,) = complete.problems()
    assert problem.startswith(f"{complete.path / name}: is ")
    assert (complete.status, complete.verdict()) == ("damaged", None)
    assert complete.has_weights() == (name != "student.safetensors")
    complete.finish({"validation": OUTCOMES, "test": OUTCOMES}, {"metrics": {}})
    assert complete.status == "finished"
    assert not [each for each in names(complete.path) if "damaged" in each]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_verdict_is_believed_by_nobody_and_the_weights_are_known_without_it(complete, kind):
    path = complete.path / "result.json"
    damage(path, kind)
    assert complete.verdict() is None
    assert complete.status == ("pending" if kind == "deleted" else "damaged")
    assert complete.has_weights()
    assert complete.problems() == ([] if kind == "deleted" else [complete.damage()])
    damage(complete.weights, "flipped")
    assert not complete.has_weights()


def test_an_edited_figure_is_found_out(complete):
    path = complete.path / "result.json"
    path.write_text(path.read_text().replace("0.1", "0.2"))
    assert complete.damage() == f"{path}: is damaged: its checksum is another"
    assert complete.verdict() is None


def test_a_record_of_an_older_version_is_taken_as_it_is_if_it_can_be_read(complete):
    verdict = complete.verdict()
    del verdict["files"]
    (complete.path / "result.json").write_text(json.dumps(verdict))
    assert complete.status == "finished"
    assert complete.problems() == []
    damage(complete.path / "outcomes-test.npz", "cut")
    damage(complete.weights, "flipped")
    problems = complete.problems()
    assert [problem.split(": ")[1].startswith("is damaged") for problem in problems] == [True, True]


@pytest.mark.parametrize("kind", DAMAGES[:-1])
def test_damaged_outcomes_are_one_sentence(complete, kind):
    damage(complete.path / "outcomes-test.npz", kind)
    with pytest.raises(DamagedError, match=r"outcomes-test\.npz: is damaged: "):
        complete.outcomes("test")


def test_a_journal_is_read_up_to_its_first_damaged_row_and_goes_on_from_there(record):
    for epoch in (1, 2, 3):
        record.append({"epoch": epoch, "loss": 1 / epoch})
    path = record.path / "journal.jsonl"
    path.write_text(path.read_text().replace("0.5", "0.6"))
    assert [row["epoch"] for row in record.journal()] == [1]
    (problem,) = record.problems()
    assert problem.endswith("journal.jsonl: line 2 is damaged: its checksum is another")
    record.begin({})
    assert record.problems() == []
    path.write_bytes(path.read_bytes()[:-1])  # of its end of line only
    record.append({"epoch": 2, "loss": 0.5})
    assert record.journal() == [{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5}]


def test_two_checkpoints_are_kept_in_turn(record):
    for epoch in (1, 2, 10):
        record.write_checkpoint(epoch, f"after {epoch}".encode())
    assert [read_sealed(path) for path in record.checkpoints()] == [b"after 10", b"after 2"]
    damage(record.checkpoints()[0], "flipped")
    (problem,) = record.problems()
    assert "checkpoint-000000010.pt: is damaged" in problem
