"""Labels of points: apart from one another, inside, off the line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.labels import overlap, place_labels

BOUNDS, NO_LINE = np.array([0.0, 0.0, 700.0, 400.0]), np.empty((0, 2))


@settings(deadline=None, derandomize=True, max_examples=25)
@given(arrays(np.float64, st.tuples(st.integers(0, 30), st.just(2)), elements=st.floats(0.05, 0.95)))
def test_thirty_labels_cover_neither_one_another_nor_the_outside(places):
    sizes = np.full((len(places), 2), [52.0, 12.0])
    centres = place_labels(places * BOUNDS[2:], sizes, BOUNDS, NO_LINE)
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    for index, box in enumerate(boxes):
        assert overlap(box, boxes[index + 1 :]).sum() < 1e-6
        assert overlap(box, BOUNDS[None])[0] == pytest.approx(52 * 12)


def test_a_label_stays_off_the_line():
    line = np.array([[100.0, 200.0], [300.0, 200.0], [300.0, 50.0]])
    size = np.array([40.0, 12.0])
    (centre,) = place_labels(np.array([[300.0, 200.0]]), size[None], BOUNDS, line)
    box = np.concatenate([centre - size / 2, centre + size / 2])
    assert overlap(box, np.array([[100, 199, 300, 201], [299, 50, 301, 200]])).sum() == 0
