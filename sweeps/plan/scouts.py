"""Early stopping and seeds: what was selected on one seed of an arm is measured on its others.

With early stopping, the first seed of each arm scouts: rungs decide on it, and on no other. The other seeds are its
followers: they run to the end once their scout has finished, and are left out if it was stopped. Other sweeps' stops,
and those of another rule, count for nothing, so that their trials go on.
"""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kd_core.store.index import Role
from kd_core.store.manifest import MadeFrom
from kd_core.store.product import State, Status
from sweeps.config.sweep import SweepSpec

if TYPE_CHECKING:
    from sweeps.plan.plan import TrialPlan


def role_of(spec: SweepSpec, seed: int) -> Role:
    """The part that a seed has in its arm; of the seeds of the spec it is "" without early stopping."""
    if seed not in spec.seeds:
        return "confirmation"
    if spec.early_stopping is None:
        return ""
    return "scout" if seed == spec.seeds[0] else "follower"


def stopping_of(spec: SweepSpec) -> dict[str, Any]:
    """The sweep and the rule that stop trials early, as a stopped trial names them."""
    rule = spec.early_stopping.model_dump(mode="json") if spec.early_stopping is not None else None
    return {"sweep": spec.name, "early_stopping": rule, "objectives": dict(spec.objectives)}


def status_in(spec: SweepSpec, role: Role, state: State, made_from: MadeFrom | None = None) -> Status:
    """The status of a trial in a sweep: that of its product, but pending or stale if it is to go on.

    Pending is what was stopped by another sweep or rule, or is no scout; stale what was made from other weights of its
    teacher than made_from has, which is None while the teacher is not finished.
    """
    if state.manifest is not None:
        return "finished" if made_from in (None, state.made_from) else "stale"
    if state.stop is not None and state.status == "stopped":
        stop = state.stop.model_dump()
        return "stopped" if role == "scout" and stop | stopping_of(spec) == stop else "pending"
    return state.status


class Line:
    """The trials that are to run, in their order: scouts and whoever waits for none first, followers in due time."""

    def __init__(self, spec: SweepSpec) -> None:
        self._spec = spec
        self._ready: deque[TrialPlan] = deque()
        self._held: dict[str, list[TrialPlan]] = {}  # followers by arm, while their scout is in line or runs

    def join(self, trials: Iterable["TrialPlan"]) -> None:
        """Take those of some trials, all of whole arms, that can be trained and are not done."""
        left = [each for each in trials if each.can_run and not each.done]
        self._held |= {each.trial.arm: [] for each in left if each.role == "scout"}
        for each in left:
            held = self._held.get(each.trial.arm) if each.role == "follower" else None
            (self._ready if held is None else held).append(each)

    def next(self) -> "TrialPlan | None":
        """The next trial that may start now, if there is one; it leaves the line."""
        return self._ready.popleft() if self._ready else None

    @property
    def is_waiting(self) -> bool:
        """Whether there are trials that may start once others have ended."""
        return any(self._held.values())

    def ended(self, trial: "TrialPlan") -> list["TrialPlan"]:
        """Learn from its files how a trial has ended; returns the followers that are not to run after that."""
        held = self._held.pop(trial.trial.arm, []) if trial.role == "scout" else []
        if held and status_in(self._spec, trial.role, trial.product.state(), trial.made_from) == "finished":
            self._ready.extend(held)
            return []
        return held
