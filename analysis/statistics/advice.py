"""What would decide between arms that cannot be told apart: more validation images, or more seeds."""

from dataclasses import dataclass

import numpy as np

from analysis.pareto import Front, figure_of
from analysis.statistics.evidence import Evidence

_VISIBLE = 1.96  # standard deviations at which a difference is told from none, at 95 %
_UNDECIDED = (0.05, 0.95)  # front probabilities between which an arm may be on the front or not
_MOST_IMAGES, _MOST_SEEDS = 1_000_000, 100  # beyond which nobody goes


@dataclass(frozen=True)
class Decision:
    """Two arms of which it is open whether the rival dominates the arm, and what would show it.

    Each number is how many times more it takes: more_images at the same number of seeds, more_seeds on the same images,
    or more_of_both; infinite where it is not enough. It takes more still if the arms differ by less than they seem to.
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
        if images < _MOST_IMAGES:
            options.append(f"about {_rounded(images):,} images")
        if seeds < _MOST_SEEDS:
            options.append(f"about {np.ceil(seeds):.0f} seeds")
        if not options and both * num_images < _MOST_IMAGES:
            options.append(f"about {_rounded(both * num_images):,} images and {np.ceil(both * num_seeds):.0f} seeds")
        if not options:
            return f"{begin}, and stays so with any reasonable number: they differ by too little."
        return f"{begin}; {' or '.join(options)} would show it, if they differ by as much as they seem to."


def decisions(front: Front, validation: Evidence) -> list[Decision]:
    """One decision for each plausible arm that may be on the front or not, the easiest first."""
    points = front.points
    open_arms = points.loc[
        points["plausible"] & points["front_probability"].between(*_UNDECIDED) & (points["rival"] != "")
    ]
    made = [_decision(front, validation, arm, rival) for arm, rival in open_arms[["arm", "rival"]].to_numpy()]
    return sorted(made, key=lambda each: min(each.more_images, each.more_seeds, each.more_of_both))


def _decision(front: Front, validation: Evidence, arm: str, rival: str) -> Decision:
    """That the rival dominates takes every objective to show, that it does not takes one where the arm is better."""
    advantages, needed = [], []
    for name, direction in front.objectives.items():
        figure = figure_of(name)
        if figure not in validation.draws:  # a size, which is known
            values = dict(front.points[["arm", name]].to_numpy())
            advantage, more = float(values[arm] - values[rival]), (1.0, 1.0, 1.0)
        else:
            advantage, more = _more(validation, figure, arm, rival)
        advantages.append(advantage if direction == "max" else -advantage)
        needed.append(more)
    better = [each for each, advantage in zip(needed, advantages, strict=True) if advantage > 0]
    more = np.min(better, axis=0) if better else np.max(needed, axis=0)
    return Decision(arm, rival, *more.tolist())


def _more(validation: Evidence, figure: str, arm: str, rival: str) -> tuple[float, tuple[float, float, float]]:
    """The difference of a figure, and how many times more images, seeds, or both would make it visible."""
    first, second = (validation.draws[figure][:, validation.arms.index(each)] for each in (arm, rival))
    difference = validation.difference(figure, arm, rival).value
    deviation = np.nan_to_num(validation.seed_deviation[figure])
    of_seeds = deviation**2 * sum(1 / validation.num_seeds[each] for each in (arm, rival))
    of_images = max(0.0, float(np.var(first - second)) - of_seeds)
    visible = (difference / _VISIBLE) ** 2  # the variance at which this difference is visible
    images = of_images / (visible - of_seeds) if visible > of_seeds else np.inf
    seeds = of_seeds / (visible - of_images) if visible > of_images and of_seeds > 0 else np.inf
    both = (of_images + of_seeds) / visible if visible > 0 else np.inf
    return difference, (images, seeds, both)


def _rounded(number: float) -> int:
    """Two significant digits, upwards."""
    unit = 10 ** max(0, int(np.log10(max(number, 1))) - 1)
    return int(np.ceil(number / unit) * unit)
