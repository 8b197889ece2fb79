"""Labels of points: apart from one another, inside, near, off the line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.drawing.labels import boxes_of_line, overlap, place_labels

BOUNDS, NO_LINES = np.array([0.0, 0.0, 700.0, 400.0]), np.empty((0, 4))


@settings(deadline=None, derandomize=True, max_examples=25)
@given(arrays(np.float64, st.tuples(st.integers(0, 30), st.just(2)), elements=st.floats(0.05, 0.95)))
def test_thirty_labels_cover_neither_one_another_nor_the_outside(places):
    sizes = np.full((len(places), 2), [52.0, 12.0])
    centres = place_labels(places * BOUNDS[2:], sizes, BOUNDS, NO_LINES, [True] * len(places))
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    assert np.triu(overlap(boxes, boxes), 1).sum() < 1e-6
    assert overlap(boxes, BOUNDS[None]) == pytest.approx(np.full((len(boxes), 1), 52 * 12))


def test_a_label_stays_near_its_point_and_off_the_line():
    line = np.array([[100.0, 200.0], [300.0, 200.0], [300.0, 50.0]])
    anchor, size = np.array([300.0, 200.0]), np.array([40.0, 12.0])
    (centre,) = place_labels(anchor[None], size[None], BOUNDS, boxes_of_line(line), [True])
    box = np.concatenate([centre - size / 2, centre + size / 2])
    assert overlap(box[None], np.array([[100, 199, 300, 201], [299, 50, 301, 200]])).sum() == 0
    assert np.linalg.norm(centre - anchor) < 50


def test_a_label_that_is_not_required_is_left_out_where_there_is_no_room():
    anchors, sizes = np.full((40, 2), 200.0), np.full((40, 2), [60.0, 12.0])
    required = [index < 20 for index in range(40)]
    centres = place_labels(anchors, sizes, BOUNDS, NO_LINES, required)
    assert np.isfinite(centres[:20]).all()
    assert np.isnan(centres[20:]).all()
    alone = place_labels(anchors[:1], sizes[:1], BOUNDS, NO_LINES, [False])
    assert np.isfinite(alone).all()


def test_the_area_that_boxes_share():
    boxes, others = np.array([[0, 0, 4, 4], [8, 8, 9, 9]]), np.array([[2, 3, 9, 9]])
    assert overlap(boxes, others).tolist() == [[2], [1]]
