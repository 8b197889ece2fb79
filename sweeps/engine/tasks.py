"""Runs Ray tasks: each waits while another process does the same, and is tried again a few times when it fails."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayError

from kd_core.store.lease import Holder
from sweeps.terminal.progress import SweepProgress

_POLL_S = 0.5
_OUT_OF_MEMORY = "out of memory: its worker was ended; with more cores a trial (resources.cpu), fewer run at a time"
_DIED = "its worker died, as one that runs out of memory does"
_NODE_DIED = "its node died, or cannot be reached"


@dataclass(eq=False)
class Task:
    """The work of one Ray task: `start` submits it, and `holder` tells which other process is at it."""

    label: str
    start: Callable[[], Any]
    holder: Callable[[], Holder | None] = lambda: None
    error: BaseException | None = None
    num_failures: int = 0


def settled(tasks: Iterable[Task], retries: int, progress: SweepProgress, show: Callable[[], object]) -> Iterator[Task]:
    """Run tasks and yield each when it is done, or with its error when it has failed more than `retries` times.

    Ray itself retries none of them: it would start a task whose worker runs out of memory again for ever. `show` is
    called twice a second.
    """
    waiting, running = list(tasks), {}
    while waiting or running:
        for task in list(waiting):
            if holder := task.holder():
                progress.waits(task.label, holder)
            else:
                waiting.remove(task)
                running[task.start()] = task
        done = ray.wait(list(running), timeout=_POLL_S)[0] if running else time.sleep(_POLL_S) or []
        show()
        for reference in done:
            task = running.pop(reference)
            task.error = _error_of(reference)
            if task.error is not None and task.num_failures < retries:
                task.num_failures += 1
                progress.again(task.label, reason_of(task.error))
                waiting.append(task)
            elif task.error is None and task.holder():  # it left the work to another process
                waiting.append(task)
            else:
                yield task


def _error_of(reference: Any) -> BaseException | None:
    try:
        ray.get(reference)
    except RayError as error:
        return error
    return None


def reason_of(error: BaseException | str) -> str:
    """Why a task or an actor failed, in one line, from its error or the text of it."""
    cause, text = getattr(error, "cause", None), str(error)
    if cause is not None:
        return f"{type(cause).__name__}: {(str(cause).splitlines() or [''])[0]}"
    if "low on memory" in text:
        return _OUT_OF_MEMORY
    if isinstance(error, NodeDiedError):
        return _NODE_DIED
    return _DIED if "died unexpectedly" in text else (text.splitlines() or [type(error).__name__])[0]
