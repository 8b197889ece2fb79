"""What a sample of images says of a sweep's arms: estimates, intervals and paired differences of their figures."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from analysis.pareto import counted
from analysis.statistics.bootstrap import (
    COVERAGE,
    DRAWN,
    MEANS,
    READINGS,
    Draws,
    Estimate,
    draws_of_mean,
    resample,
    sums_of,
)
from kd_core.measure.outcomes import SUFFIXES, Outcomes
from kd_core.store.files import read_ahead

_RANGES = {"gap": (-1, 1), "nll": (0, None), "brier": (0, 2)}  # what a figure can be; of the others, 0 to 1


@dataclass(frozen=True)
class Evidence:
    """What one split says of A arms: draws [R, A] are plausible values of each true figure, paired over arms.

    An arm's figure is the mean over its seeds. If an arm has two seeds or more, draws of all arms include how much
    seeds differ (seed_deviation, a standard deviation pooled over arms); otherwise (NaN) they only say what other
    images would show. plain [A] are the figures of the sample itself, uncorrected.
    """

    split: str
    num_images: int
    num_resamples: int
    arms: list[str]
    num_seeds: dict[str, int]
    plain: dict[str, np.ndarray]
    draws: Draws
    seed_deviation: dict[str, float]

    def estimate(self, figure: str, arm: str) -> Estimate:
        """A figure of an arm."""
        column = self.arms.index(arm)
        return _estimate(figure, self.draws[figure][:, column], self.plain[figure][column])

    def difference(self, figure: str, first: str, second: str) -> Estimate:
        """The figure of the first arm minus that of the second."""
        one, other = self.arms.index(first), self.arms.index(second)
        draws, plain = self.draws[figure], self.plain[figure]
        return _estimate(figure, draws[:, one] - draws[:, other], plain[one] - plain[other])


def _estimate(figure: str, draws: np.ndarray, plain: float) -> Estimate:
    is_mean = figure.removesuffix("_scaled") in MEANS  # then the sample's figure needs no correction
    return Estimate.of(draws, float(plain) if is_mean else None)


def estimates_of(points: pd.DataFrame, test: Evidence | None, figure: str) -> list[Estimate]:
    """A test figure of each arm with its interval; NaN ends for one that has none, such as the number of parameters."""
    if test is not None and figure in test.draws:
        return [test.estimate(figure, arm) for arm in points["arm"]]
    column = f"test/{figure}" if f"test/{figure}" in points else figure
    return [Estimate(float(value), np.nan, np.nan) for value in points[column]]


def evidence_of(
    runs: pd.DataFrame,
    split: str,
    outcomes: Callable[[str], Outcomes],
    num_resamples: int,
    figures: Sequence[str] = DRAWN,
) -> Evidence | None:
    """The evidence of the `counted` runs (columns arm, trial, status and figures); None if there is none.

    outcomes(trial) reads a trial's outcomes on the split. Raises ValueError if two trials saw different images.
    """
    finished = counted(runs)
    if finished.empty:
        return None
    arms = finished["arm"].drop_duplicates().tolist()
    members = [finished.loc[finished["arm"] == arm] for arm in arms]
    trials = [each["trial"].tolist() for each in members]
    num_images = len(outcomes(trials[0][0]).label)
    models = _of_same_images(list(itertools.chain.from_iterable(trials)), outcomes)
    sums = sums_of(models, resample(num_images, num_resamples), figures)
    by_arm, by_seed = [], []
    for each in trials:
        seeds = list(itertools.islice(sums, len(each)))
        by_arm.append(draws_of_mean(seeds, figures))
        by_seed.append([draws_of_mean([seed], figures) for seed in seeds] if len(seeds) > 1 else [])
    names = [name + SUFFIXES[reading] for reading in READINGS for name in figures]
    names = [name for name in names if name != "accuracy_scaled"]
    noise, deviation = _seed_noise(by_seed, trials, names, num_resamples)
    draws = {name: np.stack([each[name] for each in by_arm], axis=1) + noise[name] for name in names}
    return Evidence(
        split=split,
        num_images=num_images,
        num_resamples=num_resamples,
        arms=arms,
        num_seeds={arm: len(each) for arm, each in zip(arms, trials, strict=True)},
        plain={name: np.array([each[f"{split}/{name}"].mean() for each in members]) for name in names},
        draws={name: np.clip(each, *_range(name)) for name, each in draws.items()},
        seed_deviation=deviation,
    )


def _range(name: str) -> tuple[float, float | None]:
    return _RANGES.get(name.removesuffix("_scaled"), (0, 1))


def _of_same_images(trials: Sequence[str], outcomes: Callable[[str], Outcomes]) -> Iterator[Outcomes]:
    label = None
    for trial, each in zip(trials, read_ahead(outcomes, trials), strict=True):
        label = each.label if label is None else label
        if not np.array_equal(each.label, label):
            raise ValueError(f"trial {trial} was evaluated on other images than {trials[0]}")
        yield each


def _seed_noise(
    draws: Sequence[Sequence[Draws]], trials: Sequence[Sequence[str]], names: Sequence[str], num_resamples: int
) -> tuple[Draws, dict[str, float]]:
    """For each figure, what the choice of seeds adds to the draws of each arm's mean, [R, A], and its deviation.

    draws are those of each seed of each arm that has several. The variance between seeds of one arm, pooled over arms,
    less what the images alone explain, is the variance of seeds. The noise is drawn from the residuals of all arms, the
    same ones for every figure, so that it keeps their correlation. It is wider by Student's t, since few seeds leave
    the variance uncertain.
    """
    replicated = [each for each in draws if each]
    shape, freedom = (num_resamples, len(trials)), sum(len(each) - 1 for each in replicated)
    if not replicated:
        return dict.fromkeys(names, np.zeros(shape)), dict.fromkeys(names, float("nan"))
    chosen = [_choices(each, num_resamples, freedom + len(replicated)) for each in trials]
    widening = stats.t.ppf((1 + COVERAGE) / 2, freedom) / stats.norm.ppf((1 + COVERAGE) / 2)
    noise, deviation = {}, {}
    for name in names:
        values = [np.stack([seed[name] for seed in seeds], axis=1) for seeds in replicated]  # [R, S] for each arm
        centres = [np.median(each, axis=0) for each in values]
        residuals = np.concatenate([_centred(each[None])[0] for each in centres])
        by_images = np.concatenate(
            [_centred(each - centre) for each, centre in zip(values, centres, strict=True)], axis=1
        )
        between, explained = np.mean(residuals**2), np.mean(by_images**2)
        excess = max(0.0, between - explained)
        deviation[name] = float(np.sqrt(excess))
        scale = widening * np.sqrt(excess / between) if between > 0 else 0.0
        noise[name] = scale * np.stack([(sign * residuals[index]).mean(axis=1) for index, sign in chosen], axis=1)
    return noise, deviation


def _centred(values: np.ndarray) -> np.ndarray:
    """Values [R, S] less their mean over S seeds, scaled so that their mean square estimates the variance."""
    size = values.shape[1]
    return (values - values.mean(axis=1, keepdims=True)) * np.sqrt(size / (size - 1))


def _choices(trials: Sequence[str], num_resamples: int, num_residuals: int) -> tuple[np.ndarray, np.ndarray]:
    """Which residual each seed of each draw gets, and its sign, both [R, S]; a function of the arm's S trials."""
    key = int.from_bytes(hashlib.sha256(" ".join(trials).encode()).digest()[:8])
    raw = np.random.Philox(key=key).random_raw(num_resamples * len(trials)).reshape(num_resamples, len(trials))
    index = ((raw >> np.uint64(11)) * 2.0**-53 * num_residuals).astype(np.int64)
    return index, np.where(raw & np.uint64(1), 1.0, -1.0)
