"""Places the labels of a scatter plot so that none covers a point or another label."""

from collections.abc import Iterator

import numpy as np

POINT_SIZE = 9.0  # pixels a side that a marker keeps free
RADII = np.arange(10.0, 300.0, 6.0)
ANGLES = np.deg2rad([0, 180, 90, 270, 35, 145, 325, 215, 60, 120, 300, 240])


def place_labels(anchors: np.ndarray, sizes: np.ndarray, bounds: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Centres [N, 2] of labels of the given sizes [N, 2] near their anchors [N, 2], all in pixels.

    In order, each label gets the nearest place within bounds (left, bottom, right, top) that is free of points, of
    other labels and of a staircase line with corners [C, 2], or else the least crowded one.
    """
    segments = zip(np.minimum(line[:-1], line[1:]) - 1, np.maximum(line[:-1], line[1:]) + 1, strict=True)
    taken = [_box(anchor, np.array([POINT_SIZE, POINT_SIZE])) for anchor in anchors]
    taken += [np.concatenate(corners) for corners in segments]
    centres = []
    for anchor, size in zip(anchors, sizes, strict=True):
        centre = _best_place(anchor, size, np.array(taken), bounds)
        centres.append(centre)
        taken.append(_box(centre, size))
    return np.array(centres).reshape(-1, 2)


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The area [M] that a box (left, bottom, right, top) shares with each of boxes [M, 4]."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    return np.prod(np.clip(sides, 0, None), axis=1)


def _best_place(anchor: np.ndarray, size: np.ndarray, taken: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    best, least = anchor, np.inf
    for centre in _places(anchor, size):
        box = _box(centre, size)
        outside = np.prod(size) - overlap(box, bounds[None])[0]
        crowding = overlap(box, taken).sum() + 4 * outside
        if crowding < least - 1e-9:
            best, least = centre, crowding
        if least <= 1e-9:
            break
    return best


def _places(anchor: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
    """Centres around the anchor, ring by ring, so that the label's near edge is about a radius away."""
    for radius in RADII:
        for angle in ANGLES:
            direction = np.array([np.cos(angle), np.sin(angle)])
            yield anchor + direction * (radius + np.abs(direction) * (size / 2 - [0, size[1] / 4]))


def _box(centre: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.concatenate([centre - size / 2, centre + size / 2])
