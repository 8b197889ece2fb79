"""Folders for what a run needs only while it lives; those of runs that were killed are removed by the next one."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sweeps.terminal.interrupt import cleaning_up

_PREFIX = "kdsweep-"
_LONGEST = 30  # letters of the folder around it: the sockets that Ray puts inside allow 107 in all
_PATIENCE_S = 3.0  # for processes that still write while they end


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder under the temporary folder, removed when the block ends or a signal ends the process.

    It is locked by this process, so that others see whether its owner lives.
    """
    where = _temporary_folder()
    for folder in where.glob(f"{_PREFIX}*"):
        _remove_if_abandoned(folder)
    folder, lock = _made(where)
    with cleaning_up(lambda: _remove(folder)):
        yield folder
    os.close(lock)


def _temporary_folder() -> Path:
    folder = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    return Path(folder if len(folder) <= _LONGEST else "/tmp")


def _made(where: Path) -> tuple[Path, int]:
    """A new folder and the descriptor that locks it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=where))
        lock = os.open(folder, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # no other run took it for abandoned before it was locked
            return folder, lock
        os.close(lock)


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(OSError):  # it is gone, is another user's, or its owner lives
        lock = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder in which processes that are ending may still write."""
    last = time.monotonic() + _PATIENCE_S
    while folder.exists() and time.monotonic() < last:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)
