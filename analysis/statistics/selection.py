"""What choosing the best arm adds to its figures, and the figures without it: the winner's curse.

An arm is chosen by its validation figures and measured on test. The images differ, but the networks are the same ones:
seeds that were lucky on validation are lucky on test, so the test figures of the arm that is chosen are too good, and
so is its difference to a baseline (Andrews, Kitagawa & McCloskey 2024, "Inference on Winners"). Here the draws of
validation choose again and again, which shows how much better than its centre an arm looks when it is chosen, and the
seeds of all arms show how much of that test repeats. One seed of each arm shows nothing of the kind.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.objectives import figure_of
from analysis.pareto import Front
from analysis.statistics.bootstrap import Estimate
from analysis.statistics.evidence import Evidence, widening

_SIGNED = ("gap", "gap_scaled")  # figures that can be negative


@dataclass(frozen=True)
class Luck:
    """By how much a test figure of a chosen arm, or its difference to the baseline, is too high on average.

    It depends on how far apart the arms truly are. level: not at all, so that luck alone chooses; apart: as far as they
    look; likely: as far as they look, less what luck adds to that.
    """

    likely: float
    level: float
    apart: float

    def removed(self, estimate: Estimate, lowest: float = -np.inf) -> Estimate:
        """The estimate without luck; its interval holds from level arms to arms that are as far apart as they look.

        An interval that begins at the lowest value there is still does: luck cannot have lowered that.
        """
        most, least = max(vars(self).values()), min(vars(self).values())
        low = estimate.low if estimate.low <= lowest else max(lowest, estimate.low - most)
        return Estimate(*(max(low, end) for end in (estimate.value - self.likely, low, estimate.high - least)))


@dataclass(frozen=True)
class Selection:
    """An arm chosen as the best on validation, and the luck in each of its test figures and their differences."""

    arm: str
    baseline: str
    levels: dict[str, Luck]
    differences: dict[str, Luck]

    def corrected(self, test: Evidence) -> Evidence:
        """The evidence of test, in which estimates of the arm are what other seeds would show."""
        return _Corrected(**vars(replace(test, selected=self.arm)), selection=self)


@dataclass(frozen=True)
class _Corrected(Evidence):
    """Evidence whose estimates and differences of the selected arm are without luck; draws are as they were."""

    selection: Selection | None = None

    def estimate(self, figure: str, arm: str) -> Estimate:
        """A figure of an arm, as it is reported everywhere."""
        measured, selection = self.measured(figure, arm), self.selection
        if selection is None or arm != selection.arm:
            return measured
        return selection.levels[figure].removed(measured, lowest=-np.inf if figure in _SIGNED else 0.0)

    def difference(self, figure: str, first: str, second: str) -> Estimate:
        """The figure of the first arm minus that of the second."""
        measured, selection = super().difference(figure, first, second), self.selection
        if selection is None or first == second or selection.arm not in (first, second):
            return measured
        lucks = selection.differences if {first, second} == {selection.arm, selection.baseline} else selection.levels
        if first == selection.arm:
            return lucks[figure].removed(measured)
        return lucks[figure].removed(measured.negative).negative


def selection_of(
    runs: pd.DataFrame, front: Front, validation: Evidence, objective: str, arm: str, baseline: str
) -> Selection | None:
    """The selection of an arm as the best by one of the front's objectives; None if no arm has two seeds.

    runs are those that validation is the evidence of. That a chosen arm must be probably on the front, too, is left
    out of the choices that the draws make. It matters little for the first objective (tests/benchmarks/coverage); the
    best by a later one owes to it luck in the first, which stays.
    """
    finished = runs.loc[runs["status"] == "finished"]
    if len(finished) == len(validation.arms):
        return None
    seeds, noise = _Seeds(finished, validation.arms, figure_of(objective)), _noise(validation, figure_of(objective))
    place, base = validation.arms.index(arm), validation.arms.index(baseline)
    likely, level, apart = (
        seeds.best(spread, noise, front.objectives[objective]) for spread in (seeds.reliable, 0.0, 1.0)
    )
    levels, differences = {}, {}
    for figure in validation.draws:
        luck = seeds.repeated(figure, noise)
        for lucks, values in ((levels, luck), (differences, luck - luck[:, [base]])):
            of_best = values[np.arange(len(level)), level]
            of_level = _mean(of_best[(level != base) | (lucks is levels)], otherwise=0.0)
            own = [_mean(values[best == place, place], of_level) for best in (likely, apart)]
            lucks[figure] = Luck(likely=own[0], level=of_level, apart=own[1])
    return Selection(arm, baseline, levels, differences)


def _mean(values: np.ndarray, otherwise: float) -> float:
    """The mean of values, or another number if there are none."""
    return float(values.mean()) if len(values) else otherwise


def _noise(validation: Evidence, figure: str) -> np.ndarray:
    """How much more an arm has of a figure in a draw than usual, beside other arms, [R, A]; 0 for a size."""
    if figure not in validation.draws:
        return np.zeros((validation.num_resamples, len(validation.arms)))
    draws = validation.draws[figure]
    noise = draws - np.median(draws, axis=0)
    return noise - np.nanmean(noise, axis=1, keepdims=True)


class _Seeds:
    """What the seeds of A arms say of one figure on validation, and of what test repeats of its luck.

    centre [A]: the figure of each arm, the mean over both splits. reliable: how far apart arms truly are, as a share of
    how far apart they look; with centres so much closer, they differ as much as true ones do (Louis 1984).
    """

    def __init__(self, finished: pd.DataFrame, arms: list[str], figure: str) -> None:
        both = [name for name in (f"validation/{figure}", f"test/{figure}", figure) if name in finished]
        self._figure, self._finished, self._freedom = figure, finished, len(finished) - len(arms)
        self._members = [np.flatnonzero(finished["arm"] == arm) for arm in arms]
        self._count = np.array([len(rows) for rows in self._members], dtype=float)
        values = finished[both].to_numpy(float).mean(axis=1)
        self.centre = np.array([values[rows].mean() for rows in self._members])
        between = np.nanvar(self.centre) * len(arms) / max(1, len(arms) - 1)
        by_chance = self._common(values, values) * np.mean(1 / self._count)
        self.reliable = float(np.sqrt(max(0.0, 1 - by_chance / between))) if between > 0 else 0.0

    def _common(self, first: np.ndarray, second: np.ndarray) -> float:
        """The covariance of two figures of trials, [T], between the seeds of an arm."""
        pairs = [(first[rows] - first[rows].mean()) @ (second[rows] - second[rows].mean()) for rows in self._members]
        return float(np.nansum(pairs) / self._freedom)

    def best(self, spread: float, noise: np.ndarray, direction: str) -> np.ndarray:
        """The index of the best arm of each draw, [R], if arms are so many times as far apart as they look."""
        values = spread * self.centre + noise
        return np.nanargmax(values, axis=1) if direction == "max" else np.nanargmin(values, axis=1)

    def repeated(self, figure: str, noise: np.ndarray) -> np.ndarray:
        """The luck [R, A] that a test figure is expected to have, given the validation figure's noise [R, A].

        It is the regression on the noise by what the two have in common between seeds. The noise of evidence is wider
        by Student's t, as its interval is.
        """
        names, num_arms = [f"validation/{self._figure}", f"test/{figure}"], len(self._count)
        if not all(name in self._finished for name in names):
            return np.zeros_like(noise)
        common, variance = self._common(*self._finished[names].to_numpy(float).T), noise.var(axis=0)
        if figure == self._figure:
            common = max(0.0, common)
        of_seeds = widening(self._freedom) * (1 - 1 / num_arms) * common / self._count
        return noise * np.divide(of_seeds, variance, out=np.zeros(num_arms), where=variance > 0)
