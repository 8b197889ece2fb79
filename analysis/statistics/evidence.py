"""What a sample of images says of a sweep's arms: estimates, intervals and paired differences of their figures."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
from kd_core.measure.predictions import SUFFIXES, Predictions
from kd_core.store.files import read_ahead

_OWN = 0.1  # an arm of three seeds or more whose variance is larger at this level has its own, not the pooled one
_UNSTABLE = 0.05  # and is called unstable at this level, divided by the number of arms; this suffices with two seeds
_FEW = 300  # resamples that are enough for a variance
# What a figure can be; of the others, 0 to 1
_RANGES = {"gap": (-1, 1), "nll": (0, None), "brier": (0, 2), "set_size": (0, None)}


@dataclass(frozen=True)
class Evidence:
    """What one split says of A arms: draws [R, A] are plausible values of each true figure, paired over arms.

    An arm's figure is the mean over its seeds. If an arm has two seeds or more, draws of all arms include how much
    seeds differ; otherwise they only say what other images would show, as image_draws [R, A] always do. plain [A] are
    the figures of the sample itself, uncorrected, and label [N] the images' classes.

    seed_deviation is the standard deviation between seeds of one arm, without what the images explain, pooled over
    arms and not widened by the uncertainty of the estimate; NaN without two seeds of an arm. Arms whose seeds differ
    by visibly more have their own_deviation, by figure. Of them, those are unstable that stand out of all arms.
    one_seed_variance is the variance by images of one seed, less what the seeds of an arm have in common.

    selected is the arm whose estimates are without the luck of its selection (`analysis.statistics.selection`), or "".
    """

    split: str
    num_images: int
    num_resamples: int
    arms: list[str]
    num_seeds: dict[str, int]
    plain: dict[str, np.ndarray]
    draws: Draws
    seed_deviation: dict[str, float]
    own_deviation: dict[str, dict[str, float]] = field(default_factory=dict)
    unstable: dict[str, list[str]] = field(default_factory=dict)
    image_draws: Draws = field(default_factory=dict)
    one_seed_variance: dict[str, float] = field(default_factory=dict)
    label: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    selected: str = ""

    def deviation_of_seeds(self, figure: str, arm: str) -> float:
        """The standard deviation of a figure between seeds of an arm: its own, or that of all arms."""
        return self.own_deviation.get(figure, {}).get(arm, self.seed_deviation.get(figure, np.nan))

    @property
    def freedom(self) -> int:
        """The degrees of freedom of the seeds' deviation that arms share; 0 if each has one seed."""
        return sum(number - 1 for number in self.num_seeds.values())

    def seed_variance(self, figure: str, arm: str) -> float:
        """The variance that an arm's mean over seeds has by the choice of these; 0 where that is not known."""
        return float(np.nan_to_num(self.deviation_of_seeds(figure, arm)) ** 2 / self.num_seeds[arm])

    def image_variance(self, figure: str, weights: Mapping[str, float]) -> float:
        """The variance by the choice of images of a weighted sum of a figure over arms."""
        columns = [self.arms.index(arm) for arm in weights]
        draws = self.image_draws.get(figure, self.draws[figure])
        return float(np.var(draws[:, columns] @ np.array(list(weights.values()))))

    def estimate(self, figure: str, arm: str) -> Estimate:
        """A figure of an arm, as it is reported everywhere."""
        return self.measured(figure, arm)

    def measured(self, figure: str, arm: str) -> Estimate:
        """A figure of an arm as these images and seeds show it, with the luck of a selection."""
        column = self.arms.index(arm)
        return _estimate(figure, self.draws[figure][:, column], self.plain[figure][column])

    def difference(self, figure: str, first: str, second: str) -> Estimate:
        """The figure of the first arm minus that of the second."""
        one, other = self.arms.index(first), self.arms.index(second)
        draws, plain = self.draws[figure], self.plain[figure]
        return _estimate(figure, draws[:, one] - draws[:, other], plain[one] - plain[other])


def _estimate(figure: str, draws: np.ndarray, plain: float) -> Estimate:
    is_mean = figure.removesuffix("_scaled") in (*MEANS, "set_size")  # then the sample's figure needs no correction
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
    predictions: Callable[[str], Predictions],
    num_resamples: int,
    figures: Sequence[str] = DRAWN,
) -> Evidence | None:
    """The evidence of the `counted` runs (columns arm, trial, status and figures); None if there is none.

    predictions(trial) reads a trial's predictions on the split. Raises ValueError if two trials saw different images.
    """
    finished = counted(runs, split)
    if finished.empty:
        return None
    arms = finished["arm"].drop_duplicates().tolist()
    members = [finished.loc[finished["arm"] == arm] for arm in arms]
    trials = [rows["trial"].tolist() for rows in members]
    models = _of_same_images(list(itertools.chain.from_iterable(trials)), predictions)
    first = next(models)
    num_images = len(first.label)
    sums = sums_of(itertools.chain([first], models), resample(num_images, num_resamples), figures)
    by_arm, by_seed = [], []
    for of_arm in trials:
        seeds = list(itertools.islice(sums, len(of_arm)))
        by_arm.append(draws_of_mean(seeds, figures))
        few = [seed.of_first(_FEW) for seed in seeds] if len(seeds) > 1 else []
        by_seed.append([draws_of_mean([seed], figures) for seed in few])
    names = [name + SUFFIXES[reading] for reading in READINGS for name in figures]
    names = [name for name in names if name != "accuracy_scaled"]
    image_draws = {name: np.stack([draws[name] for draws in by_arm], axis=1) for name in names}
    chosen = _choices(trials, num_resamples, sum(map(len, by_seed)))
    seeds = {name: _SeedNoise.of([[seed[name] for seed in of_arm] for of_arm in by_seed]) for name in names}
    draws = {name: of_images + seeds[name].drawn(chosen) for name, of_images in image_draws.items()}
    return Evidence(
        split=split,
        num_images=num_images,
        num_resamples=num_resamples,
        arms=arms,
        num_seeds={arm: len(of_arm) for arm, of_arm in zip(arms, trials, strict=True)},
        plain={name: np.array([rows[f"{split}/{name}"].mean() for rows in members]) for name in names},
        draws={name: np.clip(values, *_range(name)) for name, values in draws.items()},
        seed_deviation={name: noise.deviation for name, noise in seeds.items()},
        own_deviation={name: {arms[index]: own for index, own in noise.own.items()} for name, noise in seeds.items()},
        unstable={name: [arms[index] for index in noise.unstable] for name, noise in seeds.items()},
        image_draws=image_draws,
        one_seed_variance={name: noise.by_images for name, noise in seeds.items()},
        label=first.label,
    )


def with_figures(evidence: Evidence, runs: pd.DataFrame, figures: Mapping[str, Mapping[str, np.ndarray]]) -> Evidence:
    """Evidence with further figures, of which draws [R] of each trial are given, by its key; NaN where one has none.

    runs are those of the evidence. Draws of one number mean the same resample of the images for all trials.
    """
    finished, size = counted(runs, evidence.split), evidence.num_resamples
    trials = [finished.loc[finished["arm"] == arm, "trial"].tolist() for arm in evidence.arms]
    chosen = _choices(trials, size, sum(len(of_arm) for of_arm in trials if len(of_arm) > 1))
    plain, drawn = dict(evidence.plain), dict(evidence.draws)
    for name, draws in figures.items():
        by_seed = [[np.resize(draws.get(key, np.nan), size) for key in of_arm] for of_arm in trials]
        noise = _SeedNoise.of([seeds if len(seeds) > 1 else [] for seeds in by_seed])
        of_images = np.stack([np.mean(seeds, axis=0) for seeds in by_seed], axis=1)
        drawn[name] = np.clip(of_images + noise.drawn(chosen), *_range(name))
        values = finished[f"{evidence.split}/{name}"]
        plain[name] = np.array([values[finished["arm"] == arm].mean() for arm in evidence.arms])
    return replace(evidence, plain=plain, draws=drawn)


def _range(name: str) -> tuple[float, float | None]:
    return _RANGES.get(name.removesuffix("_scaled"), (0, 1))


def _of_same_images(trials: Sequence[str], predictions: Callable[[str], Predictions]) -> Iterator[Predictions]:
    label = None
    for trial, of_trial in zip(trials, read_ahead(predictions, trials), strict=True):
        label = of_trial.label if label is None else label
        if not np.array_equal(of_trial.label, label):
            raise ValueError(f"trial {trial} was evaluated on other images than {trials[0]}")
        yield of_trial


@dataclass(frozen=True)
class _SeedNoise:
    """How much one figure differs between seeds of an arm, beyond what the images explain.

    residuals are those of all seeds of all arms with several, in standard deviations; factors [A] what the draws of a
    seed of each arm lack, by Student's t, since few seeds leave their variance uncertain. deviation is that of seeds,
    pooled over arms, own that of arms (by their index) whose seeds differ by more; neither is widened. by_images is the
    variance by which seeds differ because of the images alone.
    """

    residuals: np.ndarray
    factors: np.ndarray
    deviation: float
    own: dict[int, float]
    unstable: list[int]
    by_images: float = 0.0

    @classmethod
    def of(cls, draws: Sequence[Sequence[np.ndarray]]) -> "_SeedNoise":
        """From draws [R] of each seed of each arm that has several; an arm whose draws are NaN counts for none."""
        arms = [index for index, seeds in enumerate(draws) if seeds and np.isfinite(seeds).all()]
        if not arms:
            return cls(np.zeros(0), np.zeros(len(draws)), float("nan"), {}, [])
        values = [np.stack(draws[index], axis=1) for index in arms]  # [R, S] for each arm
        centres = [np.median(of_arm, axis=0) for of_arm in values]
        residuals = [_centred(centre[None])[0] for centre in centres]
        between = np.array([np.mean(of_arm**2) for of_arm in residuals])
        by_images = [np.mean(_centred(of_arm - centre) ** 2) for of_arm, centre in zip(values, centres, strict=True)]
        explained, freedom = np.array(by_images), np.array([len(of_arm) - 1 for of_arm in residuals])
        chance = _chance_of_more(between, explained, freedom)
        unstable = chance < _UNSTABLE / len(arms)
        own = unstable | ((chance < _OWN) & (freedom > 1))
        pooled = np.where(own, 0, freedom)
        shared, noise = (float(np.average(part, weights=pooled)) for part in (between, explained))
        variance, by_images = np.where(own, between, shared), np.where(own, explained, noise)
        deviations, scale = np.sqrt(np.maximum(0, variance - by_images)), np.sqrt(variance)
        factors = np.full(len(draws), _factor(shared, noise, pooled.sum()))
        factors[arms] = _factor(variance, by_images, np.where(own, freedom, pooled.sum()))
        return cls(
            residuals=np.concatenate([_ratio(of_arm, unit) for of_arm, unit in zip(residuals, scale, strict=True)]),
            factors=factors,
            deviation=float(np.sqrt(max(0, shared - noise))),
            own={arms[index]: float(deviations[index]) for index in np.flatnonzero(own)},
            unstable=[arms[index] for index in np.flatnonzero(unstable)],
            by_images=noise,
        )

    def drawn(self, chosen: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """What the choice of seeds adds to the draws of each arm's mean, [R, A], from residuals and signs to take."""
        columns = [
            factor * (sign * self.residuals[index % len(self.residuals)]).mean(axis=1)
            if factor > 0
            else np.zeros(len(sign))
            for factor, (index, sign) in zip(self.factors, chosen, strict=True)
        ]
        return np.stack(columns, axis=1)


def _chance_of_more(variances: np.ndarray, explained: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    """How likely such a variance of an arm, or a larger one, is if it is that of the others, for each arm: an F test.

    Others' variance is at least what the images explain, which seeds of equal accuracy on few images seem not to have.
    """
    if len(variances) == 1:
        return np.ones(1)
    others = freedom.sum() - freedom
    pooled = np.maximum(explained, ((variances * freedom).sum() - variances * freedom) / others)
    return np.where(pooled > 0, stats.f.sf(variances / np.maximum(pooled, np.finfo(float).tiny), freedom, others), 1.0)


def _factor(variance: np.ndarray | float, explained: np.ndarray | float, freedom: np.ndarray) -> np.ndarray:
    """The deviation that the draws, which vary as images explain, lack of an interval by Student's t."""
    return np.sqrt(np.maximum(0, widening(freedom) ** 2 * variance - explained))


def widening(freedom: np.ndarray | float) -> np.ndarray:
    """How many times wider an interval by Student's t is than one by the normal distribution; 1 without freedom."""
    tail, at_least_1 = (1 - COVERAGE) / 2, np.maximum(freedom, 1)
    return np.where(np.asarray(freedom) > 0, stats.t.isf(tail, at_least_1) / stats.norm.isf(tail), 1.0)


def _ratio(values: np.ndarray, scale: float) -> np.ndarray:
    return values / scale if scale > 0 else np.zeros(len(values))


def _centred(values: np.ndarray) -> np.ndarray:
    """Values [R, S] less their mean over S seeds, scaled so that their mean square estimates the variance."""
    size = values.shape[1]
    return (values - values.mean(axis=1, keepdims=True)) * np.sqrt(size / (size - 1))


def _choices(
    arms: Sequence[Sequence[str]], num_resamples: int, num_residuals: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which residual each seed of each draw gets, and its sign, both [R, S], of each arm: a function of its trials.

    They are the same for every figure, which keeps the correlation of figures.
    """
    chosen = []
    for trials in arms:
        key = int.from_bytes(hashlib.sha256(" ".join(trials).encode()).digest()[:8])
        raw = np.random.Philox(key=key).random_raw(num_resamples * len(trials)).reshape(num_resamples, len(trials))
        index = ((raw >> np.uint64(11)) * 2.0**-53 * num_residuals).astype(np.int64)
        chosen.append((index, np.where(raw & np.uint64(1), 1.0, -1.0)))
    return chosen
