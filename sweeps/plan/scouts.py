"""Early stopping and seeds: what was selected on one seed of an arm is measured on its others.

With early stopping, the first seed of each arm scouts: rungs decide on it, and on no other. The other seeds are its
followers: they run to the end once their scout has finished, and are left out if it was stopped. Other sweeps' stops,
and those of another rule, count for nothing, so that their trials go on.
"""

from typing import Any

from kd_core.store.index import Role
from kd_core.store.manifest import MadeFrom
from kd_core.store.product import State, Status
from sweeps.config.sweep import SweepSpec


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
