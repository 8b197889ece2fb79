"""The paired bootstrap: draws, which are plausible values of a model's true figures given a finite sample of images.

All models share the same resamples of the images, so that the draws of two models can be subtracted: what makes an
image hard for both cancels. Figures that are means over images (accuracy, confidence, gap, NLL, Brier) are simply
computed on the resamples. The ECE is not: noise in a bin, of either sign, adds to a sum of absolute gaps, so that the
ECE of a sample is too large and the ECEs of its resamples are larger still. See `absolute_gap_draws`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kd_core.measure.calibration import NUM_BINS, bin_index, equal_mass_bin_index
from kd_core.measure.outcomes import RAW, SCALED, SUFFIXES, Outcomes

COVERAGE = 0.95  # of every interval
MEANS = ("accuracy", "confidence", "gap", "nll", "brier")  # figures that are means over images
DRAWN = (*MEANS, "abs_gap", "ece")  # figures of each reading that every model has draws of
ON_DEMAND = ("ece_debiased", "aurc")  # figures that take longer
READINGS = (RAW, SCALED)
_MOST_RESAMPLES, _FEWEST_RESAMPLES, _MOST_DRAWS = 1000, 400, 1_000_000
_UNIT = 2.0**28  # values are rounded to multiples of 1/_UNIT, so that their sums are exact, in any order
_ASSUMED = 32  # sums that `absolute_gap_draws` tests
_MODELS_AT_ONCE = 16

Draws = dict[str, np.ndarray]


@dataclass(frozen=True)
class Estimate:
    """A bias-corrected estimate and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: np.ndarray, value: float | None = None) -> "Estimate":
        """From draws [R]; the estimate is their median unless it is given. NaN draws give NaN."""
        if np.isnan(draws).any():
            return cls(np.nan, np.nan, np.nan)
        low, median, high = np.quantile(draws, [(1 - COVERAGE) / 2, 0.5, (1 + COVERAGE) / 2])
        return cls(float(median if value is None else value), float(low), float(high))


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


def draws_of(models: Iterable[Outcomes], counts: np.ndarray, figures: Sequence[str] = DRAWN) -> list[Draws]:
    """For each model, draws [R] of the figures, as trained and, with the suffix `_scaled`, temperature-scaled.

    counts [R, N] is the value of `resample`. Raises ValueError for a model that has another number of images.
    """
    made: list[Draws] = []
    waiting: list[_Sums] = []

    def settle() -> None:
        """Make the draws of all that wait, by one product of matrices."""
        if waiting:
            sums = counts @ np.concatenate([each.columns for each in waiting], axis=1) / counts.shape[1]
            ends = np.cumsum([each.columns.shape[1] for each in waiting])[:-1]
            made.extend(each.draws(part) for each, part in zip(waiting, np.split(sums, ends, axis=1), strict=True))
            waiting.clear()

    for outcomes in models:
        if len(outcomes.label) != counts.shape[1]:
            raise ValueError(f"a model with {len(outcomes.label)} images beside one with {counts.shape[1]}")
        waiting.append(_Sums(outcomes, figures, counts))
        if len(waiting) == _MODELS_AT_ONCE:
            settle()
    settle()
    return made


class _Sums:
    """One model's values per image as columns [N, C], whose weighted sums give its draws."""

    def __init__(self, outcomes: Outcomes, figures: Sequence[str], counts: np.ndarray) -> None:
        self.figures, columns = figures, [outcomes.correct[:, None].astype(np.float64)]
        self.ready: Draws = {}
        for name in READINGS:
            reading, suffix = outcomes.readings[name], SUFFIXES[name]
            confidence = reading.confidence.astype(np.float64)
            index = bin_index(confidence)
            columns += [np.stack([reading.nll, reading.brier], axis=1), _by_bin(index, outcomes.correct - confidence)]
            if "ece_debiased" in figures:
                index = equal_mass_bin_index(confidence)
                columns += [_by_bin(index, each) for each in (outcomes.correct - confidence, outcomes.correct, 1.0)]
            if "aurc" in figures:
                self.ready["aurc" + suffix] = _aurc_draws(confidence, outcomes.correct, counts)
        self.columns = np.round(np.concatenate(columns, axis=1) * _UNIT) / _UNIT

    def draws(self, sums: np.ndarray) -> Draws:
        """The draws from the columns' means over each resample, [R, C]."""
        take, observed = _taker(sums), _taker(self.columns.mean(axis=0)[None])
        accuracy, _ = take(1)[:, 0], observed(1)
        made = {"accuracy": accuracy}
        for name in READINGS:
            suffix, means, _ = SUFFIXES[name], take(2), observed(2)
            gaps, seen = take(NUM_BINS), observed(NUM_BINS)[0]
            gap = -gaps.sum(axis=1)
            values = {"confidence": accuracy + gap, "gap": gap, "nll": means[:, 0], "brier": means[:, 1]}
            values["ece"] = absolute_gap_draws(seen, gaps)
            values["abs_gap"] = absolute_gap_draws(seen.sum(keepdims=True), -gap[:, None])
            if "ece_debiased" in self.figures:
                parts, first = [take(NUM_BINS) for _ in range(3)], [observed(NUM_BINS)[0] for _ in range(3)]
                values["ece_debiased"] = _debiased_draws(parts, first, len(self.columns))
            made |= {figure + suffix: value for figure, value in values.items()}
        return made | self.ready


def _taker(columns: np.ndarray) -> Callable[[int], np.ndarray]:
    """A function that returns the next so many columns at each call."""
    position = 0

    def take(count: int) -> np.ndarray:
        """The next columns."""
        nonlocal position
        position += count
        return columns[:, position - count : position]

    return take


def _by_bin(index: np.ndarray, values: np.ndarray | float) -> np.ndarray:
    """Values [N] in the column of their bin, [N, NUM_BINS]."""
    columns = np.zeros((len(index), NUM_BINS))
    columns[np.arange(len(index)), index] = values
    return columns


def absolute_gap_draws(observed: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """Draws [R] of Σ_b |γ_b|, of which the sample shows Σ_b |observed_b| and resamples show resampled [R, M].

    Bins hold share · (accuracy − confidence), so that the sum is the ECE (or |gap|, for one bin). Suppose the true γ
    has a given sum: a sample would show Σ_b |γ_b + noise_b|, with the noise of the resamples. How often that exceeds
    what this sample shows rises with the sum of γ, from the probability at 0 to 1. This is the confidence distribution
    of the sum: its 2.5 and 97.5 % quantiles are the interval that inverts the test of each sum, its median is the
    median-unbiased estimate. The draws are its quantiles at the ranks of the resamples, which keeps them paired between
    models. They are 0 where a calibrated model would often show as much.

    How γ is distributed over the bins matters, too: noise adds most to bins without a gap. Two shapes count alike: the
    observed one, which noise makes too uneven, and one whose gaps are all equally many deviations from zero, which is
    the most even. With them intervals cover 93 to 97 % (tests/benchmarks/coverage); with either alone, fewer.
    """
    noise, shown, again = resampled - observed, np.abs(observed).sum(), np.abs(resampled).sum(axis=1)
    if shown == 0:
        return np.zeros(len(resampled))
    even = np.sign(observed) * noise.std(axis=0)
    likely = (observed, even) if even.any() and len(observed) > 1 else (observed,)
    shapes = [(shape / np.abs(shape).sum())[:, None] for shape in likely]
    by_bin = np.ascontiguousarray(noise.T)  # [M, R], to be added up by whole rows
    deviation = again.std()
    sums = np.linspace(max(0.0, shown - 10 * deviation), shown + 5 * deviation, _ASSUMED)
    exceeded = [np.mean([np.abs(by_bin + each * shape).sum(axis=0) > shown for shape in shapes]) for each in sums]
    rank = np.empty(len(again))
    rank[np.argsort(again, kind="stable")] = (np.arange(len(again)) + 0.5) / len(again)
    return np.interp(rank, np.maximum.accumulate(exceeded), sums)


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
