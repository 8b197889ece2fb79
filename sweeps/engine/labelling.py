"""The labelling of teachers' signals: how it is shared among workers, and how it is shown."""

import math
import time
from collections.abc import Callable

from kd_core.config.errors import SignalError
from kd_core.fields import size_text
from kd_core.store.manifest import MadeFrom
from kd_core.store.signal_record import REMEDY
from sweeps.plan.plan import Plan
from sweeps.plan.schedule import Labelling
from sweeps.plan.sharing import SignalPlan
from sweeps.plan.teachers import TeacherPlan
from sweeps.terminal.progress import SweepProgress

_LIVE = "its trials run the teacher themselves"
_LEFT_TO_TRIALS = "its trials label what is missing"
_WORTH_A_WORKER = 2_000  # images; fewer are labelled before another worker has started


class Labeller:
    """Begins signals, and shows how far each is."""

    def __init__(self, plan: Plan, num_workers: Callable[[], int], progress: SweepProgress) -> None:
        """num_workers says how many workers the cluster has room for."""
        self.data, self.num_workers, self.progress = plan.data, num_workers, progress
        self._signals: dict[str, _Shown] = {}
        self._broken: set[str] = set()

    def labellings(self, signal: SignalPlan, teacher: TeacherPlan) -> list[Labelling]:
        """The labelling of all missing or damaged epochs of a signal, shared among workers.

        None if nothing is missing, or if the store cannot be written, which is said; trials then run the teacher.
        """
        assert teacher.made_from is not None
        shown = _Shown(signal, signal.trial.num_images(self.data), self.progress)
        try:
            _mend(signal, teacher.made_from, self.progress)
        except OSError as error:
            self._broken.add(signal.record.key)
            self.progress.done(shown.label, "failed", f"{error}; {_LIVE}")
            return []
        missing = tuple(sorted(set(signal.epochs) - signal.record.epochs()))
        if not missing:
            return []
        self._signals[signal.record.key] = shown
        shown.missing = missing
        shown.num_open = num_parts = num_workers_for(len(missing), shown.num_samples, self.num_workers())
        return [Labelling(signal, teacher, missing, part, num_parts) for part in range(num_parts)]

    def is_usable(self, signal: SignalPlan) -> bool:
        """Whether trials read a signal, and do not run its teacher."""
        return signal.stored and signal.record.key not in self._broken

    def show(self) -> None:
        """Show the progress of each signal that is being labelled."""
        for shown in self._signals.values():
            shown.show()

    def started(self, labelling: Labelling) -> None:
        """Say so of the first of a signal's workers that starts."""
        self._signals[labelling.signal.record.key].begin()

    def ended(self, labelling: Labelling, error: str) -> None:
        """Learn that a worker has no more to label, or why it failed; say so of a signal once all are at their end."""
        shown = self._signals[labelling.signal.record.key]
        shown.num_open -= 1
        shown.error = error or shown.error
        if not shown.num_open:
            del self._signals[labelling.signal.record.key]
            shown.end()


def num_workers_for(num_epochs: int, num_samples: int, room: int) -> int:
    """How many workers label num_epochs epochs of num_samples images: at most room, at least one."""
    return max(1, min(room, num_epochs, math.floor(num_epochs * num_samples / _WORTH_A_WORKER)))


class _Shown:
    """The progress of one signal."""

    def __init__(self, signal: SignalPlan, num_samples: int, progress: SweepProgress) -> None:
        self.signal, self.record, self.num_samples, self.progress = signal, signal.record, num_samples, progress
        self.label, self.missing, self.num_open, self.error = f"signal {signal.label}", tuple[int, ...](), 0, ""
        self._shown = self._started = 0.0

    def begin(self) -> None:
        """Say that epochs are labelled, and who is at it already, unless it was said."""
        if not self._started:
            self._started = time.monotonic()
            if self.record.being_labelled:  # by another sweep
                holders = (self.record.lease(epoch).holder for epoch in self.missing)
                self.progress.waits(self.label, next(filter(None, holders), "another process"))
            self.progress.note(f"labelling {len(self.missing)} epochs of {self.label}")

    def show(self) -> None:
        """Show the progress, twice a second, in epochs and in images per second."""
        now = time.monotonic()
        if self._started and now - self._shown > 0.5:
            done, num_epochs, self._shown = self._num_done(), self.signal.num_epochs, now
            images_per_s = done * self.num_samples / (now - self._started)
            before = num_epochs - len(self.missing)
            self.progress.advance(self.label, before + done, num_epochs, f"{images_per_s:.0f} images/s")

    def end(self) -> None:
        """Say that the signal is complete, or why it is not."""
        failed = bool(set(self.signal.epochs) - self.record.epochs())
        detail = f"{self.error}; {_LEFT_TO_TRIALS}" if failed else self._size()
        self.progress.done(self.label, "failed" if failed else "finished", detail)

    def _size(self) -> str:
        return f"{self.signal.num_epochs} epochs, {size_text(self.record.size_of(self.signal.epochs))}"

    def _num_done(self) -> float:
        """Epochs labelled since the start, including parts of those in progress."""
        stored = self.record.epochs()
        under_way = [self.record.lease(epoch).details() for epoch in self.missing if epoch not in stored]
        slots = sum(details.get("done", 0) for details in under_way)
        return len(stored.intersection(self.missing)) + slots / self.num_samples


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
