"""Which arms are worth naming: one to take by the first objective, and those whose price in it is worth paying."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.objectives import SCALABLE, figure_of
from analysis.pareto import Front
from analysis.statistics.bootstrap import Estimate
from analysis.statistics.evidence import Evidence

KNEE, MOST_ACCURATE, BEST_CALIBRATED = "knee", "most-accurate", "best-calibrated"
WORDS = (KNEE, MOST_ACCURATE, BEST_CALIBRATED)  # for which `kdsweep promote` takes an arm


@dataclass(frozen=True)
class Choices:
    """The arms of a front that are worth naming, the one to take first, and the arm for which each of WORDS stands."""

    front: Front
    named: list[str]
    by_word: dict[str, str]

    @property
    def recommended(self) -> str:
        """The arm to take; "" without one."""
        return self.named[0] if self.named else ""


def baseline_of(front: Front) -> str:
    """The arm that others are compared with: the first that is trained plainly, on hard labels; "" without one."""
    classic = front.points.loc[front.points["method"] == "classic", "arm"]
    return str(classic.iloc[0]) if len(classic) else ""


def worth_naming(front: Front, validation: Evidence | None, baseline: str) -> list[str]:
    """The arms to choose among, the one to take first; none without arms.

    It is the best by the first objective of the candidates: the arms on the front with a probability above a half, or
    all plausible ones where there is none. Another candidate is worth naming if, on validation, it is

    - visibly better than the first in another objective: the 95 % interval of their paired difference excludes zero;
    - not visibly worse than the baseline in the first objective, where that is measured on images. Plain training has
      that accuracy without a teacher, and temperature scaling mends its calibration: whatever is below it costs more
      than it is worth.
    """
    candidates = _candidates(front)
    if validation is None or not candidates:
        return []
    names = list(front.objectives)
    first = best_of(front, candidates, names[0])
    better = better_than(front, validation, first, candidates)
    return [first, *(arm for arm in better if not is_too_dear(front, validation, arm, baseline))]


def better_than(front: Front, validation: Evidence, first: str, arms: Sequence[str] | None = None) -> list[str]:
    """Those of the arms (by default the candidates) that are visibly better than the first in another objective."""
    others = [arm for arm in (_candidates(front) if arms is None else arms) if arm != first]
    names = list(front.objectives)[1:]
    return [arm for arm in others if any(gain(front, validation, name, arm, first).low > 0 for name in names)]


def is_too_dear(front: Front, validation: Evidence, arm: str, baseline: str) -> bool:
    """Whether an arm is visibly worse than the baseline in the first objective, which images measure."""
    name = next(iter(front.objectives))
    if not baseline or arm == baseline or figure_of(name) not in validation.draws:
        return False
    return gain(front, validation, name, arm, baseline).high < 0


def gain(front: Front, evidence: Evidence, objective: str, arm: str, other: str) -> Estimate:
    """How much better an arm is than another by an objective; a size, which is known, has an interval of no width."""
    figure, sign = figure_of(objective), 1 if front.objectives[objective] == "max" else -1
    if figure in evidence.draws:
        one, two = (arm, other) if sign > 0 else (other, arm)
        return evidence.difference(figure, one, two)
    difference = sign * (value_of(front, objective, arm) - value_of(front, objective, other))
    return Estimate(difference, difference, difference)


def value_of(front: Front, objective: str, arm: str) -> float:
    """An arm's value by an objective, as selection sees it."""
    return dict(zip(front.points["arm"], front.points[objective], strict=True))[arm]


def best_of(front: Front, arms: Sequence[str], objective: str, direction: str = "") -> str:
    """The best of some arms by a figure of validation, in a direction: the objective's, or min, unless it is given."""
    points = front.points.loc[front.points["arm"].isin(arms)]
    ascending = (direction or front.objectives.get(objective, "min")) == "min"
    return str(points.sort_values(objective, ascending=ascending, kind="stable")["arm"].iloc[0])


def choices_of(front: Front, validation: Evidence | None, baseline: str, suffix: str) -> Choices:
    """The choices among the arms of a judged front; suffix is that of the figures of its reading."""
    arms = worth_naming(front, validation, baseline)
    if not arms:
        return Choices(front, [], {})
    calibration = [name for name in front.objectives if figure_of(name).removesuffix("_scaled") in SCALABLE]
    best_calibrated = best_of(front, arms, calibration[0] if calibration else f"validation/ece{suffix}")
    most_accurate = best_of(front, arms, "validation/accuracy", "max")
    return Choices(
        front, arms, {KNEE: knee_of(front, arms), MOST_ACCURATE: most_accurate, BEST_CALIBRATED: best_calibrated}
    )


def knee_of(front: Front, arms: Sequence[str]) -> str:
    """The arm that is farthest from the line between the extremes (Das 1999), of equal ones the best by the first.

    Objectives are scaled to the range that they have among these arms.
    """
    name, direction = next(iter(front.objectives.items()))
    points = front.points.loc[front.points["arm"].isin(arms)]
    points = points.sort_values(name, ascending=direction == "min", kind="stable")
    signs = np.array([-1.0 if way == "max" else 1.0 for way in front.objectives.values()])
    values = points[list(front.objectives)].to_numpy(dtype=float) * signs
    ranges = np.ptp(values, axis=0)
    place = ((values - values.min(axis=0)) / np.where(ranges > 0, ranges, 1.0)).sum(axis=1).argmin()
    return str(points["arm"].iloc[int(place)])


def _candidates(front: Front) -> list[str]:
    plausible = front.points.loc[front.points["plausible"]]
    probable = plausible.loc[plausible["front_probability"] > 0.5]
    return (probable if len(probable) else plausible)["arm"].tolist()
