"""The class-wise ECE of resamples: gaps between probability and frequency in the bins of every class."""

import numpy as np
import scipy

from kd_core.measure.calibration import NUM_BINS, bin_index

_CLASSES_AT_ONCE = 32


def classwise_gaps(logits: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of [label = k] − p(k), over all images and classes, in each of C filled bins of a class, [C] and [R, C].

    logits are [N, K], labels [N], counts [R, N] the resamples. The sum of absolute gaps is the class-wise ECE.
    """
    probabilities = scipy.special.softmax(logits.astype(np.float64), axis=1)
    num_images, num_classes = probabilities.shape
    observed, resampled = [], []
    for first in range(0, num_classes, _CLASSES_AT_ONCE):
        numbers = np.arange(first, min(first + _CLASSES_AT_ONCE, num_classes))
        part = probabilities[:, numbers]
        column = bin_index(part) + NUM_BINS * (numbers - first)
        filled, place = np.unique(column, return_inverse=True)
        cells = np.zeros((num_images, len(filled)))
        cells[np.arange(num_images)[:, None], place.reshape(column.shape)] = (labels[:, None] == numbers) - part
        observed.append(cells.mean(axis=0) / num_classes)
        resampled.append(counts @ cells / (num_images * num_classes))
    return np.concatenate(observed), np.concatenate(resampled, axis=1)
