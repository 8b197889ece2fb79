"""A grid as a searcher of Ray Tune, whose own grid search looks at every value again for each trial."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from ray.tune.search import Searcher

from sweeps.plan.plan import TrialPlan


class GridSearcher(Searcher):
    """Gives Tune the pending trials of a plan, in their order."""

    def __init__(self, pending: Iterable[TrialPlan], expect: Callable[[TrialPlan], dict[str, Any]]) -> None:
        """expect is called with each trial that is to start, and gives its config."""
        super().__init__()
        self.pending = deque(pending)
        self.expect = expect

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its searcher to restore a run, which the records make unnecessary."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """The config of the next trial, or FINISHED."""
        return {"trial": self.expect(self.pending.popleft())} if self.pending else self.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: no trial of a grid depends on another."""
