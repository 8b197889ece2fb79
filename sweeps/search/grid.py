"""A grid as a searcher of Ray Tune, whose own grid search looks at every value again for each trial."""

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from sweeps.plan.plan import Plan, TrialPlan
from sweeps.plan.scouts import Line


class GridSearcher(Searcher):
    """Gives Tune the pending trials of a plan, in their order, and followers once their scouts have finished."""

    def __init__(
        self,
        plan: Plan,
        expect: Callable[[TrialPlan], dict[str, Any]],
        give_up: Callable[[TrialPlan, TrialPlan], None],
    ) -> None:
        """expect is called with each trial that is to start, and gives its config; give_up with a follower that is
        not to run after all, and its scout.
        """
        super().__init__()
        self.plan, self.line, self.expect, self.give_up = plan, Line(plan.spec), expect, give_up
        self.line.join(plan.trials)
        self.running: dict[str, TrialPlan] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its searcher to restore a run, which the records make unnecessary."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial, or FINISHED; None while all that are left wait for others."""
        planned = self.next_trial()
        if planned is None:
            return None if self.line.is_waiting else self.FINISHED
        self.running[trial_id] = planned
        return {"trial": self.expect(planned)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Let the followers of a scout come, or give them up, by its record."""
        self.end(self.running.pop(trial_id))

    def next_trial(self) -> TrialPlan | None:
        """The next trial that may start now, or None."""
        return self.line.next()

    def end(self, planned: TrialPlan) -> int:
        """Learn that a trial has ended; returns how many followers are given up by that."""
        followers = self.line.ended(planned)
        for follower in followers:
            self.give_up(follower, planned)
        return len(followers)
