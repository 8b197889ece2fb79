"""What would decide between arms that cannot be told apart: more validation images, or more seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.objectives import figure_of
from analysis.pareto import Front
from analysis.statistics.bootstrap import COVERAGE
from analysis.statistics.evidence import Evidence, widening

POWER = 0.8  # the share of repetitions in which what is advised shows a difference
MOST_IMAGES, MOST_SEEDS = 10, 20  # times the present images, and seeds an arm, beyond which arms are practically level
_QUANTILES = 16
_UNDECIDED = (0.05, 0.95)  # front probabilities between which an arm may be on the front or not


@dataclass(frozen=True)
class Decision:
    """Two arms of which it is open whether the rival dominates the arm, and what would show it in 80 % of repetitions.

    Each number is how many times more it takes: more_images at the same number of seeds, more_seeds on the same images,
    or more_of_both; infinite beyond ten times the images or twenty seeds. It takes more still if the arms differ by
    less than they seem to.
    """

    arm: str
    rival: str
    more_images: float
    more_seeds: float
    more_of_both: float

    def sentence(self, num_images: int, num_seeds: int) -> str:
        """What would decide, given the present numbers of validation images and of seeds of the arm."""
        present = f"{num_images:,} validation images and {num_seeds} seed{'s' * (num_seeds > 1)}"
        begin = f"Whether {self.rival} beats {self.arm} on every objective is open with {present}"
        images, seeds, both = self.more_images * num_images, self.more_seeds * num_seeds, self.more_of_both
        options = []
        if np.isfinite(images):
            options.append(f"about {_rounded(images):,} images")
        if np.isfinite(seeds):
            options.append(f"about {np.ceil(seeds):.0f} seeds")
        if not options and np.isfinite(both):
            options.append(f"about {_rounded(both * num_images):,} images and {np.ceil(both * num_seeds):.0f} seeds")
        if not options:
            most = f"ten times the images{' and twenty seeds' * (num_seeds > 1)}"
            return f"{begin}: they are practically level, and {most} would hardly show it."
        how_often = f"in {100 * POWER:.0f} % of repetitions"
        return f"{begin}; {' or '.join(options)} would show it {how_often}, if they differ by as much as they seem to."


def decisions(front: Front, validation: Evidence) -> list[Decision]:
    """One decision for each plausible arm that may be on the front or not, the easiest first."""
    points = front.points
    open_arms = points.loc[
        points["plausible"] & points["front_probability"].between(*_UNDECIDED) & (points["rival"] != "")
    ]
    made = [_decision(front, validation, arm, rival) for arm, rival in open_arms[["arm", "rival"]].to_numpy()]
    return sorted(made, key=lambda decision: min(decision.more_images, decision.more_seeds, decision.more_of_both))


@dataclass(frozen=True)
class _Difference:
    """By how much an arm is better than its rival in one objective, and the variance of that by images and by seeds.

    of_images is the variance that more seeds leave as it is, of_both what more of either makes less. Few seeds leave
    their variance uncertain: of_seeds [Q] are equally likely values of it.
    """

    value: float
    of_images: float
    of_both: float
    of_seeds: np.ndarray
    num_seeds: tuple[int, ...]  # of all arms, from which the variance of seeds is estimated

    def power(self, images: float, seeds: float) -> float:
        """How often the 95 % interval leaves out zero with so many times more images and seeds."""
        wider = widening(sum(number * seeds - 1 for number in self.num_seeds))
        of_images, of_seeds = self.of_images / images, (self.of_seeds + self.of_both / images) / seeds
        variance, drawn = np.maximum(of_images + of_seeds, np.finfo(float).tiny), of_images + wider**2 * of_seeds
        end = float(stats.norm.ppf((1 + COVERAGE) / 2)) * np.sqrt(drawn)
        return float(stats.norm.cdf((abs(self.value) - end) / np.sqrt(variance)).mean())


def _decision(front: Front, validation: Evidence, arm: str, rival: str) -> Decision:
    """That the rival dominates takes every objective to show, that it does not takes one where the arm is better."""
    differences = [_difference(front, validation, name, arm, rival) for name in front.objectives]
    better = [[difference] for difference in differences if difference.value > 0]
    num_seeds = validation.num_seeds[arm]
    most_seeds = MOST_SEEDS / num_seeds if num_seeds > 1 else 0.0

    def needed(most: float, images: bool, seeds: bool) -> float:
        """How many times more it takes to show one of the ways in which it can be decided."""
        return min(_times(way, most, images, seeds) for way in better or [differences])

    both = needed(min(MOST_IMAGES, most_seeds), images=True, seeds=True)
    return Decision(arm, rival, needed(MOST_IMAGES, True, False), needed(most_seeds, False, True), both)


def _difference(front: Front, validation: Evidence, name: str, arm: str, rival: str) -> _Difference:
    figure, sign = figure_of(name), 1 if front.objectives[name] == "max" else -1
    if figure not in validation.draws:  # a size, which is known
        values = dict(front.points[["arm", name]].to_numpy())
        return _Difference(sign * float(values[arm] - values[rival]), 0.0, 0.0, np.zeros(1), ())
    per_seed = sum(1 / validation.num_seeds[name] for name in (arm, rival))
    num_seeds = tuple(validation.num_seeds.values())
    variance = sum(validation.seed_variance(figure, name) for name in (arm, rival)) / per_seed
    of_images = validation.image_variance(figure, {arm: 1.0, rival: -1.0})
    of_both = min(of_images, validation.one_seed_variance.get(figure, 0.0) * per_seed)
    of_seeds = _likely(variance, of_both / per_seed, validation.freedom) * per_seed
    value = sign * validation.difference(figure, arm, rival).value
    return _Difference(value, of_images - of_both, of_both, of_seeds, num_seeds)


def _likely(variance: float, of_images: float, freedom: int) -> np.ndarray:
    """Equally likely variances of seeds, [Q]; the estimate is what seeds vary less what images explain of that."""
    if freedom == 0:
        return np.zeros(1)
    chances = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
    return np.maximum((variance + of_images) * freedom / stats.chi2.ppf(chances, freedom) - of_images, 0.0)


def _times(differences: Sequence[_Difference], most: float, images: bool, seeds: bool) -> float:
    """How many times more images, seeds or both it takes to see all differences with POWER; infinite beyond most."""

    def power(times: float) -> float:
        """How often all differences are seen with so many times more."""
        more = (times if images else 1, times if seeds else 1)
        return float(np.prod([difference.power(*more) for difference in differences]))

    if most < 1 or power(most) < POWER:
        return np.inf
    low, high = 1.0, float(most)
    while high / low > 1.001:
        middle = np.sqrt(low * high)
        low, high = (low, middle) if power(middle) >= POWER else (middle, high)
    return float(high)


def _rounded(number: float) -> int:
    """Two significant digits, upwards."""
    unit = 10 ** max(0, int(np.log10(max(number, 1))) - 1)
    return int(np.ceil(number / unit) * unit)
