"""Places the labels of a scatter plot so that none covers a point or another label."""

from collections.abc import Sequence

import numpy as np

POINT_SIZE = 10.0  # pixels a side that a marker keeps free
_RADII = np.arange(9.0, 260.0, 5.0)
_ANGLES = np.deg2rad([0, 180, 90, 270, 35, 145, 325, 215, 60, 120, 300, 240])
_HARD = 15.0  # how much worse it is to cover a point or a label than a line
_FAR = 1.5  # square pixels of a line that a label rather covers than be a pixel farther from its point
_NEAR = 30.0  # pixels from its point within which an optional label must find a free place


def place_labels(
    anchors: np.ndarray, sizes: np.ndarray, bounds: np.ndarray, lines: np.ndarray, required: Sequence[bool]
) -> np.ndarray:
    """Centres [N, 2] of labels of the given sizes [N, 2] near their anchors [N, 2], all in pixels.

    In order, each label gets the best place within bounds (left, bottom, right, top): near its anchor, off the points
    and the other labels and, if possible, off the lines, which are thin boxes [M, 4]. A label that is not required gets
    only a place nearby that is off points and labels, else NaN.
    """
    hard = [_boxes(anchor, np.array([POINT_SIZE, POINT_SIZE])) for anchor in anchors]
    centres = np.full((len(anchors), 2), np.nan)
    for index, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
        places, distance = _places(anchor, size)
        boxes = _boxes(places, size)
        outside = np.prod(size) - overlap(boxes, bounds[None])[:, 0]
        crowding = overlap(boxes, np.array(hard)).sum(axis=1) + outside
        best = int(np.argmin(_HARD * crowding + overlap(boxes, lines).sum(axis=1) + _FAR * distance))
        if required[index] or (crowding[best] < 1e-6 and distance[best] < _NEAR):
            centres[index] = places[best]
            hard.append(boxes[best])
    return centres


def overlap(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area [N, M] that each of boxes [N, 4] (left, bottom, right, top) shares with each of others [M, 4]."""
    sides = np.minimum(boxes[:, None, 2:], others[:, 2:]) - np.maximum(boxes[:, None, :2], others[:, :2])
    return np.prod(np.clip(sides, 0, None), axis=2)


def boxes_of_line(corners: np.ndarray) -> np.ndarray:
    """The segments of a line of horizontal and vertical pieces with corners [C, 2], as thin boxes [C − 1, 4]."""
    first, second = corners[:-1], corners[1:]
    return np.concatenate([np.minimum(first, second) - 1, np.maximum(first, second) + 1], axis=1)


def _places(anchor: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres [P, 2] around the anchor, ring by ring, and how far from it each label's near edge is, about."""
    directions = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    reach = np.abs(directions) * (size / 2 - [0, size[1] / 4])
    places = anchor + directions * (_RADII[:, None, None] + reach)
    return places.reshape(-1, 2), np.repeat(_RADII, len(_ANGLES))


def _boxes(centres: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.concatenate([centres - size / 2, centres + size / 2], axis=-1)
