"""Calibration of a classifier from per-image values; every figure takes optional weights so that it can be resampled.

Accuracy, confidence, gap and errors are fractions; negative log-likelihood is in nats. N samples, K classes, M bins.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_softmax, softmax

NUM_BINS = 15
TEMPERATURE_RANGE = (0.05, 100.0)


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
    confidence, correct = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if confidence.size == 0 or confidence.shape != correct.shape:
        raise ValueError(f"confidence {confidence.shape} and correct {correct.shape} must be one value a sample")
    if not (confidence.min() >= 0 and confidence.max() <= 1 + 1e-6):
        raise ValueError(f"confidence must lie in [0, 1], got {confidence.min()} to {confidence.max()}")
    weights = np.ones_like(confidence) if weights is None else np.asarray(weights, dtype=np.float64)
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    index = np.searchsorted(edges[1:-1], confidence, side="right")
    mass = np.bincount(index, weights, num_bins)
    with np.errstate(invalid="ignore"):
        return ReliabilityBins(
            edges=edges,
            share=mass / mass.sum(),
            confidence=np.bincount(index, weights * confidence, num_bins) / mass,
            accuracy=np.bincount(index, weights * correct, num_bins) / mass,
        )


def expected_calibration_error(
    confidence: np.ndarray, correct: np.ndarray, num_bins: int = NUM_BINS, weights: np.ndarray | None = None
) -> float:
    """Mean over bins of |accuracy − confidence|, weighted by each bin's share (Medina 2026, eq. 16; Guo 2017)."""
    bins = reliability_bins(confidence, correct, num_bins, weights)
    filled = bins.share > 0
    return float(np.sum(bins.share[filled] * np.abs(bins.accuracy[filled] - bins.confidence[filled])))


def ece_bounds(accuracy: float, confidence: float) -> tuple[float, float]:
    """The least and the greatest ECE that any binning can give at this accuracy and mean confidence."""
    return abs(accuracy - confidence), (1 - accuracy) + (1 - confidence)


def obeys_ece_bounds(accuracy: float, confidence: float, ece: float, tolerance: float = 1e-6) -> bool:
    """Whether |accuracy − confidence| ≤ ECE ≤ (1 − accuracy) + (1 − confidence), within tolerance."""
    least, greatest = ece_bounds(accuracy, confidence)
    return least - tolerance <= ece <= greatest + tolerance


def negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """−log p(label) [N] in nats, from logits [N, K] and labels [N], by log_softmax in float64."""
    log_probabilities = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    return -np.take_along_axis(log_probabilities, labels[:, None], axis=1)[:, 0]


def brier_score(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Σ_k (p_k − [k = label])² [N], from 0 to 2, from logits [N, K] and labels [N] (Brier 1950)."""
    probabilities = softmax(np.asarray(logits, dtype=np.float64), axis=1)
    probability_of_label = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    return (probabilities**2).sum(axis=1) - 2 * probability_of_label + 1


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature that minimises the negative log-likelihood of logits [N, K] / T on labels [N] (Guo 2017).

    The likelihood is convex in 1/T, so this finds the root of its derivative; where there is none in TEMPERATURE_RANGE
    (every prediction right, say) it returns the nearer end.
    """
    logits = np.asarray(logits, dtype=np.float64)
    label_logits = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]

    def slope(log_inverse_temperature: float) -> float:
        probabilities = softmax(logits * np.exp(log_inverse_temperature), axis=1)
        return float(np.mean((probabilities * logits).sum(axis=1) - label_logits))

    coldest, hottest = TEMPERATURE_RANGE
    if slope(-np.log(hottest)) > 0:
        return hottest
    if slope(-np.log(coldest)) <= 0:
        return coldest
    return float(np.exp(-brentq(slope, -np.log(hottest), -np.log(coldest), xtol=1e-10)))  # type: ignore[operator]
