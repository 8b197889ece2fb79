"""The steps of a sweep as a searcher of Ray Tune: each teacher, labelling and trial is one of Tune's trials."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ray.tune.search import Searcher

from kd_core.store.records import Store
from sweeps.plan.plan import Plan, TrialPlan
from sweeps.plan.schedule import Labelling, Schedule, Step
from sweeps.plan.sharing import SignalPlan
from sweeps.plan.teachers import TeacherPlan


class Engine(Protocol):
    """What runs the steps, as a searcher sees it."""

    def expect(self, step: Step) -> dict[str, Any]:
        """Learn of a step that is to start; returns what a worker needs to know of it."""
        ...

    def labellings(self, signal: SignalPlan, teacher: TeacherPlan) -> Sequence[Labelling]:
        """The labelling of what a signal misses, shared among workers; none if nothing is missing."""
        ...

    def give_up(self, planned: TrialPlan, needed: Step) -> None:
        """Learn that a trial is not to run, because of the teacher or scout that it needs."""
        ...

    def propose(self, planned: TrialPlan, plan: Plan) -> None:
        """Learn of a trial of a point that a search has just proposed."""
        ...

    def note(self, text: str) -> None:
        """Say something about the whole sweep."""
        ...

    def num_at_once(self) -> int:
        """How many trials the cluster has room for now."""
        ...

    def has_room_beside(self, running: Iterable[Step]) -> bool:
        """Whether the cluster has room for one more trial beside some steps."""
        ...


class StepSearcher(Searcher):
    """Gives Tune the steps of a plan, each once it may start (`sweeps.plan.schedule`).

    Tune's own grid search would look at every value again for each trial.
    """

    def __init__(self, plan: Plan, store: Store, engine: Engine) -> None:
        super().__init__()
        self.engine = engine
        self.running: dict[str, Step] = {}
        self.schedule = Schedule(plan, store, engine.labellings, self.give_up)
        self.schedule.join(plan.trials)

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its searcher to restore a run, which the records make unnecessary."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """What a worker needs to know of the next step; None while none may start, and FINISHED after the last."""
        step = self._next_step()
        if step is None:
            return self.FINISHED if self.is_over else None
        self.running[trial_id] = step
        return {"step": self.engine.expect(step)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Let those come that waited for a step, or give them up, by its files."""
        self.end(self.running.pop(trial_id))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to start, now or later."""
        return self.schedule.is_over

    def has_room(self) -> bool:
        """Whether to give out a trial now.

        Not while a teacher or labelling waits for room, and only into free room while one may still come: what is given
        out waits in line before it.
        """
        if self.schedule.upstream_waits:
            return False
        return not self.schedule.has_upstream_to_come or self.engine.has_room_beside(self.running.values())

    def next_trial(self) -> TrialPlan | None:
        """The next trial that may start now, or None."""
        return self.schedule.next_trial()

    def end(self, step: Step) -> None:
        """Learn that a step has ended."""
        self.schedule.ended(step)

    def give_up(self, planned: TrialPlan, needed: Step) -> None:
        """Learn that a trial is not to run, because of the teacher or scout that it needs."""
        self.engine.give_up(planned, needed)

    def _next_step(self) -> Step | None:
        step = self.schedule.next_upstream()
        return self.next_trial() if step is None and self.has_room() else step
