import hashlib

import pytest

from kd_core.config.errors import DamagedError
from kd_core.store.files import write_json
from kd_core.store.manifest import Failure, File
from tests.products import STOP


def test_a_value_comes_back_from_its_file(tmp_path):
    STOP.write(tmp_path / "stopped.json")
    assert type(STOP).read(tmp_path / "stopped.json") == STOP
    with pytest.raises(FileNotFoundError):
        Failure.read(tmp_path / "failure.json")


def test_a_value_of_another_shape_is_of_another_version(tmp_path):
    path = tmp_path / "failure.json"
    write_json(path, {"error": "ValueError: no"})
    with pytest.raises(DamagedError, match=r"failure\.json: was written by another version of kd-sweeps; use another"):
        Failure.read(path)
    path.write_text("{")
    with pytest.raises(DamagedError, match=r"failure\.json: is damaged: it is no JSON"):
        Failure.read(path)


def test_a_file_is_its_size_and_checksum():
    assert File.of(b"abc") == File(size_bytes=3, sha256=hashlib.sha256(b"abc").hexdigest())
