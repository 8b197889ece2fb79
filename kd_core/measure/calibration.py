"""Calibration of a classifier from per-image values; every figure takes optional weights so that it can be resampled.

Accuracy, confidence, gap and errors are fractions; negative log-likelihood is in nats. N samples, K classes, M bins.
Weights count repetitions: with integer weights [N], every figure equals its value on the repeated samples.
"""

from dataclasses import dataclass

import numpy as np
import scipy  # submodules are loaded on first use: `kdsweep status` needs none

NUM_BINS = 15


def mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The (weighted) mean of values [N]; weights [N] count repetitions and need not sum to one."""
    return float(np.average(np.asarray(values, dtype=np.float64), weights=weights))


@dataclass(frozen=True)
class ReliabilityBins:
    """A reliability diagram: per equal-width bin [M] its share of the samples, mean confidence and accuracy.

    Empty bins have share 0 and NaN means.
    """

    edges: np.ndarray
    share: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS, weights: np.ndarray | None = None
) -> ReliabilityBins:
    """Bin samples by confidence [N] into num_bins of equal width, [lower, upper) with the last one closed.

    correct [N] is boolean. Raises ValueError on a confidence outside [0, 1] or without samples.
    """
    confidence, correct, weights = counted(confidence, correct, weights)
    index = bin_index(confidence, num_bins)
    mass, mean_confidence, accuracy = _bin_means(index, num_bins, confidence, correct, weights)
    return ReliabilityBins(_edges(num_bins), mass / mass.sum(), mean_confidence, accuracy)


def bin_index(confidence: np.ndarray, num_bins: int = NUM_BINS) -> np.ndarray:
    """The bin of equal width, int64 [N] from 0 to num_bins − 1, of each confidence [N]."""
    return np.searchsorted(_edges(num_bins)[1:-1], confidence, side="right")


def _edges(num_bins: int) -> np.ndarray:
    return np.linspace(0.0, 1.0, num_bins + 1)


def counted(
    confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence, correctness and weights, in float64, of the samples with positive weight."""
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    weights = np.ones_like(confidence) if weights is None else np.asarray(weights, dtype=np.float64)
    if not confidence.shape == correct.shape == weights.shape:
        shapes = f"confidence {confidence.shape}, correct {correct.shape} and weights {weights.shape}"
        raise ValueError(f"{shapes} must be one value a sample")
    if not (weights >= 0).all():
        raise ValueError(f"weights count repetitions of each confidence, so none is negative; got {weights.min()}")
    counted = weights > 0
    confidence, correct, weights = confidence[counted], correct[counted], weights[counted]
    if confidence.size == 0:
        raise ValueError("there is no confidence to judge: no sample, or all of weight 0")
    if not (confidence.min() >= 0 and confidence.max() <= 1 + 1e-6):
        raise ValueError(f"confidence must lie in [0, 1], got {confidence.min()} to {confidence.max()}")
    return confidence, correct, weights


def _bin_means(
    index: np.ndarray, num_bins: int, confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mass, mean confidence and accuracy [M] of samples whose bins are index [N]; the means of an empty bin are NaN."""
    mass = np.bincount(index, weights, num_bins)
    with np.errstate(invalid="ignore"):
        return (
            mass,
            np.bincount(index, weights * confidence, num_bins) / mass,
            np.bincount(index, weights * correct, num_bins) / mass,
        )


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS, weights: np.ndarray | None = None
) -> float:
    """Mean over bins of |accuracy − confidence|, weighted by each bin's share (Medina 2026, eq. 16; Guo 2017)."""
    bins = reliability_bins(confidence, correct, num_bins, weights)
    filled = bins.share > 0
    return float(np.sum(bins.share[filled] * np.abs(bins.accuracy[filled] - bins.confidence[filled])))


def maximum_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS, weights: np.ndarray | None = None
) -> float:
    """The greatest |accuracy − confidence| of a filled bin of equal width (Naeini 2015; Guo 2017)."""
    bins = reliability_bins(confidence, correct, num_bins, weights)
    return float(np.nanmax(np.abs(bins.accuracy - bins.confidence)))


def equal_mass_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS, weights: np.ndarray | None = None
) -> float:
    """The debiased ℓ2 calibration error over bins of equal mass (Kumar, Liang & Ma 2019).

    √max(0, Σ_b share_b·[(accuracy_b − confidence_b)² − accuracy_b·(1 − accuracy_b)/(n_b − 1)]), where n_b is the sum of
    a bin's weights; a bin with n_b ≤ 1 has no variance estimate and counts 0, as in their code. The samples, ordered by
    confidence, are divided into M equal parts; a sample's bin is the part with the middle of its ties. So ties share a
    bin, the order of the samples does not matter, and without ties bin sizes differ by at most one. The mean over
    resamples is close to the plug-in error of the samples, well above this estimate, since it is debiased only for the
    noise of resampling.
    """
    confidence, correct, weights = counted(confidence, correct, weights)
    index = equal_mass_bin_index(confidence, num_bins, weights)
    mass, mean_confidence, accuracy = _bin_means(index, num_bins, confidence, correct, weights)
    several = mass > 1
    variance = accuracy[several] * (1 - accuracy[several]) / (mass[several] - 1)
    squares = (accuracy[several] - mean_confidence[several]) ** 2 - variance
    return float(np.sqrt(max(0.0, np.sum(mass[several] * squares) / mass.sum())))


def equal_mass_bin_index(
    confidence: np.ndarray, num_bins: int = NUM_BINS, weights: np.ndarray | None = None
) -> np.ndarray:
    """The bin of equal mass, int64 [N] from 0 to num_bins − 1, of each confidence [N]; ties share a bin."""
    _, tie = np.unique(confidence, return_inverse=True)
    tied = np.bincount(tie, weights)
    twice_middle = 2 * np.cumsum(tied) - tied  # doubled, so that integer weights stay integers
    return np.floor_divide(num_bins * twice_middle, 2 * tied.sum()).astype(np.int64)[tie]


def classwise_ece(
    probabilities: np.ndarray, labels: np.ndarray, num_bins: int = NUM_BINS, weights: np.ndarray | None = None
) -> float:
    """The mean over classes of the ECE of p(k) against [label = k], from probabilities [N, K] and labels [N].

    Every sample counts in every class (Kull 2019; the static calibration error of Nixon 2019).
    """
    return mean(
        np.array(
            [
                expected_calibration_error(probability, labels == label, num_bins, weights)
                for label, probability in enumerate(np.asarray(probabilities).T)
            ]
        )
    )


def area_under_risk_coverage(confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray | None = None) -> float:
    """AURC: the error rate of the n most confident samples, averaged over n = 1 … N (Geifman 2019).

    Ties have no order; the result is the expectation over all orders of them.
    """
    confidence, correct, weights = counted(confidence, correct, weights)
    _, tie = np.unique(-confidence, return_inverse=True)
    tied, wrong = np.bincount(tie, weights), np.bincount(tie, weights * (1 - correct))
    before, wrong_before = np.cumsum(tied) - tied, np.cumsum(wrong) - wrong
    # At the j-th of n ties, e of them wrong, after a other samples, w of them wrong, the expected risk is
    # (w + j·e/n)/(a + j). Over j = 1 … n, 1/(a + j) sums to ψ(a + n + 1) − ψ(a + 1).
    harmonic = scipy.special.digamma(before + tied + 1) - scipy.special.digamma(before + 1)
    risks = wrong_before * harmonic + wrong / tied * (tied - before * harmonic)
    return float(np.sum(risks) / tied.sum())


def ece_bounds(accuracy: float, confidence: float) -> tuple[float, float]:
    """The smallest and the largest ECE that any binning can give at this accuracy and mean confidence."""
    return abs(accuracy - confidence), (1 - accuracy) + (1 - confidence)


def obeys_ece_bounds(accuracy: float, confidence: float, ece: float, tolerance: float = 1e-6) -> bool:
    """Whether |accuracy − confidence| ≤ ECE ≤ (1 − accuracy) + (1 − confidence), within tolerance."""
    least, greatest = ece_bounds(accuracy, confidence)
    return least - tolerance <= ece <= greatest + tolerance


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−log p(label) [N] in nats, from logits [N, K] and labels [N], by log_softmax in float64."""
    log_probabilities = scipy.special.log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return -np.take_along_axis(log_probabilities, labels[:, None], axis=1)[:, 0]


def brier_score(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Σ_k (p_k − [k = label])² [N], from 0 to 2, from logits [N, K] and labels [N] (Brier 1950)."""
    probabilities = scipy.special.softmax(np.asarray(logits, dtype=np.float64), axis=1)
    probability_of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return (probabilities**2).sum(axis=1) - 2 * probability_of_label + 1
