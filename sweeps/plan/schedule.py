"""The order in which a sweep is made: a step may start once what it needs is there, and the long way comes first.

Teachers need nothing. The labelling of a signal needs its teacher, and a trial needs its teachers, and of what it reads
of them, that the labelling has started: a trial waits for the epochs that are still to come (`LabelledSignal`). A
follower needs its scout (`sweeps.plan.scouts`). Teachers and labels come before trials, since trials may wait for them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kd_core.store.records import Store
from sweeps.plan.plan import Plan, TrialPlan
from sweeps.plan.scouts import status_in
from sweeps.plan.sharing import SignalPlan
from sweeps.plan.teachers import TeacherPlan


@dataclass(frozen=True)
class Labelling:
    """The part (0, 1, …) that one of num_parts workers has in labelling the missing epochs of a signal."""

    signal: SignalPlan
    teacher: TeacherPlan
    missing: tuple[int, ...]
    part: int
    num_parts: int

    @property
    def epochs(self) -> tuple[int, ...]:
        """The missing epochs in its order: every num_parts-th first, then what others may have left."""
        turns = [(self.part + turn) % self.num_parts for turn in range(self.num_parts)]
        return tuple(epoch for turn in turns for epoch in self.missing[turn :: self.num_parts])

    @property
    def key(self) -> str:
        """Its key in the schedule."""
        return f"{self.signal.record.key}-{self.part}"


Step = TeacherPlan | Labelling | TrialPlan


def key_of(step: Step) -> str:
    """The key of a step in the schedule of its sweep."""
    return step.key if isinstance(step, Labelling) else step.product.key


class Schedule:
    """The steps of a plan that are left; it learns when steps start and end, and then knows what may start next."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        labellings: Callable[[SignalPlan, TeacherPlan], Sequence[Labelling]],
        give_up: Callable[[TrialPlan, Step], None],
    ) -> None:
        """labellings gives those of a stored signal whose teacher is finished; give_up is called with each trial that
        cannot run, and with the teacher or scout because of which.
        """
        self.plan, self._store, self._labellings, self._give_up = plan, store, labellings, give_up
        self._upstream: deque[TeacherPlan | Labelling] = deque(plan.missing_teachers)
        self._ready: deque[str] = deque()  # keys of trials
        self._waiting: dict[str, list[str]] = {}  # keys of trials by the key that they wait for
        self._trials: dict[str, TrialPlan] = {}
        self._scouts: dict[str, str] = {}  # keys of scouts by arm
        self._labelled: dict[str, bool] = {}  # by signal: whether its labelling has started
        self._given: set[str] = set()  # keys of teachers and labellings that were given out and have not started
        self._ended: set[str] = set()
        self._finished_scouts: set[str] = set()
        self._label()

    @property
    def has_upstream_to_come(self) -> bool:
        """Whether a teacher has not ended, after which labels are to be made."""
        return any(self._is_open(teacher) for teacher in self.plan.missing_teachers)

    @property
    def upstream_waits(self) -> bool:
        """Whether a teacher or labelling was given out and has not started, so that it waits for room."""
        return bool(self._given)

    @property
    def num_behind_upstream(self) -> int:
        """The number of trials that wait for a teacher or for labels."""
        scouts = set(self._scouts.values())
        return sum(len(trials) for key, trials in self._waiting.items() if key not in scouts)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to give out, now or later."""
        return not (self._upstream or self._ready or self._waiting or self.has_upstream_to_come)

    def join(self, trials: Iterable[TrialPlan]) -> None:
        """Take those of some trials, all of whole arms, that are not done."""
        left = [each for each in trials if not each.done and each.product.key not in self._trials]
        self._trials |= {each.product.key: each for each in left}
        self._scouts |= {each.trial.arm: each.product.key for each in left if each.role == "scout"}
        for each in left:
            self._place(each)

    def next_upstream(self) -> TeacherPlan | Labelling | None:
        """The next teacher or labelling that may start now, if there is one."""
        if not self._upstream:
            return None
        step = self._upstream.popleft()
        self._given.add(key_of(step))
        return step

    def next_trial(self) -> TrialPlan | None:
        """The next trial that may start now, if there is one."""
        return self._trials[self._ready.popleft()] if self._ready else None

    def started(self, step: Step) -> None:
        """Learn that a step has started."""
        self._given.discard(key_of(step))
        if isinstance(step, Labelling):
            self._labelled[step.signal.record.key] = True
            self._place_again(step.signal.record.key)

    def ended(self, step: Step) -> None:
        """Learn that a step has ended; how, is in its files."""
        self.started(step)
        self._ended.add(key_of(step))
        if isinstance(step, TeacherPlan):
            self._teacher_ended(step)
        if isinstance(step, TrialPlan) and step.role == "scout" and self._is_finished(step):
            self._finished_scouts.add(key_of(step))
        if not isinstance(step, Labelling):
            self._place_again(key_of(step))

    def _teacher_ended(self, teacher: TeacherPlan) -> None:
        self.plan = self.plan.with_teacher(teacher, self._store)
        self._trials |= {each.product.key: each for each in self.plan.trials if each.product.key in self._trials}
        self._label()
        self.join(self.plan.trials)  # those that are stale now

    def _label(self) -> None:
        """Let the labelling of signals begin whose teacher is finished."""
        finished = {teacher.name: teacher for teacher in self.plan.teachers if teacher.made_from}
        for signal in self.plan.signals:
            key = signal.record.key
            if signal.stored and signal.pending_epochs and signal.teacher in finished and key not in self._labelled:
                labellings = self._labellings(signal, finished[signal.teacher])
                self._labelled[key] = not labellings
                self._upstream.extend(labellings)

    def _place_again(self, key: str) -> None:
        """Place the trials that waited for a key."""
        for waiting in self._waiting.pop(key, ()):
            self._place(self._trials[waiting])

    def _place(self, trial: TrialPlan) -> None:
        """Let a trial start, or wait for what it needs, or give it up if that will not come."""
        for teacher in (each for each in self.plan.teachers if each.name in trial.trial.members):
            if teacher.made_from is None:
                return self._wait(trial, teacher)
        scout = self._scouts.get(trial.trial.arm) if trial.role == "follower" else None
        if scout is not None and scout not in self._finished_scouts:
            return self._wait(trial, self._trials[scout])
        for signal in trial.signals:
            if signal is not None and not self._labelled.get(signal.record.key, True):
                self._waiting.setdefault(signal.record.key, []).append(trial.product.key)
                return None
        return self._ready.append(trial.product.key)

    def _wait(self, trial: TrialPlan, needed: TeacherPlan | TrialPlan) -> None:
        """Let a trial wait for a teacher or its scout, or give it up if that has ended; then its followers, too."""
        if self._is_open(needed):
            self._waiting.setdefault(needed.product.key, []).append(trial.product.key)
        else:
            self._ended.add(trial.product.key)
            self._give_up(trial, needed)
            self._place_again(trial.product.key)

    def _is_open(self, step: TeacherPlan | TrialPlan) -> bool:
        return step.product.key not in self._ended

    def _is_finished(self, scout: TrialPlan) -> bool:
        return status_in(self.plan.spec, scout.role, scout.product.state(), scout.made_from) == "finished"
