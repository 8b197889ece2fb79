"""Folders of the cache, made and used by real processes."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from kd_core.config.errors import DataError
from kd_core.store.cache import LIMIT, Cached, Room, is_complete

MAKE = """
import logging, os, sys, time
from pathlib import Path
from kd_core.store.cache import Cached

def make(content, room):
    with open(sys.argv[1], "a") as log:
        log.write(f"{os.getpid()}\\n")
    (content / "first").write_text("done")
    time.sleep(float(sys.argv[2]))
    room(4, 4)

logging.basicConfig(level=logging.INFO)
print(Path(Cached("fetched", "shared", "here", make)))
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The cache folder of this process and of those that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kd-sweeps"


def start(tmp_path: Path, seconds: float) -> subprocess.Popen[str]:
    """A process that makes a folder, which takes it some seconds, and logs that it does."""
    command = [sys.executable, "-c", MAKE, str(tmp_path / "log"), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def of_size(name: str, size: int) -> Cached:
    """A folder of the cache that holds one file."""

    def make(content: Path, room: Room) -> None:
        room(size, size)
        (content / "file").write_bytes(b"x" * size)

    return Cached("fetched", name, f"s3://bucket/{name}", make)


def test_processes_that_start_at_once_make_a_folder_once(tmp_path, cache):
    (cache / "fetched").mkdir(parents=True)
    with FileLock(cache / "fetched" / "shared.lock"):
        makers = [start(tmp_path, 0) for _ in range(3)]
        assert all(maker.stderr and "waiting for another process" in maker.stderr.readline() for maker in makers)
    outputs = [maker.communicate() for maker in makers]
    assert {out for out, _ in outputs} == {f"{cache}/fetched/shared/content\n"}, outputs
    assert len((tmp_path / "log").read_text().split()) == 1


def test_what_a_killed_process_made_is_there_for_the_next(tmp_path, cache, wait_until):
    maker = start(tmp_path, 60)
    wait_until((cache / "fetched" / "shared" / "content" / "first").exists, maker)
    maker.kill()
    maker.communicate()
    found = []

    def go_on(content: Path, room: Room) -> None:
        found.extend(each.name for each in content.iterdir())
        room(4, 0)

    assert not is_complete(cache / "fetched" / "shared")
    assert Path(Cached("fetched", "shared", "here", go_on)).is_dir()
    assert found == ["first"]


def test_the_least_recently_used_make_room_but_never_one_in_use(cache, monkeypatch):
    monkeypatch.setenv(LIMIT, str(1000 / 2**30))
    in_use, made = of_size("in use", 300), {}
    assert Path(in_use).is_dir()
    for age, name in enumerate(("oldest", "older", "recent")):
        made[name] = Path(of_size(name, 200))
        os.utime(cache / "fetched" / name, (time.time() - 10 + age,) * 2)
    os.utime(cache / "fetched" / "in use", (0, 0))
    assert Path(of_size("oldest", 200)) == made["oldest"]  # now the most recently used

    assert Path(of_size("new", 400)).is_dir()
    assert {each.name for each in (cache / "fetched").glob("*/")} == {"in use", "new", "oldest"}
    del in_use
    assert Path(of_size("large", 1000)).is_dir()
    assert {each.name for each in (cache / "fetched").glob("*/")} == {"large"}


def test_a_folder_that_never_fits_is_refused_and_nothing_evicted_for_it(cache, monkeypatch):
    monkeypatch.setenv(LIMIT, str(1000 / 2**30))
    kept, used = Path(of_size("kept", 100)), of_size("used", 200)
    assert Path(used).is_dir()
    with pytest.raises(DataError) as refused:
        os.fspath(of_size("large", 900))
    assert str(refused.value) == (
        f"data.path: s3://bucket/large: takes 900 B, and the cache {cache} may hold 1000 B, of which others use 200 B"
        "; set KDSWEEP_CACHE_GIB to more GiB, or set XDG_CACHE_HOME to a folder on a larger disk"
    )
    monkeypatch.setenv(LIMIT, str(2**40))
    with pytest.raises(DataError, match=r"takes 1024 TiB, .* use 200 B; make room on its disk, or set XDG_CACHE_HOME"):
        os.fspath(of_size("larger than the disk", 2**50))
    assert kept.is_dir()


@pytest.mark.parametrize(("number", "remedy"), [(errno.EDQUOT, "with room"), (errno.EACCES, "that can be written")])
def test_the_remedy_is_room_only_where_that_lacks(number, remedy):
    def fail(content: Path, room: Room) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(DataError, match=rf"here: cannot be copied into .*; set XDG_CACHE_HOME to a folder {remedy}$"):
        os.fspath(Cached("fetched", "any", "here", fail))


@pytest.mark.parametrize("given", ["many", "0", "nan", "inf"])
def test_a_limit_that_is_none_is_one_sentence(given, monkeypatch):
    monkeypatch.setenv(LIMIT, given)
    with pytest.raises(
        DataError, match=f"KDSWEEP_CACHE_GIB: {given}: must be a number of GiB above 0; set it so, or un"
    ):
        os.fspath(of_size("any", 1))


def test_a_cache_of_an_older_version_is_counted_and_evicted(cache, monkeypatch):
    old = cache / "unpacked" / "0123456789abcdef"
    old.mkdir(parents=True)
    (old / "images.bin").write_bytes(b"x" * 800)
    monkeypatch.setenv(LIMIT, str(1000 / 2**30))
    assert Path(of_size("new", 300)).is_dir()
    assert not old.exists()
