import pytest

from kd_core.store.journal import Journal, JournalWriter, read_journal
from kd_core.store.manifest import Begun, File
from kd_core.store.records import Store

BEGUN = Begun(recipe={"seed": 0}, threads=1, made_from={})


@pytest.fixture(params=["folder", "object store"])
def path(tmp_path, request):
    root = str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}"
    return Store.at(root).root / "journal.jsonl"


def rows(*epochs: int) -> list[dict[str, float]]:
    return [{"epoch": epoch, "loss": 1 / epoch} for epoch in epochs]


def written(path, *epochs: int) -> JournalWriter:
    """A journal of these epochs, gone on with if there is one."""
    writer = JournalWriter(path, BEGUN, read_journal(path))
    for row in rows(*epochs):
        writer.append(row)
    return writer


def test_a_journal_takes_every_epoch_once(path):
    assert read_journal(path) == Journal()
    writer = written(path, 1, 2, 1, 2, 3, 3)
    journal = read_journal(path)
    assert (journal.begun, journal.epochs, journal.num_epochs) == (BEGUN, rows(1, 2, 3), 3)
    with pytest.raises(ValueError, match="Out of range"):
        writer.append({"epoch": 4, "loss": float("nan")})
    assert read_journal(path).epochs == writer.epochs == rows(1, 2, 3)
    assert writer.file == File.of(path.read_bytes())


def test_a_journal_knows_the_weights_that_were_written_last(path):
    assert read_journal(path).weights_sha256 == ""
    writer = written(path, 1)
    for sha256 in ("a", "a", "b"):
        writer.add_weights(sha256)
    journal = read_journal(path)
    assert (journal.weights_sha256, journal.epochs, len(journal.lines)) == ("b", rows(1), 4)


def test_a_journal_is_read_up_to_its_first_damaged_row_and_goes_on_from_there(path):
    written(path, 1, 2, 3)
    path.write_text(path.read_text().replace("0.5", "0.6"))
    journal = read_journal(path)
    assert journal.epochs == rows(1)
    assert journal.problem == f"{path}: line 3 is damaged: its checksum is another"
    written(path)
    assert read_journal(path).problem == ""
    path.write_bytes(path.read_bytes()[:-1])  # of its end of line only
    written(path, 2)
    assert read_journal(path).epochs == rows(1, 2)


def test_a_journal_that_says_not_what_was_begun_is_of_another_version(path):
    written(path, 1)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    journal = read_journal(path)
    assert (journal.begun, journal.epochs) == (None, [])
    assert journal.problem == f"{path}: was written by another version of kd-sweeps"


def test_going_on_writes_nothing_that_is_there(path):
    written(path, 1)
    before = path.read_bytes()
    written(path, 1)
    assert path.read_bytes() == before
    JournalWriter(path, BEGUN.model_copy(update={"threads": 2}), read_journal(path))
    assert read_journal(path).begun.threads == 2
    assert read_journal(path).epochs == rows(1)
