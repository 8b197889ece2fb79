"""Labels the missing epochs of each teacher's signal, before the trials, as Ray tasks."""

import math
import time
from functools import partial
from typing import Any

import ray

from kd_core.config.errors import SignalError
from kd_core.data.dataset import Dataset
from kd_core.fields import size_text
from kd_core.store.manifest import MadeFrom
from kd_core.store.product import Product
from kd_core.store.signal_record import REMEDY
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.tasks import Task, reason_of, settled
from sweeps.engine.worker import label_signal, task_of
from sweeps.plan.plan import Plan
from sweeps.plan.sharing import SignalPlan
from sweeps.terminal.progress import SweepProgress

_LIVE = "its trials run the teacher themselves"
_WORTH_A_WORKER = 2_000  # images; fewer are labelled before another worker has started


def label_signals(plan: Plan, resources: ResourcesConfig, dataset: Dataset, progress: SweepProgress) -> None:
    """Label all missing or damaged epochs of the plan's stored signals, all signals in parallel.

    If a teacher's pass fails, this logs the error, and its trials run the teacher themselves.
    """
    teachers = {teacher.name: teacher.product for teacher in plan.teachers}
    finished = {teacher.name: teacher.made_from for teacher in plan.teachers if teacher.made_from}
    wanted = [each for each in plan.signals if each.stored and each.pending_epochs and each.teacher in finished]
    passes = [_Pass(each, finished[each.teacher], each.trial.num_images(plan.data), progress) for each in wanted]
    passes = [each for each in passes if each.prepare()]
    if not passes:
        return
    shared = ray.put(dataset)
    threads = plan.threads["trial"]  # so that stored logits are those of a live teacher, bit for bit
    running = {
        task: each for each in passes for task in each.tasks(shared, teachers[each.signal.teacher], resources, threads)
    }

    def show() -> None:
        """Show the progress of each signal."""
        for each in set(running.values()):
            each.show()

    for task in settled(list(running), plan.spec.retries, progress, show):
        each = running.pop(task)
        each.error = reason_of(task.error) if task.error is not None else each.error
        if each not in running.values():
            each.end()


def tasks_for(num_epochs: int, num_samples: int, room: int) -> int:
    """The number of tasks for labelling num_epochs epochs of num_samples images: at most room, at least one."""
    return max(1, min(room, num_epochs, num_epochs * num_samples // _WORTH_A_WORKER))


class _Pass:
    """The labelling of one signal."""

    def __init__(self, signal: SignalPlan, made_from: MadeFrom, num_samples: int, progress: SweepProgress) -> None:
        self.signal, self.made_from, self.progress, self.record = signal, made_from, progress, signal.record
        self.label, self.num_samples = f"signal {signal.label}", num_samples
        self.missing: list[int] = []
        self.error, self.started = "", time.monotonic()

    def prepare(self) -> bool:
        """Remove damaged epochs and find missing ones; False if none is missing or the store cannot be written."""
        try:
            _mend(self.signal, self.made_from, self.progress)
        except OSError as error:
            self.progress.done(self.label, "failed", f"{error}; {_LIVE}")
            return False
        self.missing = sorted(set(self.signal.epochs) - self.record.epochs())
        if self.record.being_labelled:  # by another sweep
            holders = (self.record.lease(epoch).holder for epoch in self.missing)
            self.progress.waits(self.label, next(filter(None, holders), "another process"))
        return bool(self.missing)

    def tasks(self, dataset: Any, teacher: Product, resources: ResourcesConfig, threads: int) -> list[Task]:
        """The tasks: each gets all missing epochs, starts at another one, and skips those that others label."""
        gpus, total = math.ceil(resources.gpu), ray.cluster_resources()
        room = total.get("GPU", 0) // gpus if gpus else total["CPU"] // resources.cpu
        num_tasks = tasks_for(len(self.missing), self.num_samples, int(room))
        self.progress.note(f"labelling {len(self.missing)} epochs of {self.label}")
        taken = resources.model_copy(update={"gpu": gpus})
        task = task_of(label_signal, taken)
        starts = [len(self.missing) * index // num_tasks for index in range(num_tasks)]
        turns = [self.missing[start:] + self.missing[:start] for start in starts]
        submit = partial(task.remote, self.signal.trial, dataset, self.record, teacher)
        given = taken.model_dump() | {"threads": threads}
        return [Task(self.label, partial(submit, turn, given)) for turn in turns]

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


def _mend(signal: SignalPlan, made_from: MadeFrom, progress: SweepProgress) -> None:
    """Remove and log everything that does not match the manifest or its checksum."""
    record, manifest = signal.record, signal.identity | {"made_from": made_from}

    def anew(problem: str) -> None:
        """Say that labels are made again, and why."""
        progress.note(f"{problem.removesuffix(REMEDY)}labelling it anew")

    if record.exists:
        try:
            record.check(manifest)
        except SignalError as error:
            anew(str(error))
    record.begin(manifest)
    damaged = record.damaged(record.epochs().intersection(signal.epochs))
    for problem in damaged.values():
        anew(problem)
    record.discard(damaged)
