"""Folders in this node's cache: made by whoever needs one first, shared by all, evicted when no process uses them.

A folder holds `content`, `state.json` and `lock`, which is locked by the process that makes the content, or by all that
use it. Together they take at most half of the disk, or KDSWEEP_CACHE_GIB; the least recently used go first.
"""

import fcntl
import logging
import os
import shutil
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from kd_core.spec.data_config import DataError
from kd_core.spec.fields import shown, size_text
from kd_core.store.files import cache_folder, read_json, write_json

LIMIT = "KDSWEEP_CACHE_GIB"
KINDS = ("fetched", "unpacked")  # the folders of the cache whose folders are made and evicted here
Room = Callable[[int, int], None]  # makes room for a folder of so many bytes, of which so many are still to be written

_log = logging.getLogger(__name__)


@dataclass
class Cached(os.PathLike[str]):
    """A folder of the cache as a path: made on this node when the path is first taken, kept as long as this lives.

    `make` is called with a folder, which may hold what a killed process made of it, and with a Room to be called before
    something large is written. It is pickled along, for nodes that lack the folder; errors name the origin.
    """

    kind: str
    name: str
    origin: str
    make: Callable[[Path, Room], None]
    _path: str | None = field(default=None, init=False, compare=False)

    def __fspath__(self) -> str:
        if self._path is None:
            folder = cache_folder() / self.kind / self.name
            try:
                lock = self._used(folder)
            except OSError as error:
                raise DataError(
                    f"data.path: {self.origin}: cannot be copied into {folder} ({error}); "
                    "set XDG_CACHE_HOME to a folder with room"
                ) from error
            weakref.finalize(self, os.close, lock)
            self._path = str(folder / "content")
        return self._path

    def __str__(self) -> str:
        return self.origin

    def __reduce__(self) -> tuple[type["Cached"], tuple[object, ...]]:
        return Cached, (self.kind, self.name, self.origin, self.make)

    def _used(self, folder: Path) -> int:
        """The lock on a complete folder, shared with its other users."""
        while True:
            lock = _locked(folder, fcntl.LOCK_SH)
            if is_complete(folder):
                os.utime(folder / "state.json")
                return lock
            os.close(lock)
            with _alone(folder):  # before the lock is shared again the folder may be evicted, and is made anew
                if not is_complete(folder):
                    self._made(folder)

    def _made(self, folder: Path) -> None:
        content, taken = folder / "content", 0

        def room(total: int, missing: int) -> None:
            """Make room, and remember how much is taken."""
            nonlocal taken
            taken = total
            _make_room(folder, total, missing, self.origin)

        content.mkdir(exist_ok=True)
        self.make(content, room)
        os.sync()  # once, for all of its files
        write_json(folder / "state.json", {"bytes": taken, "files": _num_files(content)})


def is_complete(folder: Path) -> bool:
    """Whether a folder of the cache has been made to the end, and no file of it was removed since, as by a cleaner."""
    num_files = (read_json(folder / "state.json") or {}).get("files")
    return num_files is not None and num_files == _num_files(folder / "content")


def _num_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _make_room(folder: Path, total: int, missing: int, origin: str) -> None:
    """Reserve `total` bytes of the cache for a folder, of which `missing` are to be written; evicts others for it."""
    cache = cache_folder()
    with _alone(cache):
        for leftover in (path for kind in KINDS for path in (cache / kind).glob(".evicted-*")):
            shutil.rmtree(leftover, ignore_errors=True)
        others = sorted((path for kind in KINDS for path in (cache / kind).glob("*") if path != folder), key=_used_at)
        sizes = {path: _size(path) for path in others}
        idle = [path for path in others if _is_idle(path)]
        limit, in_use = _limit(cache), sum(sizes.values()) - sum(sizes[path] for path in idle)
        if in_use + total > limit:
            used = f", of which others use {size_text(in_use)}" if in_use else ""
            raise DataError(
                f"data.path: {origin}: takes {size_text(total)}, and the cache {cache} may hold {size_text(limit)}"
                f"{used}; set {LIMIT} to more GiB, or XDG_CACHE_HOME to a folder on a larger disk"
            )
        hopeless = shutil.disk_usage(cache).free + sum(sizes[path] for path in idle) < missing
        while (
            not hopeless and idle and (sum(sizes.values()) + total > limit or shutil.disk_usage(cache).free < missing)
        ):
            _evict(evicted := idle.pop(0))
            del sizes[evicted]
        if (free := shutil.disk_usage(cache).free) < missing:
            raise DataError(
                f"data.path: {origin}: needs {size_text(missing)}, and the disk of the cache {cache} has only "
                f"{size_text(free)} left; make room there, or set XDG_CACHE_HOME to a folder with room"
            )
        write_json(folder / "state.json", {"bytes": total, "files": None})


def _limit(cache: Path) -> int:
    """The bytes that the cache may hold."""
    given = os.environ.get(LIMIT)
    if not given:
        return shutil.disk_usage(cache).total // 2
    with suppress(ValueError, OverflowError):
        if (limit := int(float(given) * 2**30)) > 0:
            return limit
    raise DataError(f"{LIMIT}: {shown(given)}: must be a number of GiB above 0; set it so, or unset it")


def _used_at(folder: Path) -> float:
    for path in (folder / "state.json", folder):
        with suppress(FileNotFoundError):
            return path.stat().st_mtime
    return 0.0


def _size(folder: Path) -> int:
    """The bytes that a folder takes, or is to take when it is complete."""
    known = read_json(folder / "state.json")
    if known is not None:
        return int(known["bytes"])
    return sum((Path(place) / name).lstat().st_size for place, _, names in os.walk(folder) for name in names)


def _is_idle(folder: Path) -> bool:
    with suppress(OSError):  # one that is in use, or cannot be locked here
        os.close(_locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB))
        return True
    return False


def _evict(folder: Path) -> None:
    """Remove a folder unless it is in use; it is renamed first, so that nobody sees a part of it."""
    with suppress(OSError):
        lock = _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        gone = folder.with_name(f".evicted-{uuid.uuid4().hex}")
        folder.rename(gone)
        os.close(lock)
        _log.info("evicted %s from the cache", folder)
        shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock a folder for this process while the block runs."""
    lock = _locked(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def _locked(folder: Path, how: int) -> int:
    """A descriptor that holds the lock of a folder; raises BlockingIOError if it is in use and how has LOCK_NB."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        try:
            _lock(descriptor, how, folder)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), (folder / "lock").stat()):
                    return descriptor  # else the folder was evicted meanwhile
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, how: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        if how & fcntl.LOCK_NB:
            raise
        _log.info("waiting for another process that makes %s", folder)
        fcntl.flock(descriptor, how)
    except OSError:  # some network file systems have no locks
        if how & fcntl.LOCK_NB:
            raise
