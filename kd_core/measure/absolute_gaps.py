"""Draws of figures that are sums of absolute gaps, ECE and |confidence − accuracy|, of one model or of several seeds.

Noise in a bin, of either sign, adds to a sum of absolute gaps, so that the ECE of a sample is too large and the ECEs of
its resamples are larger still. Instead of correcting an estimate, `absolute_gap_draws` inverts a test.
"""

from dataclasses import dataclass

import numpy as np

_ASSUMED = 32  # sums that are tested
_FAR = 4.0  # standard deviations, beyond which no sum is tested
_BEYOND = 1.5  # how far draws go from one shape to the other, which the truth may lie beyond; 1 is all of the way
_MOST_AT_LEAST = 0.95  # of draws, at the least sum
_STEPS = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 80)])  # of the path from one shape to another


def absolute_gap_draws(observed: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """Draws [R] of the mean over S seeds of Σ_b |γ_sb|; the sample shows observed [S, M], resamples show [R, S, M].

    Bins hold share · (accuracy − confidence), so that the sum is the ECE (or |gap|, for one bin). Suppose the true γ
    has a given sum: a sample would show the mean of Σ_b |γ_sb + noise_sb|, with the noise of the resamples, which the
    seeds share. How often that exceeds what this sample shows rises with the sum of γ, from the probability at 0 to 1.
    This is the confidence distribution of the sum: its 2.5 and 97.5 % quantiles are the interval that inverts the test
    of each sum, its median is the median-unbiased estimate. The draws are its quantiles at the ranks of the resamples,
    which keeps them paired between models. They are 0 where a calibrated model would often show as much, but no more
    than 95 % of them: a sample with less noise than nearly any does not show that there is no gap at all.

    How γ is distributed over the bins matters, too, since noise adds most to bins without a gap. A bootstrap that
    inverts a test takes a likely γ of each sum (Carpenter 1999). Here are two, the most uneven that the sample makes
    likely and the most even. Draws go from what the one says, at the low end, to what the other says, at the high end,
    and a little beyond, so that a sum is outside of the interval only if it is unlikely with both.
    """
    num_seeds, noise = len(observed), resampled - observed
    total, again = float(_sum(observed)), _sum(resampled)
    if not noise.any():
        return again
    shapes, rank, ends = _Shapes.of(observed, noise), ranks(again), []
    least = total - _sum(noise).mean() - _FAR * again.std()
    sums = np.linspace(max(0.0, least), total + _FAR * again.std(), _ASSUMED)
    by_bin = noise.reshape(len(noise), -1).T  # [S·M, R], to be added up by whole rows
    noisy = by_bin.any(axis=1)  # an empty bin of an accurate model has no noise
    by_bin = np.ascontiguousarray(by_bin[noisy], dtype=np.float32)  # half as wide, and as exact as a count needs
    place = np.empty_like(by_bin)
    for shape in (shapes.uneven, shapes.even) if observed.size > 1 else (shapes.uneven,):
        exceeded = []
        for gaps in shapes.of_sums(shape(_STEPS), sums).reshape(_ASSUMED, -1):
            np.abs(np.add(by_bin, gaps[noisy, None].astype(np.float32), out=place), out=place)
            left = num_seeds * total - np.abs(gaps[~noisy]).sum()
            exceeded.append(np.count_nonzero(place.sum(axis=0) > left) / len(noise))
        ends.append(np.interp(rank, _open_above(np.maximum.accumulate(exceeded)), sums))
    part = 0.5 + _BEYOND * (rank - 0.5)
    return np.maximum(0, (1 - part) * np.min(ends, axis=0) + part * np.max(ends, axis=0))


def _open_above(exceeded: np.ndarray) -> np.ndarray:
    """A confidence distribution [L] with at most _MOST_AT_LEAST at its least sum; the rest keeps its proportions.

    So an upper end is the sum that shows so little rarely, as compared with how rarely the least sum does (Read 2002).
    """
    least = exceeded[0]
    if least <= _MOST_AT_LEAST:
        return exceeded
    return _MOST_AT_LEAST + (1 - _MOST_AT_LEAST) * (exceeded - least) / max(1 - least, np.finfo(float).tiny)


def ranks(values: np.ndarray) -> np.ndarray:
    """The ranks of values [R] as probabilities between 0 and 1."""
    rank = np.empty(len(values))
    rank[np.argsort(values, kind="stable")] = (np.arange(len(values)) + 0.5) / len(values)
    return rank


@dataclass(frozen=True)
class _Shapes:
    """Gaps that a sample makes likely: paths [K, S, M] over K steps, on which the sum of absolute gaps goes up or down.

    mean [M] are the observed gaps, on average over seeds, and deviation [M] those of their noise; own [S, M] is how
    seeds differ from the mean, and differs [M] how many times more than by noise, squared.
    """

    mean: np.ndarray
    deviation: np.ndarray
    own: np.ndarray
    differs: np.ndarray

    @classmethod
    def of(cls, observed: np.ndarray, noise: np.ndarray) -> "_Shapes":
        """From the observed gaps [S, M] and their noise [R, S, M]."""
        mean, common = observed.mean(axis=0), noise.mean(axis=1)
        own, variance = observed - mean, ((noise - common[:, None]) ** 2).mean(axis=(0, 1))
        return cls(mean, common.std(axis=0), own, _ratio((own**2).mean(axis=0), variance))

    def uneven(self, steps: np.ndarray) -> np.ndarray:
        """Down to 0: each gap is shrunk by its own noise, what may be noise to nothing, what is certain hardly.

        A gap x of deviation σ becomes x · max(0, 1 − (λσ²/x²)²), which cuts off more sharply than its model, x · max(0,
        1 − λσ²/x²), the non-negative garotte (Breiman 1995). What differs between seeds is shrunk alike.
        """
        certain = _ratio(self.mean**2, self.deviation**2)
        return self._gaps(self.mean * _left(steps, certain), steps)

    def even(self, steps: np.ndarray) -> np.ndarray:
        """Up: all bins have gaps of equally many deviations, as far as that is within one of what is observed."""
        size, steps = np.abs(self.mean), steps[:, None]
        near = np.clip(steps * self.deviation, size - self.deviation, size + self.deviation)
        return self._gaps(self._signed(near), np.ones(len(steps)))

    def of_sums(self, path: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Gaps [L, S, M] of each of the sums [L], on the path, or, beyond it, where each bin grows by its deviation."""
        along = _sum(path)
        order = np.argsort(along, kind="stable")
        place = np.interp(sums, along[order], np.arange(len(path)))
        low, part = order[place.astype(int)], (place % 1)[:, None, None]
        high = order[np.ceil(place).astype(int)]
        gaps = path[low] * (1 - part) + path[high] * part
        more = np.maximum(0, sums - along.max()) / max(self.deviation.sum(), np.finfo(float).tiny)
        gaps += self._signed(more[:, None] * self.deviation)[:, None]
        return gaps * _ratio(sums, _sum(gaps), or_else=0.0)[:, None, None]

    def _gaps(self, means: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Gaps [K, S, M] from their means [K, M] over seeds, and, at each step, what differs between seeds."""
        return means[:, None] + self.own * _left(steps, self.differs)[:, None]

    def _signed(self, sizes: np.ndarray) -> np.ndarray:
        return np.where(self.mean < 0, -sizes, sizes)


def _left(steps: np.ndarray, certain: np.ndarray) -> np.ndarray:
    """The part [K, M] that each step leaves of gaps that are so certain, [M]: squares of gaps by their variances."""
    return np.maximum(0, 1 - _ratio(steps[:, None], certain) ** 2)


def _sum(gaps: np.ndarray) -> np.ndarray:
    """The sum of absolute gaps [..., S, M], on average over seeds."""
    return np.abs(gaps).sum(axis=(-2, -1)) / gaps.shape[-2]


def _ratio(above: np.ndarray, below: np.ndarray, or_else: float = np.inf) -> np.ndarray:
    """The quotient, or or_else where it is divided by 0; but 0/0 is 0."""
    above, below = np.broadcast_arrays(above, below)
    return np.divide(above, below, out=np.where(above > 0, or_else, 0.0), where=below > 0)
