"""Reliability diagrams: their bins, bands and figures."""

import numpy as np
import pytest
from scipy import stats

from analysis.drawing.reliability import FEWEST, draw_reliability, reliability_curve, wilson_interval
from analysis.drawing.style import TEACHER_COLOURS, svg_of
from kd_core.measure.predictions import RAW, SCALED


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


def test_a_diagram_states_its_figures_and_cuts_nothing(record, words, cut_off):
    curve = reliability_curve(record.predictions("test"), RAW)
    figure = draw_reliability(curve, TEACHER_COLOURS[0], teacher=curve)
    assert f"ECE {curve.figures['ece']:.4f}" in " ".join(words(svg_of(figure, "diagram")))
    assert cut_off(figure) < 1
    assert figure.get_size_inches()[0] * 72 <= 380


def test_bins_of_few_images_are_only_in_the_histogram(record):
    curve = reliability_curve(record.predictions("test"), RAW)
    assert curve.counts.min() < FEWEST < curve.counts.max()
    top, bottom = draw_reliability(curve, TEACHER_COLOURS[0]).axes
    assert top.lines[-1].get_xdata().tolist() == curve.confidence[curve.counts >= FEWEST].tolist()
    assert sum(bar.get_height() for bar in bottom.patches) == curve.counts.sum()


def test_the_teacher_is_dashed_behind_its_student(record, store):
    curve = reliability_curve(record.predictions("test"), RAW)
    teacher = reliability_curve(store.teacher("teacher-resnet").predictions("test"), RAW)
    _, dashed, solid = draw_reliability(curve, TEACHER_COLOURS[0], teacher).axes[0].lines
    assert dashed.get_ydata().tolist() == teacher.accuracy[teacher.counts >= FEWEST].tolist()
    assert dashed.is_dashed()
    assert not solid.is_dashed()
    assert len(draw_reliability(curve, TEACHER_COLOURS[0]).axes[0].lines) == 2
