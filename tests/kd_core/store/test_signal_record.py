import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from kd_core.config.errors import SignalError
from kd_core.config.identity import digest, signal_identity
from kd_core.store.files import write_json
from kd_core.store.signal_record import SignalRecord

LOGITS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float16)
IDENTITY = {"teacher": {"weights": "abc"}, "view": {"padding": 4}, "stream_version": 1}


@pytest.fixture(params=["local", "remote"])
def record(request, tmp_path, monkeypatch) -> SignalRecord:
    """An empty signal in a folder, and one in fsspec's memory file system with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = UPath(tmp_path) if request.param == "local" else UPath(f"memory://{tmp_path.name}")
    return SignalRecord(root / "signals" / digest(IDENTITY))


def store(record: SignalRecord, *epochs: int) -> None:
    """Store LOGITS + epoch as each of these epochs."""
    for epoch in epochs:
        with record.writing(epoch, *LOGITS.shape) as logits:
            logits[:] = LOGITS + epoch


def damage(path: UPath, at: int) -> None:
    """Flip the lowest bit of one byte of a file."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))


def cached(record: SignalRecord, tmp_path: Path) -> list[Path]:
    """The epochs that were fetched into the cache of this node."""
    return sorted((tmp_path / "cache").rglob("epoch-*.npy"))


def test_an_epoch_is_read_back_as_it_was_written(record):
    assert record.epochs() == frozenset()
    record.begin(IDENTITY)
    store(record, 2, 1)
    record.check(IDENTITY)
    assert record.epochs() == {1, 2}
    assert record.has(2)
    assert not record.has(3)
    for epoch in (1, 2):
        read = record.logits(epoch)
        assert isinstance(read, np.memmap)
        assert read.dtype == np.float16
        np.testing.assert_array_equal(read, LOGITS + epoch)
    assert {path.name for path in record.path.iterdir()} == {"manifest.json", "epoch-00001.npy", "epoch-00002.npy"}


def test_numpy_alone_reads_a_stored_epoch(tmp_path):
    record = SignalRecord(UPath(tmp_path / "signal"))
    store(record, 1)
    np.testing.assert_array_equal(np.load(record.path / "epoch-00001.npy"), LOGITS + 1)


def test_an_epoch_appears_when_it_is_whole(record):
    def fail() -> None:
        with record.writing(1, *LOGITS.shape) as logits:
            logits[0] = 1
            assert not record.has(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert record.epochs() == frozenset()


@pytest.mark.parametrize("at", [0, 9, 130, -33, -1], ids=["magic", "header", "first", "last", "checksum"])
def test_a_flipped_bit_anywhere_is_refused_and_named(record, at):
    store(record, 1, 2)
    damage(record.path / "epoch-00001.npy", at)
    record.discard([2])
    store(record, 2)
    shutil.rmtree(Path(record._local(1)).parent, ignore_errors=True) if record._local(1) != record._stored(1) else None
    with pytest.raises(SignalError, match=r"epoch-00001\.npy: its sha256 is \w+ where \w+ was written; a run that"):
        record.logits(1)
    assert list(record.damaged([1, 2])) == [1]


def test_a_cut_or_empty_or_missing_epoch_is_refused(tmp_path):
    record = SignalRecord(UPath(tmp_path / "signal"))
    store(record, 1, 2)
    whole = (record.path / "epoch-00001.npy").read_bytes()
    for length in (len(whole) - 1, 40, 10, 0):
        (record.path / "epoch-00001.npy").write_bytes(whole[:length])
        with pytest.raises(SignalError, match="its sha256 is"):
            record.logits(1)
    with pytest.raises(SignalError, match=r"epoch-00003\.npy: is not stored; a run that needs it labels it anew"):
        record.logits(3)
    record.discard(record.damaged([1, 2]))
    assert record.epochs() == {2}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"teacher": {"weights": "xyz"}}, "teacher.weights is xyz where abc is needed"),
        ({"view": {"padding": 2}}, "view.padding is 2 where 4 is needed"),
        ({"view": {"padding": 4, "crop": "resized"}}, "view.crop is resized where None is needed"),
        ({"stream_version": 2}, "stream_version is 2 where 1 is needed"),
    ],
)
def test_a_manifest_of_something_else_is_refused_and_what_differs_is_named(record, edit, said):
    record.begin(IDENTITY | edit)
    store(record, 1)
    with pytest.raises(SignalError, match=said) as refused:
        record.check(IDENTITY)
    assert str(refused.value).count("\n") == 0
    assert "a run that needs it labels it anew" in str(refused.value)
    record.begin(IDENTITY)
    record.check(IDENTITY)
    assert record.epochs() == frozenset()


def test_a_manifest_that_is_missing_or_no_json_is_refused(record):
    with pytest.raises(SignalError, match="holds no teacher signal"):
        record.check(IDENTITY)
    record.begin(IDENTITY)
    (record.path / "manifest.json").write_text("{")
    with pytest.raises(SignalError, match="is damaged: it is no JSON"):
        record.check(IDENTITY)


def test_all_that_is_wrong_with_a_signal_is_told_by_line(record):
    record.begin(IDENTITY)
    store(record, 1, 3)
    assert record.problems([1, 3]) == []
    missing, *rest = record.problems([1, 2, 3])
    assert not rest
    assert missing.endswith("epoch-00002.npy: is not stored; a run that needs it labels it anew")
    path = record.path / "manifest.json"
    write_json(path, {"teacher": "another"})
    assert record.problems([1]) == [f"{path}: is that of another signal; a run that needs it labels it anew"]
    path.write_text("{}")
    assert record.problems([1]) == [f"{path}: is damaged: it holds nothing; a run that needs it labels it anew"]


def test_to_begin_again_changes_nothing(record):
    record.begin(IDENTITY)
    store(record, 1)
    record.begin(json.loads(json.dumps(IDENTITY)))
    assert record.epochs() == {1}


def test_a_remote_epoch_is_fetched_once_a_node(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    record = SignalRecord(UPath(f"memory://{tmp_path.name}/once"))
    store(record, 1)
    shutil.rmtree(tmp_path / "cache")
    record.logits(1)
    (fetched,) = cached(record, tmp_path)
    written = fetched.stat().st_mtime_ns
    (record.path / "epoch-00001.npy").unlink()
    np.testing.assert_array_equal(record.logits(1), LOGITS + 1)
    assert cached(record, tmp_path) == [fetched]
    assert fetched.stat().st_mtime_ns == written


def test_a_cached_epoch_that_was_damaged_is_fetched_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    record = SignalRecord(UPath(f"memory://{tmp_path.name}/anew"))
    store(record, 1)
    damage(UPath(cached(record, tmp_path)[0]), 140)
    with pytest.raises(SignalError, match="its sha256 is"):
        record.logits(1)
    np.testing.assert_array_equal(record.logits(1), LOGITS + 1)


def test_what_is_cleared_is_gone_here_and_from_the_cache(record, tmp_path):
    record.begin(IDENTITY)
    store(record, 1, 2)
    assert record.size_of([1]) == (record.path / "epoch-00001.npy").stat().st_size
    record.clear()
    assert not record.exists
    assert not cached(record, tmp_path)
    record.clear()


def test_a_signal_is_being_labelled_while_somebody_holds_an_epoch(record):
    assert not record.being_labelled
    record.begin(IDENTITY)
    with record.lease(1).held():
        assert record.being_labelled
        assert record.epochs() == frozenset()
    assert not record.being_labelled


def test_the_identity_is_what_changes_the_logits_and_nothing_else(trial):
    def identity(**edits):
        return digest(signal_identity(trial("kd_mixup", **edits), "data", "weights"))

    teacher = trial("kd_mixup").teacher.model_dump()
    recipe = {"epochs": 9, "batch_size": 8, "precision": "bfloat16"}
    for same in ({"temperature": 8}, {"alpha": 0.5}, {"seed": 3}, {"train": recipe}):
        assert identity(**same) == identity()
    assert digest(signal_identity(trial("cud"), "data", "weights")) == identity()
    for other in ({"stream_seed": 1}, {"view": {"padding": 2}}, {"mixup": {"fraction": 0.5}}):
        assert identity(**other) != identity()
    assert identity(teacher=teacher | {"precision": "bfloat16"}) != identity()
    assert digest(signal_identity(trial("kd_mixup"), "other", "weights")) != identity()
    assert digest(signal_identity(trial("kd_mixup"), "data", "other")) != identity()
    assert digest(signal_identity(trial("kd"), "data", "weights")) != identity()
