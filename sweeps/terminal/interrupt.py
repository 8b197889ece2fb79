"""Ends the program in order at Ctrl-C, SIGTERM and SIGHUP: all it leaves behind is the command that resumes."""

import ctypes
import os
import shlex
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_CHILD_SUBREAPER = 36
_PATIENCE_S = 10.0  # for all clean-ups together
_cleanups: list[Callable[[], object]] = []
_leaving = threading.Lock()


@contextmanager
def leaving_at_signals() -> Iterator[None]:
    """While the block runs, end the process at each of SIGNALS, with the exit code of a shell, such as 143 for SIGTERM.

    A signal that is ignored, as SIGHUP is under nohup, stays ignored. A thread acts on signals, so that they need not
    wait for a library that keeps the main thread.
    """
    _adopt_orphans()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heard, told = os.pipe()
    os.set_blocking(told, False)
    wakeup = signal.set_wakeup_fd(told)
    threading.Thread(target=_listen, args=[heard], name="signals", daemon=True).start()
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(told)


def _listen(heard: int) -> None:
    """Leave at the first of SIGNALS; end when the other side of the pipe is closed."""
    while number := os.read(heard, 1):
        if number[0] in SIGNALS:
            _stop(number[0])
    os.close(heard)


def _stop(number: int, _: Any = None) -> NoReturn:
    leave(128 + number, "stopped; nothing is lost")


@contextmanager
def keeping_handlers() -> Iterator[None]:
    """Undo the signal handlers that a library installs in the block; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    except SystemExit as answer:  # of a handler that was installed in the block
        if answer.code == signal.SIGTERM and before[signal.SIGTERM] is _stop:
            _stop(signal.SIGTERM)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def cleaning_up(cleanup: Callable[[], object]) -> Iterator[None]:
    """Call cleanup when the block ends, and also if the process leaves before."""
    _cleanups.append(cleanup)
    try:
        yield
    finally:
        _cleanups.remove(cleanup)
        cleanup()


@contextmanager
def ending_at_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the block, and not the process; for a block that leaves nothing to resume, in the main thread."""
    wakeup, before = signal.set_wakeup_fd(-1), signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.set_wakeup_fd(wakeup)


def leave(exit_code: int, why: str) -> NoReturn:
    """End the process at once: kill its child processes, clean up, and print why and the command that resumes.

    Nothing is raised, since a library could catch it or a thread hold it up: a store outlives a kill at any moment.
    The first call decides; any later one waits for the end.
    """
    if not _leaving.acquire(blocking=False):
        time.sleep(2 * _PATIENCE_S)

    def end() -> NoReturn:
        """Print and end, whatever other threads are doing."""
        with suppress(OSError):  # the terminal may be gone
            os.write(2, f"\n{why}. To resume: {shlex.join([program(), *sys.argv[1:]])}\n".encode())
        os._exit(exit_code)

    late = threading.Timer(_PATIENCE_S, end)
    late.daemon = True
    late.start()
    for cleanup in (_kill_descendants, *reversed(_cleanups)):
        with suppress(Exception):
            cleanup()
    end()


def program() -> str:
    """The command for this program: its name, or its path if the shell does not find it."""
    called = Path(sys.argv[0])
    return "kdsweep" if called.name != "kdsweep" or shutil.which("kdsweep") else os.path.relpath(called)


def _adopt_orphans() -> None:
    """Become the parent of the processes below this one whose own parent dies, so that they are found (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _kill_descendants() -> None:
    """Kill all processes below this one and wait for their end, until there is none, not even an orphan of those."""
    while stopped := _stopped_descendants():
        for process in stopped:
            with suppress(psutil.Error):  # it has ended
                process.kill()
        while stopped & _descendants():
            time.sleep(0.01)


def _stopped_descendants() -> set[psutil.Process]:
    """The processes below this one, stopped, so that none of them starts another one."""
    stopped: set[psutil.Process] = set()
    while new := _descendants() - stopped:
        for process in new:
            with suppress(psutil.Error):
                process.suspend()
        stopped |= new
    return stopped


def _descendants() -> set[psutil.Process]:
    """The living processes below this one; psutil's `children` fails where a system hides other users' processes."""
    processes = psutil.process_iter(["ppid", "status"])
    living = [each for each in processes if each.info["status"] not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)]
    pids = {os.getpid()}
    while new := {process.pid for process in living if process.info["ppid"] in pids} - pids:
        pids |= new
    return {process for process in living if process.info["ppid"] in pids}
