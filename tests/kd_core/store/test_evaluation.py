import numpy as np
import pytest

from kd_core.config.errors import DamagedError
from kd_core.store.evaluation import ARRAYS
from kd_core.store.product import MANIFEST
from kd_core.store.records import Store
from tests.products import MACHINE

ARRAY = {"curve": np.linspace(0, 1, 5), "names": np.array(["fog", "jpeg"])}


@pytest.fixture
def record(tmp_path):
    """A finished evaluation."""
    record = Store.at(tmp_path / "runs").evaluation("0123456789abcdef")
    record.write({"evaluation": "x"}, ARRAY, {"x/mean": 0.5}, MACHINE)
    return record


def test_what_is_written_is_read(record):
    assert record.problems() == []
    manifest, arrays = record.manifest(), record.arrays()
    assert (manifest.kind, manifest.key, manifest.metrics) == ("evaluation", record.key, {"x/mean": 0.5})
    assert arrays.keys() == ARRAY.keys()
    assert all(np.array_equal(arrays[name], ARRAY[name]) for name in ARRAY)


def test_equal_arrays_give_equal_bytes(record, tmp_path):
    again = Store.at(tmp_path / "again").outputs("fedcba9876543210")
    again.write({}, ARRAY, {}, MACHINE)
    assert (again.path / ARRAYS).read_bytes() == (record.path / ARRAYS).read_bytes()


def test_arrays_that_are_damaged_are_refused_when_they_are_read(record):
    path = record.path / ARRAYS
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedError, match="evaluate again"):
        record.arrays()


@pytest.mark.parametrize("name", [MANIFEST, ARRAYS])
@pytest.mark.parametrize("damage", [lambda content: content[:-9], lambda _: b"", None])
def test_what_is_missing_cut_or_empty_is_not_finished(record, name, damage):
    path = record.path / name
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    assert record.manifest() is None


def test_a_flipped_bit_is_found_when_the_arrays_are_read_and_puts_them_aside(record):
    path = record.path / ARRAYS
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert record.manifest() is not None
    [problem] = record.problems()
    assert f"{path}: is damaged" in problem
    assert record.problems() == []  # it has been put aside, for the next evaluation
    with pytest.raises(FileNotFoundError):
        record.arrays()
    assert record.manifest() is None
    record.write({"evaluation": "x"}, ARRAY, {}, MACHINE)
    assert np.array_equal(record.arrays()["curve"], ARRAY["curve"])
