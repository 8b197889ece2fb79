"""The front chart: where points stand, how strong they are, what is named."""

import re

import numpy as np
import pandas as pd
import pytest

from analysis.drawing.front_chart import MOST_DETAILED, MOST_MARKED, axes_of, draw_front
from analysis.drawing.style import DARK, any_letters, svg_of
from analysis.statistics.evidence import estimates_of


def marker(figure, index):
    """The line with the marker of an arm."""
    (found,) = [line for line in figure.axes[0].lines if line.get_gid() == f"arm-{index}"]
    return found


@pytest.fixture
def front(points, front_of_points):
    return front_of_points(points)


@pytest.mark.parametrize("narrow", [False, True])
def test_a_front_names_every_arm_once_and_cuts_nothing(front, on_test, words, cut_off, narrow):
    figure = draw_front(front, on_test, narrow=narrow)
    found = words(svg_of(figure, "front"))
    assert {"classic", "T=2", "T=8", "T=σ", "small", "large", "none", "plausible"} <= set(found)
    assert any("test accuracy" in word for word in found)
    assert any("test ECE" in word for word in found)
    assert cut_off(figure) < 1
    assert figure.get_size_inches()[0] * 72 <= 380 or not narrow


def test_equal_values_give_equal_bytes(front, on_test):
    assert svg_of(draw_front(front, on_test), "f") == svg_of(draw_front(front, on_test), "f")


def test_points_stand_at_bias_corrected_estimates_with_their_intervals(front, on_test):
    figure = draw_front(front, on_test)
    for index, arm in enumerate(front.points["arm"]):
        ece, accuracy = on_test.estimate("ece", arm), on_test.estimate("accuracy", arm)
        assert ece.value < on_test.plain["ece"][index] - 0.005
        assert marker(figure, index).get_xydata().tolist() == [[accuracy.value, ece.value]]
        bars = [line.get_xydata() for line in figure.axes[0].lines if len(line.get_xdata()) == 5]
        ends = (
            [accuracy.low, ece.value],
            [accuracy.high, ece.value],
            [accuracy.value, ece.low],
            [accuracy.value, ece.high],
        )
        assert any(all(end in bar.tolist() for end in ends) for bar in bars)


def test_likely_arms_are_strong_and_ruled_out_ones_faint(front, on_test):
    figure = draw_front(front, on_test)
    strong, plausible, faint = marker(figure, 0), marker(figure, 2), marker(figure, 4)
    assert strong.get_markersize() > plausible.get_markersize() > faint.get_markersize()
    assert strong.get_markeredgecolor() != plausible.get_markeredgecolor()
    assert [each.get_alpha() for each in (strong, plausible)] == [None, None]
    assert faint.get_alpha() < 0.5


def test_one_teacher_has_one_colour_and_one_method_one_marker(front, on_test):
    markers = [marker(draw_front(front, on_test), index) for index in range(7)]
    assert len({each.get_color() for each in markers[1:5]}) == 1
    assert len({each.get_color() for each in markers}) == 3
    assert len({each.get_marker() for each in markers[2:]}) == 1
    assert len({each.get_marker() for each in markers}) == 3


def test_only_colours_that_turn_dark_are_used(front, on_test):
    svg = svg_of(
        draw_front(front, on_test, against=front.points.assign(**{"test/accuracy": 0.7, "test/ece": 0.1})), "f"
    )
    assert set(re.findall("#[0-9a-f]{6}", re.sub('href="[^"]*"|id="[^"]*"|url[^)]*', "", svg))) <= set(DARK)


@pytest.mark.parametrize(
    ("objectives", "axes"),
    [
        ({"validation/accuracy": "max"}, ("accuracy", "ece")),
        ({"validation/ece_scaled": "min"}, ("ece_scaled", "ece")),
        (
            {"num_parameters": "min", "validation/accuracy": "max", "validation/ece": "min"},
            ("num_parameters", "accuracy"),
        ),
    ],
)
def test_other_objectives_are_drawn_over_the_first_two(points, front_of_points, on_test, words, objectives, axes):
    front = front_of_points(points, objectives)
    assert axes_of(front) == axes
    assert marker(draw_front(front, on_test), 0) is not None
    assert any("parameters" in word for word in words(svg_of(draw_front(front, on_test), "f"))) == (
        "num_parameters" in objectives
    )


def test_a_figure_without_draws_has_no_interval(points, on_test):
    (estimate, *_) = estimates_of(points, on_test, "num_parameters")
    assert estimate.value == 1000
    assert np.isnan([estimate.low, estimate.high]).all()


def test_an_arm_that_lacks_a_figure_is_left_out(points, front_of_points, on_test):
    missing = points.assign(num_parameters=[np.nan, *[1000.0] * 6])
    front = front_of_points(missing, {"num_parameters": "min", "validation/accuracy": "max"})
    drawn = {line.get_gid() for line in draw_front(front, on_test).axes[0].lines}
    assert "arm-0" not in drawn
    assert "arm-1" in drawn


def test_another_sweep_is_hollow_and_in_the_key(front, on_test, words):
    other = pd.DataFrame({"test/accuracy": [0.72], "test/ece": [0.03]})
    figure = draw_front(front, on_test, against=other)
    (hollow,) = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert hollow.get_xydata().tolist() == [[0.72, 0.03]]
    assert "the other sweep's front" in words(svg_of(figure, "f"))


def test_names_may_be_in_any_script_and_of_any_length(judged, front_of_points, evidence, words, cut_off):
    points = judged([("kd", "教师" * 40, "2"), ("方法" * 40, "b" * 90, "4")], [0.6, 0.6])
    figures = evidence(dict(zip(points["arm"], [(0.5, 0.1), (0.6, 0.2)], strict=True)))
    for narrow in (False, True):
        figure = draw_front(front_of_points(points), figures, narrow=narrow)
        assert any("教师" in word for word in words(svg_of(figure, "front")))
        with any_letters():
            assert cut_off(figure) < 1


def test_of_very_many_arms_only_the_likeliest_have_markers_bars_and_labels(judged, front_of_points, evidence):
    generator, number = np.random.default_rng(0), MOST_MARKED + 100
    points = judged(
        [("kd", "small", str(index + 1)) for index in range(number)], generator.uniform(size=number).tolist()
    )
    figures = dict(zip(points["arm"], generator.uniform(0.1, 0.9, size=(number, 2)).tolist(), strict=True))
    axes = draw_front(front_of_points(points), evidence(figures)).axes[0]
    marked = [line.get_gid() for line in axes.lines if line.get_gid()]
    assert len(marked) == MOST_MARKED
    assert f"arm-{points['front_probability'].idxmax()}" in marked
    assert f"arm-{points['front_probability'].idxmin()}" not in marked
    assert len([line for line in axes.lines if len(line.get_xdata()) == 5]) == MOST_DETAILED
    assert 20 <= len([text for text in axes.texts if text.get_gid() == "label"]) <= MOST_DETAILED
    (dots,) = [line for line in axes.lines if len(line.get_xdata()) == 3 * 100]
    assert np.isnan(dots.get_xdata()).sum() == 100
