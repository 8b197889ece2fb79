"""Models whose true calibration is known: populations of confidences, and samples of predictions from them."""

import numpy as np

from kd_core.measure.calibration import bin_index
from kd_core.measure.predictions import RAW, SCALED, Predictions, Reading

SHAPES = {  # how miscalibration depends on confidence, up to a factor
    "overconfident": lambda confidence: confidence * (1 - confidence),
    "both signs": lambda confidence: confidence * (1 - confidence) * (confidence - 0.6),
    "one bin": lambda confidence: (bin_index(confidence) == 9) * 1.0,
    "top bin": lambda confidence: (bin_index(confidence) == 14) * 1.0,
    "certain": lambda confidence: (confidence == 1) * 1.0,
}
QUANTILES = (np.arange(20_000) + 0.5) / 20_000  # a population of confidences, for exact truths


def miscalibrated(confidence: np.ndarray, ece: float, shape: str) -> tuple[np.ndarray, float]:
    """The probability of being right at each confidence of the population, such that its ECE is ece; and its ECE."""
    gap = SHAPES[shape](confidence)
    for _ in range(20):  # clipping and binning change the factor a little
        probability = np.clip(confidence - gap, 0, 1)
        found = true_ece(confidence, probability)
        gap = gap * (ece / found if found > 0 else 0)
    return np.clip(confidence - gap, 0, 1), true_ece(confidence, np.clip(confidence - gap, 0, 1))


def true_ece(confidence: np.ndarray, probability: np.ndarray) -> float:
    return float(np.abs(np.bincount(bin_index(confidence), probability - confidence)).sum() / len(confidence))


def model(confidence: np.ndarray, correct: np.ndarray) -> Predictions:
    """Predictions with these confidences [N] and, for label 0, predictions that are right or wrong."""
    zeros = np.zeros(len(confidence), dtype=np.float32)
    reading = Reading(confidence.astype(np.float32), zeros, zeros, zeros)
    label = np.zeros(len(confidence), dtype=np.int64)
    return Predictions(label, (~correct).astype(np.int64), 1.0, {RAW: reading, SCALED: reading})
