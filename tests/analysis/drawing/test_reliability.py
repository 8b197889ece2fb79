"""Reliability diagrams: their bins, bands and figures."""

from xml.etree import ElementTree

import numpy as np
import pytest
from scipy import stats

from analysis.drawing.reliability import (
    FEWEST,
    PANEL_HEIGHT,
    draw_reliability,
    reliability_curve,
    wilson_interval,
)
from analysis.drawing.style import PANEL_WIDTH, TEACHER_COLOURS
from kd_core.measure.predictions import RAW, SCALED

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def record(store):
    return store.trial("trial-0-0")


def test_a_curve_has_the_figures_of_its_record_and_every_image(record):
    metrics, predictions = record.result().metrics, record.predictions("test")
    curves = [reliability_curve(predictions, reading) for reading in (RAW, SCALED)]
    assert [curve.figures["ece"] for curve in curves] == [metrics["test/ece"], metrics["test/ece_scaled"]]
    for curve in curves:
        assert curve.counts.sum() == len(predictions.label)
        gaps = np.abs(curve.accuracy - curve.confidence)
        assert curve.counts @ gaps / curve.counts.sum() == pytest.approx(curve.figures["ece"])
        assert (curve.low <= curve.accuracy + 1e-12).all()
        assert (curve.accuracy <= curve.high + 1e-12).all()


def test_intervals_are_those_of_wilson():
    count = np.array([1, 7, 10, 400, 400])
    right = np.array([1, 0, 3, 200, 399])
    found = np.stack(wilson_interval(right / count, count), axis=1)
    wanted = [stats.binomtest(int(k), int(n)).proportion_ci(method="wilson") for k, n in zip(right, count, strict=True)]
    assert found == pytest.approx(np.array(wanted), abs=1e-9)


def drawn(curve, teacher=None) -> ElementTree.Element:
    """The elements of a diagram."""
    return ElementTree.fromstring(draw_reliability(curve, TEACHER_COLOURS[0], "diagram", teacher))


def points_of(line: ElementTree.Element) -> np.ndarray:
    """The points [N, 2] of a line or area, in pixels."""
    return np.array([[float(value) for value in point.split(",")] for point in line.attrib["points"].split()])


def lines_of(diagram: ElementTree.Element) -> list[ElementTree.Element]:
    """The diagonal, the teacher's line if there is one, and the student's."""
    return list(diagram.iter(f"{SVG}polyline"))


def test_a_diagram_states_its_figures_and_cuts_nothing(record):
    curve = reliability_curve(record.predictions("test"), RAW)
    diagram = drawn(curve, teacher=curve)
    assert f"ECE {curve.figures['ece']:.4f}" in [text.text for text in diagram.iter(f"{SVG}text")]
    shapes = [*lines_of(diagram), *diagram.iter(f"{SVG}polygon")]
    assert (np.concatenate([points_of(shape) for shape in shapes]) >= 0).all()
    assert (np.concatenate([points_of(shape) for shape in shapes]) <= [PANEL_WIDTH, PANEL_HEIGHT]).all()


def test_a_line_goes_through_the_bins_that_hold_enough_images_and_the_histogram_has_all(record):
    curve = reliability_curve(record.predictions("test"), RAW)
    assert curve.counts.min() < FEWEST < curve.counts.max()
    diagram = drawn(curve)
    (low, high), points = points_of(lines_of(diagram)[0]), points_of(lines_of(diagram)[-1])
    shares = (points - low) / (high - low)
    enough = curve.counts >= FEWEST
    assert shares == pytest.approx(np.stack([curve.confidence, curve.accuracy], axis=1)[enough], abs=1e-4)
    assert len(list(diagram.iter(f"{SVG}circle"))) == enough.sum()
    (bars,) = [path for path in diagram.iter(f"{SVG}path") if TEACHER_COLOURS[0] in path.attrib["style"]]
    assert bars.attrib["d"].count("M") == len(curve.counts)


def test_a_band_holds_the_intervals(record):
    curve = reliability_curve(record.predictions("test"), RAW)
    (band,) = drawn(curve).iter(f"{SVG}polygon")
    (low, high), points = points_of(lines_of(drawn(curve))[0]), points_of(band)
    shares, enough = (points[:, 1] - low[1]) / (high[1] - low[1]), curve.counts >= FEWEST
    assert shares == pytest.approx(np.concatenate([curve.low[enough], curve.high[enough][::-1]]), abs=1e-4)


def test_the_teacher_is_dashed_behind_its_student(record, store):
    curve = reliability_curve(record.predictions("test"), RAW)
    teacher = reliability_curve(store.teacher("teacher-resnet").predictions("test"), RAW)
    _, dashed, solid = lines_of(drawn(curve, teacher))
    assert points_of(dashed).tolist() == points_of(lines_of(drawn(teacher))[-1]).tolist()
    assert "dasharray" in dashed.attrib["style"]
    assert "dasharray" not in solid.attrib["style"]
    assert len(lines_of(drawn(curve))) == 2


def test_a_diagram_by_itself_has_a_size_and_a_background(record):
    curve = reliability_curve(record.predictions("test"), RAW)
    svg = draw_reliability(curve, TEACHER_COLOURS[0], "a < b", standalone=True)
    diagram = ElementTree.fromstring(svg)
    assert (diagram.attrib["width"], diagram.attrib["aria-label"]) == (f"{PANEL_WIDTH}pt", "a < b")
    assert "prefers-color-scheme: dark" in svg
