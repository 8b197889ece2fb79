"""Conformal sets: how many classes it takes to name the right one in 90 % of images (adaptive sets, Romano 2020).

A class scores the probability of all likelier classes plus a random share of its own; a set holds the classes whose
score is at most a threshold, the ⌈0.9·(n + 1)⌉-th smallest score of the labels of n calibration images. If those are
exchangeable with the image, the set holds its label with a probability of 90 % or a little more, however badly the
probabilities are calibrated; the better they are, the fewer classes it takes. The random shares are a fixed function of
an image's place among N, equal for all models, so that figures can be repeated and models be compared.
"""

from collections.abc import Iterator

import numpy as np

COVERAGE = 0.9
_CHUNK = 4096  # images whose scores are held at once

Sets = tuple[np.ndarray, np.ndarray]  # how many classes each image's set holds, float32 [N], and whether its label


def conformal_sets(calibration: tuple[np.ndarray, np.ndarray], images: tuple[np.ndarray, np.ndarray]) -> Sets:
    """The sets of images, calibrated on other images; each is given as probabilities [N, K] and labels [N]."""
    return _sets(*images, np.full(len(images[1]), _threshold(_label_scores(*calibration))))


def cross_conformal_sets(probabilities: np.ndarray, labels: np.ndarray) -> Sets:
    """The sets of images, from probabilities [N, K] and labels [N], each calibrated on the other half of the images.

    So a model can be selected by them before it sees a test image. The halves are the images of even and odd places.
    """
    label_scores = _label_scores(probabilities, labels)
    thresholds = np.empty(len(labels))
    for half in (0, 1):
        thresholds[half::2] = _threshold(label_scores[1 - half :: 2])
    return _sets(probabilities, labels, thresholds)


def _label_scores(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The score [N] of each image's label."""
    return np.concatenate([of_labels for _, of_labels in _scored(probabilities, labels)])


def _sets(probabilities: np.ndarray, labels: np.ndarray, thresholds: np.ndarray) -> Sets:
    """The sets of the classes whose score is at most the threshold [N] of their image."""
    sizes, in_set, first = [], [], 0
    for scores, of_labels in _scored(probabilities, labels):
        threshold = thresholds[first : first + len(scores)]
        sizes.append((scores <= threshold[:, None]).sum(axis=1))
        in_set.append(of_labels <= threshold)
        first += len(scores)
    return np.concatenate(sizes).astype(np.float32), np.concatenate(in_set)


def _scored(probabilities: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The scores of every class [n, K] and of the label [n], of some images at a time.

    Equally likely classes are ordered by their number.
    """
    raw = np.random.Philox(key=len(labels)).random_raw(len(labels))
    shares = (raw >> np.uint64(11)) * 2.0**-53
    for first in range(0, len(labels), _CHUNK):
        part = slice(first, first + _CHUNK)
        order = np.argsort(-probabilities[part], axis=1, kind="stable")
        descending = np.take_along_axis(probabilities[part], order, axis=1).astype(np.float64)
        scores = np.empty_like(descending)
        np.put_along_axis(scores, order, descending.cumsum(axis=1) - shares[part, None] * descending, axis=1)
        yield scores, np.take_along_axis(scores, labels[part, None], axis=1)[:, 0]


def _threshold(label_scores: np.ndarray) -> float:
    """The score up to which classes are in a set; infinite if 8 calibration images or fewer promise nothing."""
    rank = int(np.ceil(COVERAGE * (len(label_scores) + 1)))
    return float(np.partition(label_scores, rank - 1)[rank - 1]) if rank <= len(label_scores) else np.inf
