"""Resamples of images or of pairs of them, and 95 % intervals of figures from these, without a loop over resamples."""

import numpy as np

from kd_core.measure.calibration import NUM_BINS, bin_index

COVERAGE = 0.95  # of every interval


def resample_counts(num: int, num_resamples: int, seed: int) -> np.ndarray:
    """How often each of N = num samples is in each of R resamples of N with replacement, float64 [R, N].

    A function of its arguments on any machine, so that models asked about the same samples share their resamples, and
    what is hard about a sample cancels in the difference of two models.
    """
    raw = np.random.Philox(key=[seed, num]).random_raw((num_resamples, num))
    drawn = ((raw >> np.uint64(11)) * 2.0**-53 * num).astype(np.int64)
    drawn += num * np.arange(num_resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def resampled_means(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean [R, ...] over the last axis of values [..., N] in each resample of counts [R, N]."""
    rows = values.reshape(-1, values.shape[-1])
    return (counts @ rows.T / counts.shape[1]).reshape(len(counts), *values.shape[:-1])


def gaps_by_bin(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """correct − confidence [..., M, N] in the bin of equal width of each confidence, else 0, of values [..., N].

    Its mean over samples is each bin's share · (accuracy − confidence), the ECE the absolute sum of these: too large
    in a sample, larger in its resamples. `absolute_gap_draws` turns the means of both into draws that are neither.
    """
    bins = np.arange(NUM_BINS)[:, None]
    return np.where(bin_index(confidence)[..., None, :] == bins, (correct - confidence)[..., None, :], 0.0)


def interval(draws: np.ndarray, value: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """The ends [...] of the middle 95 % of draws [R, ...] of a figure; they contain its value [...]."""
    low, high = np.quantile(draws, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2], axis=0)
    return np.minimum(low, value), np.maximum(high, value)
