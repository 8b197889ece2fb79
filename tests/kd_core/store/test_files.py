import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from upath import UPath

from kd_core.store.files import cache_folder, clear_orphans, is_alive, read_json, write_bytes, write_json, writing

KILLED_WRITER = """
import os, sys
from pathlib import Path
from kd_core.store.files import writing
with writing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


def names(folder: Path) -> set[str]:
    """The files in a folder, including temporary ones."""
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


def test_what_a_killed_writer_leaves_is_cleared_and_what_a_living_one_writes_is_not(tmp_path):
    path = tmp_path / "value.npy"
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False)
    assert len(names(tmp_path)) == 1
    assert not path.exists()
    with writing(path) as temporary:
        temporary.write_bytes(b"whole")
        clear_orphans(tmp_path)
        assert names(tmp_path) == {temporary.name}
    assert path.read_bytes() == b"whole"
    assert names(tmp_path) == {"value.npy"}


def test_what_another_host_left_is_cleared_a_day_later(tmp_path):
    left = tmp_path / f".value.npy.{'0' * 8}-1-{'0' * 32}.tmp"
    left.touch()
    clear_orphans(tmp_path)
    assert left.exists()
    os.utime(left, (0, 0))
    clear_orphans(tmp_path)
    assert not left.exists()


def test_clearing_leaves_files_of_users_and_folders_that_are_not_there_alone(tmp_path):
    for name in (".notes.tmp", "value.tmp", ".value.json.0-1-2.tmp"):
        (tmp_path / name).touch()
    before = names(tmp_path)
    clear_orphans(tmp_path)
    clear_orphans(tmp_path / "nothing")
    clear_orphans(UPath("memory://nothing"))
    assert names(tmp_path) == before


def test_a_process_is_alive_until_it_has_ended():
    assert is_alive(os.getpid())
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not is_alive(process.pid)


def test_the_cache_folder_follows_the_users_own(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "kd-sweeps"
