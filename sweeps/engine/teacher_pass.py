"""Labels the missing epochs of each teacher's signal, before the trials, as Ray tasks."""

import math
import time
from typing import Any

import ray
from ray.exceptions import RayError

from kd_core.data.dataset import Dataset
from kd_core.store.records import Record
from kd_core.store.signal_record import REMEDY, SignalError, SignalRecord
from sweeps.engine.worker import label_signal, task_of
from sweeps.plan.plan import Plan
from sweeps.plan.sharing import SignalPlan
from sweeps.spec.sweep_config import ResourcesConfig
from sweeps.terminal.progress import SweepProgress, size_text

_POLL_S = 0.5
_LIVE = "its trials run the teacher themselves"
_RETRIES = 2  # how often a task is started again after its worker died
_WORTH_A_WORKER = 2_000  # images; fewer are labelled before another worker has started


def label_signals(plan: Plan, resources: ResourcesConfig, dataset: Dataset, progress: SweepProgress) -> None:
    """Label all missing or damaged epochs of the plan's stored signals, all signals in parallel.

    If a teacher's pass fails, this logs the error, and its trials run the teacher themselves.
    """
    teachers = {teacher.name: teacher.record for teacher in plan.teachers}
    wanted = [signal for signal in plan.signals if signal.stored and signal.pending_epochs and signal.record]
    passes = [_Pass(signal, plan.data.num_train, progress) for signal in wanted]
    passes = [each for each in passes if each.prepare()]
    if not passes:
        return
    shared = ray.put(dataset)
    running = {task: each for each in passes for task in each.start(shared, teachers[each.signal.teacher], resources)}
    while running:
        done, _ = ray.wait(list(running), timeout=_POLL_S)
        for each in set(running.values()):
            each.show()
        for task in done:
            each = running.pop(task)
            each.settle(task)
            if each not in running.values():
                each.end()


def tasks_for(num_epochs: int, num_samples: int, room: int) -> int:
    """The number of tasks for labelling num_epochs epochs of num_samples images: at most room, at least one."""
    return max(1, min(room, num_epochs, num_epochs * num_samples // _WORTH_A_WORKER))


class _Pass:
    """The labelling of one signal."""

    def __init__(self, signal: SignalPlan, num_samples: int, progress: SweepProgress) -> None:
        assert signal.record is not None
        self.signal, self.progress, self.record = signal, progress, signal.record
        self.label, self.num_samples = f"signal {signal.label}", num_samples
        self.missing: list[int] = []
        self.error, self.started = "", time.monotonic()

    def prepare(self) -> bool:
        """Remove damaged epochs and find missing ones; False if none is missing or the store cannot be written."""
        try:
            _mend(self.signal, self.record, self.progress)
        except OSError as error:
            self.progress.done(self.label, "failed", f"{error}; {_LIVE}")
            return False
        self.missing = sorted(set(self.signal.epochs) - self.record.epochs())
        return bool(self.missing)

    def start(self, dataset: Any, teacher: Record, resources: ResourcesConfig) -> list[Any]:
        """Start the tasks: each gets all missing epochs, starts at another one, and skips those that others label."""
        gpus, total = math.ceil(resources.gpu), ray.cluster_resources()
        room = total.get("GPU", 0) // gpus if gpus else total["CPU"] // resources.cpu
        num_tasks = tasks_for(len(self.missing), self.num_samples, int(room))
        self.progress.note(f"labelling {len(self.missing)} epochs of {self.label}")
        taken = resources.model_copy(update={"gpu": gpus})
        task = task_of(label_signal, taken, _RETRIES)
        starts = [len(self.missing) * index // num_tasks for index in range(num_tasks)]
        turns = [self.missing[start:] + self.missing[:start] for start in starts]
        given = self.signal.trial, dataset, self.record, teacher
        return [task.remote(*given, turn, taken.model_dump()) for turn in turns]

    def settle(self, task: Any) -> None:
        """Keep the error of a task that has failed."""
        try:
            ray.get(task)
        except RayError as error:
            cause = getattr(error, "cause", None) or error
            self.error = (str(cause).splitlines() or [type(cause).__name__])[0]

    def show(self) -> None:
        """Show the signal's progress, in epochs and in images per second."""
        done, num_epochs = self._num_done(), self.signal.num_epochs
        images_per_s = done * self.num_samples / (time.monotonic() - self.started)
        before = num_epochs - len(self.missing)
        self.progress.advance(self.label, before + done, num_epochs, f"{images_per_s:.0f} images/s")

    def end(self) -> None:
        """Log that the signal is complete, or why it is not."""
        failed = bool(set(self.signal.epochs) - self.record.epochs())
        detail = f"{self.error}; {_LIVE}" if failed else self._size()
        self.progress.done(self.label, "failed" if failed else "finished", detail)

    def _num_done(self) -> float:
        """Epochs labelled since the start, including parts of those in progress."""
        stored = self.record.epochs()
        under_way = [self.record.lease(epoch).details() for epoch in self.missing if epoch not in stored]
        slots = sum(details.get("done", 0) for details in under_way)
        return len(stored.intersection(self.missing)) + slots / self.num_samples

    def _size(self) -> str:
        return f"{self.signal.num_epochs} epochs, {size_text(self.record.size_of(self.signal.epochs))}"


def _mend(signal: SignalPlan, record: SignalRecord, progress: SweepProgress) -> None:
    """Remove and log everything that does not match the manifest or its checksum."""

    def anew(problem: str) -> None:
        progress.note(f"{problem.removesuffix(REMEDY)}labelling it anew")

    if record.exists:
        try:
            record.check(signal.identity)
        except SignalError as error:
            anew(str(error))
    record.begin(signal.identity)
    damaged = record.damaged(record.epochs().intersection(signal.epochs))
    for problem in damaged.values():
        anew(problem)
    record.discard(damaged)
