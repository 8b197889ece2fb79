"""The paired bootstrap: draws, which are plausible values of a model's true figures given a finite sample of images.

All models share the same resamples of the images, so that the draws of two models can be subtracted: what makes an
image hard for both cancels. Figures that are means over images (confidence, NLL, Brier) are simply computed on the
resamples. Where that would be wrong, a draw is the quantile of a confidence distribution at the rank of its resample:
for accuracy, which a sample without an error would make certain (`accuracy_draws`), and for sums of absolute gaps,
which noise makes too large (`kd_core.measure.absolute_gaps`).
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # submodules are loaded on first use

from analysis.statistics.classwise import classwise_gaps
from kd_core.measure.absolute_gaps import absolute_gap_draws, ranks
from kd_core.measure.calibration import NUM_BINS, bin_index, equal_mass_bin_index
from kd_core.measure.predictions import RAW, SCALED, SUFFIXES, Predictions, Reading

COVERAGE = 0.95  # of every interval
MEANS = ("accuracy", "confidence", "gap", "nll", "brier")  # figures that are means over images
DRAWN = (*MEANS, "abs_gap", "ece")  # figures of each reading that every model has draws of
ON_DEMAND = (
    "balanced_accuracy",
    "ece_debiased",
    "aurc",
    "augrc",
    "set_size",
    "classwise_ece",
)  # figures that take longer
READINGS = (RAW, SCALED)
_MOST_RESAMPLES, _FEWEST_RESAMPLES, _MOST_DRAWS = 1000, 400, 1_000_000
_UNIT = 2.0**28  # values are rounded to multiples of 1/_UNIT, so that their sums are exact, in any order
_MODELS_AT_ONCE = 16

Draws = dict[str, np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A bias-corrected estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def negative(self) -> "Estimate":
        """The estimate of the same figure with the other sign."""
        return Estimate(-self.value, -self.high, -self.low)

    @classmethod
    def of(cls, draws: np.ndarray, value: float | None = None) -> "Estimate":
        """From draws [R]; the estimate is their median unless it is given, and then the interval contains it.

        NaN draws give NaN.
        """
        if np.isnan(draws).any():
            return cls(np.nan, np.nan, np.nan)
        low, median, high = np.quantile(draws, [(1 - COVERAGE) / 2, 0.5, (1 + COVERAGE) / 2])
        value = float(median if value is None else value)
        return cls(value, min(value, float(low)), max(value, float(high)))


def num_resamples(num_models: int) -> int:
    """1,000 resamples, fewer (at least 400) if there are more than 1,000 models."""
    return max(_FEWEST_RESAMPLES, min(_MOST_RESAMPLES, _MOST_DRAWS // max(1, num_models)))


def resample(num_images: int, num_resamples: int) -> np.ndarray:
    """How often each image occurs in each resample, float64 [R, N]: a function of the two numbers, on any machine."""
    generator = np.random.Philox(key=[num_images, num_resamples])
    counts = np.empty((num_resamples, num_images))
    for row in counts:
        uniform = (generator.random_raw(num_images) >> np.uint64(11)) * 2.0**-53
        row[:] = np.bincount((uniform * num_images).astype(np.int64), minlength=num_images)
    return counts


def draws_of(models: Iterable[Predictions], counts: np.ndarray, figures: Sequence[str] = DRAWN) -> list[Draws]:
    """For each model, draws [R] of the figures, as trained and, with the suffix `_scaled`, temperature-scaled.

    counts [R, N] is the value of `resample`. Raises ValueError for a model that has another number of images.
    """
    return [draws_of_mean([sums], figures) for sums in sums_of(models, counts, figures)]


@dataclass(frozen=True)
class Sums:
    """What a model's draws are made from: means of its values per image over the sample, [C], and resamples, [R, C]."""

    num_images: int
    observed: np.ndarray
    resampled: np.ndarray
    ready: Draws  # those that are no function of means

    def of_first(self, count: int) -> "Sums":
        """The same of the first resamples only."""
        ready = {name: draws[:count] for name, draws in self.ready.items()}
        return Sums(self.num_images, self.observed, self.resampled[:count], ready)


def sums_of(models: Iterable[Predictions], counts: np.ndarray, figures: Sequence[str] = DRAWN) -> Iterator[Sums]:
    """The sums of each model, many models by one product of matrices."""
    models = iter(models)
    while some := list(itertools.islice(models, _MODELS_AT_ONCE)):
        columns, ready = [], []
        for predictions in some:
            if len(predictions.label) != counts.shape[1]:
                raise ValueError(f"a model with {len(predictions.label)} images beside one with {counts.shape[1]}")
            columns.append(_columns(predictions, figures))
            ready.append(_ready(predictions, figures, counts))
        resampled = counts @ np.concatenate(columns, axis=1) / counts.shape[1]
        for values, part, draws in zip(columns, np.split(resampled, len(columns), axis=1), ready, strict=True):
            yield Sums(len(values), values.mean(axis=0), part, draws)


def _columns(predictions: Predictions, figures: Sequence[str]) -> np.ndarray:
    """A model's values per image, [N, C], in the order in which `draws_of_mean` takes them."""
    columns = [predictions.correct[:, None].astype(np.float64)]
    for name in READINGS:
        reading = predictions.readings[name]
        confidence = reading.confidence.astype(np.float64)
        gap = predictions.correct - confidence
        columns += [np.stack([reading.nll, reading.brier], axis=1), _by_bin(bin_index(confidence), gap)]
        if "ece_debiased" in figures:
            index = equal_mass_bin_index(confidence)
            columns += [_by_bin(index, values) for values in (gap, predictions.correct, 1.0)]
    return np.round(np.concatenate(columns, axis=1) * _UNIT) / _UNIT


def _ready(predictions: Predictions, figures: Sequence[str], counts: np.ndarray) -> Draws:
    """Draws [R] of those of the figures that are no functions of means."""
    makers: dict[str, Callable[[str, Reading], np.ndarray]] = {
        "aurc": lambda name, reading: _aurc_draws(reading.confidence, predictions.correct, counts),
        "augrc": lambda name, reading: _augrc_draws(reading.confidence, predictions.correct, counts),
        "set_size": lambda name, reading: _mean_draws(reading.set_size, counts),
        "classwise_ece": lambda name, reading: _classwise_draws(predictions, name, counts),
    }
    wanted = [(figure, name) for figure in makers if figure in figures for name in READINGS]
    ready = {figure + SUFFIXES[name]: makers[figure](name, predictions.readings[name]) for figure, name in wanted}
    if "balanced_accuracy" in figures:
        ready["balanced_accuracy"] = _balanced_draws(predictions.correct, predictions.label, counts)
    return ready


def draws_of_mean(seeds: Sequence[Sums], figures: Sequence[str] = DRAWN) -> Draws:
    """Draws [R] of the mean of each figure over models that differ in their seed; one model is such a mean, too."""
    take = _taker(np.stack([seed.resampled for seed in seeds], axis=1))  # [R, S, C]
    sample = np.stack([seed.observed for seed in seeds])  # [S, C]
    observed, num_images, right = _taker(sample), seeds[0].num_images, take(1)[:, :, 0]
    made = {"accuracy": accuracy_draws(observed(1)[:, 0], right, num_images, key=sample)}
    for name in READINGS:
        means, _, gaps, sample_gaps = take(2).mean(axis=1), observed(2), take(NUM_BINS), observed(NUM_BINS)
        confidence = (right - gaps.sum(axis=2)).mean(axis=1)
        values = {"confidence": confidence, "gap": confidence - made["accuracy"], "nll": means[:, 0]}
        values |= {"brier": means[:, 1], "ece": absolute_gap_draws(sample_gaps, gaps)}
        values["abs_gap"] = absolute_gap_draws(sample_gaps.sum(axis=1, keepdims=True), gaps.sum(axis=2, keepdims=True))
        if "ece_debiased" in figures:
            parts, first = [take(NUM_BINS) for _ in range(3)], [observed(NUM_BINS) for _ in range(3)]
            by_seed = [
                _debiased_draws([part[:, seed] for part in parts], [part[seed] for part in first], num_images)
                for seed in range(len(seeds))
            ]
            values["ece_debiased"] = np.mean(by_seed, axis=0)
        made |= {figure + SUFFIXES[name]: value for figure, value in values.items()}
    return made | {name: np.mean([seed.ready[name] for seed in seeds], axis=0) for name in seeds[0].ready}


def accuracy_draws(observed: np.ndarray, resampled: np.ndarray, num_images: int, key: np.ndarray) -> np.ndarray:
    """Draws [R] of the mean accuracy of S models, which a sample shows to be observed [S] and resamples [R, S].

    Of one model they are quantiles of Jeffreys' posterior, the beta distribution of half an error and half a success
    more than the sample has, whose intervals cover well (Brown, Cai & DasGupta 2001); of several models, quantiles of
    the beta distribution with the mean and the variance of the resamples' means, and half an error more. The rank of a
    draw is that of its resample, to which half an error is added by chance (gamma, of variance ½ like its mean), so
    that draws of two models without an error differ. The chance is a function of the key, an array.
    """
    right, again = observed.mean(), resampled.mean(axis=1)
    variance = right * (1 - right) / num_images if len(observed) == 1 else again.var()
    mean = ((1 - right) * num_images + 0.5) / (num_images + 1)
    size = mean * (1 - mean) / (variance + 0.5 / num_images**2) - 1
    rank = ranks((1 - again) * num_images + _half_errors(key, len(again)))
    return 1 - scipy.special.betaincinv(mean * size, (1 - mean) * size, rank)


def _half_errors(key: np.ndarray, count: int) -> np.ndarray:
    """Numbers [count] of the gamma distribution of shape ½, a function of the bytes of the key."""
    digest = hashlib.sha256(np.ascontiguousarray(key).tobytes()).digest()
    raw = np.random.Philox(key=int.from_bytes(digest[:8])).random_raw(count)
    return scipy.special.ndtri(((raw >> np.uint64(11)) + 0.5) * 2.0**-53) ** 2 / 2


def _taker(columns: np.ndarray) -> Callable[[int], np.ndarray]:
    """A function that returns the next so many columns, of the last axis, at each call."""
    position = 0

    def take(count: int) -> np.ndarray:
        """The next columns."""
        nonlocal position
        position += count
        return columns[..., position - count : position]

    return take


def _by_bin(index: np.ndarray, values: np.ndarray | float) -> np.ndarray:
    """Values [N] in the column of their bin, [N, NUM_BINS]."""
    columns = np.zeros((len(index), NUM_BINS))
    columns[np.arange(len(index)), index] = values
    return columns


def _debiased_draws(resampled: Sequence[np.ndarray], observed: Sequence[np.ndarray], num_images: int) -> np.ndarray:
    """Draws [R] of the debiased ℓ2 error from each bin's gap, accuracy and size, all divided by N.

    The formula subtracts from each squared gap the variance that a sample adds. A resample adds it twice, once by the
    sample it is drawn from, so twice the sample's variance is subtracted; bins are those of the sample.
    """
    _, right, size = observed
    filled = size * num_images > 1
    accuracy, number = right[filled] / size[filled], size[filled] * num_images
    variance = size[filled] * accuracy * (1 - accuracy) / (number - 1)
    gaps, sizes = resampled[0][:, filled], np.maximum(resampled[2][:, filled], 1 / num_images)
    return np.sqrt(np.maximum(0, (gaps**2 / sizes - 2 * variance).sum(axis=1)))


def _aurc_draws(confidence: np.ndarray, correct: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The AURC [R] of each resample, by the formula of `area_under_risk_coverage`, with its ties found only once."""
    _, tie = np.unique(-confidence, return_inverse=True)
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, counts.shape[1] + 1))])
    draws = []
    for row in counts:
        tied, wrong = np.bincount(tie, row), np.bincount(tie, row * ~correct)
        before, wrong_before = np.cumsum(tied) - tied, np.cumsum(wrong) - wrong
        sums = harmonic[(before + tied).astype(np.int64)] - harmonic[before.astype(np.int64)]
        rate = np.divide(wrong, tied, out=np.zeros_like(wrong), where=tied > 0)
        draws.append(np.sum(wrong_before * sums + rate * (tied - before * sums)) / tied.sum())
    return np.array(draws)


def _augrc_draws(confidence: np.ndarray, correct: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The AUGRC [R] of each resample, by the formula of `area_under_generalized_risk_coverage`."""
    _, tie = np.unique(-confidence, return_inverse=True)
    parts = [(np.bincount(tie, row), np.bincount(tie, row * ~correct)) for row in counts]
    return np.array([np.sum(tied * (np.cumsum(wrong) - wrong / 2)) / tied.sum() ** 2 for tied, wrong in parts])


def _balanced_draws(correct: np.ndarray, label: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The balanced accuracy [R] of each resample, over the classes that it holds."""
    classes, number = np.unique(label, return_inverse=True)
    member = (number[:, None] == np.arange(len(classes))).astype(np.float64)
    size, right = counts @ member, counts @ (member * correct[:, None])
    share = np.divide(right, size, out=np.zeros_like(size), where=size > 0)
    return share.sum(axis=1) / (size > 0).sum(axis=1)


def _mean_draws(values: np.ndarray | None, counts: np.ndarray) -> np.ndarray:
    """The mean [R] of values [N] in each resample; NaN if a record lacks them."""
    return np.full(len(counts), np.nan) if values is None else counts @ values.astype(np.float64) / counts.shape[1]


def _classwise_draws(predictions: Predictions, reading: str, counts: np.ndarray) -> np.ndarray:
    """Draws [R] of the class-wise ECE, one sum of absolute gaps over the bins of all classes; NaN without logits."""
    if predictions.logits is None:
        return np.full(len(counts), np.nan)
    logits = predictions.logits / np.float32(predictions.temperature if reading == SCALED else 1)
    observed, resampled = classwise_gaps(logits, predictions.label, counts)
    return absolute_gap_draws(observed[None], resampled[:, None])
