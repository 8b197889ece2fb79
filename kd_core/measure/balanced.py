"""Accuracy in which every class weighs the same, however many images it has."""

import numpy as np


def balanced_accuracy(correct: np.ndarray, label: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The mean over classes of the accuracy [N] on the images of each; classes without an image do not count.

    It equals the macro-averaged recall. Images are weighted by weights [N].
    """
    weights = np.ones(len(label)) if weights is None else np.asarray(weights, dtype=np.float64)
    size, right = np.bincount(label, weights), np.bincount(label, weights * correct)
    return float(np.mean(right[size > 0] / size[size > 0]))
