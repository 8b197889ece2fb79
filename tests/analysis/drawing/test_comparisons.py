"""Comparisons: what stands where."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from analysis.drawing.comparisons import (
    MOST_SERIES,
    draw_latency,
    draw_teachers_against_students,
    draw_trade_off,
    trade_off_series,
)
from analysis.drawing.forest import draw_forest
from analysis.drawing.style import Looks, svg_of


@pytest.fixture(scope="module")
def looks(points):
    return Looks.of(points)


def markers(figure):
    """The positions of all markers."""
    return [line.get_xydata()[0].tolist() for line in figure.axes[0].lines if line.get_linestyle() == "None"]


@pytest.mark.parametrize(("figure", "sign"), [("accuracy", -100), ("ece", 1)])
def test_a_forest_holds_paired_differences_the_best_first(points, on_test, looks, cut_off, figure, sign):
    drawn = draw_forest(points, on_test, "classic", figure, looks)
    arms = [arm for arm in points["arm"] if arm != "classic"]
    wanted = sorted(sign * on_test.difference(figure, arm, "classic").value for arm in arms)
    assert [sign / abs(sign) * x for x, _ in markers(drawn)] == pytest.approx(wanted)
    assert [y for _, y in markers(drawn)] == list(range(len(arms)))
    assert cut_off(drawn) < 1


def test_a_forest_writes_each_difference_and_hollows_those_that_may_be_none(points, on_test, looks, words):
    drawn = draw_forest(points, on_test, "kd small T=2", "accuracy", looks)
    found = words(svg_of(drawn, "forest"))
    for arm, teacher in points[["arm", "teacher"]].drop(1).to_numpy():
        each = on_test.difference("accuracy", arm, "kd small T=2")
        text = f"{100 * each.value:+.1f} ({100 * each.low:.1f} to {100 * each.high:.1f})".replace("-", "−")
        assert text in found
        assert looks.label(arm, "", teacher) in found
    hollow = {line.get_xydata()[0][0] for line in drawn.axes[0].lines if line.get_markeredgewidth() == 1.4}
    none = [on_test.difference("accuracy", arm, "kd small T=2") for arm in points["arm"].drop(1)]
    assert hollow == {100 * each.value for each in none if each.low <= 0 <= each.high}
    assert 0 < len(hollow) < len(none)


def test_lines_of_the_trade_off_differ_in_temperature_alone_and_end_with_sigma(points, looks):
    series = trade_off_series(points, looks)
    assert {key: group["temperature"].tolist() for key, group in series.items()} == {
        ("large", "kd_mixup", ""): ["2", "8"],
        ("small", "kd", ""): ["2"],
        ("small", "kd_mixup", ""): ["2", "8", "sigma"],
    }
    assert trade_off_series(points.loc[points["temperature"] != "8"].drop(4), looks) == {}


def test_the_trade_off_shows_every_distilled_arm_and_sigma_apart(points, on_test, looks, words, cut_off):
    figure = draw_trade_off(points, on_test, "classic", "accuracy", looks)
    xs = np.concatenate([line.get_xdata() for line in figure.axes[0].lines if line.get_linestyle() == "None"])
    assert len(xs) == 6
    assert sorted(xs)[-1] > 3.5
    assert {"2", "8", "σ", "temperature of distillation, T"} <= set(words(svg_of(figure, "trade-off")))
    assert cut_off(figure) < 1


def test_very_many_temperatures_are_named_only_where_there_is_room(judged, evidence, words):
    points = judged([("kd", "small", f"{1 + index / 10:g}") for index in range(60)], [0.5] * 60)
    known = evidence(dict.fromkeys(points["arm"], (0.5, 0.1)))
    svg = svg_of(draw_trade_off(points, known, "", "accuracy", Looks.of(points)), "trade-off")
    assert 5 <= len([word for word in words(svg) if word.replace(".", "").isdigit()]) <= 25


def test_names_of_temperatures_do_not_touch(judged, evidence):
    points = judged([("kd", "small", f"{1 + index / 10:g}") for index in range(10)], [0.5] * 10)
    known = evidence(dict.fromkeys(points["arm"], (0.5, 0.1)))
    figure = draw_trade_off(points, known, "", "accuracy", Looks.of(points))
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [label.get_window_extent(renderer) for label in figure.axes[0].get_xticklabels()]
    assert len(boxes) > 5
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_a_trade_off_has_the_lines_of_the_likeliest_arms(judged):
    arms = [("kd", f"teacher{index}", temperature) for index in range(20) for temperature in ("1", "2")]
    likely = [0.9 * (index % 20 > 14) for index in range(40)]
    series = trade_off_series(judged(arms, likely), Looks.of(judged(arms, likely)))
    assert len(series) == MOST_SERIES
    assert all(len(group) == 2 for group in series.values())
    assert {f"teacher{index}" for index in (8, 9, 18, 19)} <= {teacher for teacher, _, _ in series}


@pytest.mark.parametrize("figure", ["accuracy", "ece", "ece_scaled"])
def test_a_baseline_with_a_long_name_is_shortened_until_the_title_fits(judged, evidence, cut_off, figure):
    points = judged([("kd_mixup", "a_teacher_with_a_name", "2"), ("kd", "small", "2")], [0.9, 0.1])
    known = evidence(dict.fromkeys(points["arm"], (0.5, 0.1)))
    drawn = draw_forest(points, known, points["arm"][0], figure, Looks.of(points))
    assert cut_off(drawn) < 1


def test_students_stand_with_their_teacher(points, on_test, teachers_on_test, looks, cut_off):
    figure = draw_teachers_against_students(points, on_test, teachers_on_test, "ece", looks)
    taught = points.loc[points["teacher"] != ""]
    values = [on_test.estimate("ece", arm).value for arm in taught["arm"]]
    assert sorted(y for _, y in markers(figure)) == pytest.approx(sorted(values))
    ends = {name: teachers_on_test.estimate("ece", name) for name in ("small", "large")}
    for x, y in markers(figure):
        (teacher,) = taught["teacher"].to_numpy()[np.isclose(values, y)]
        assert ends[teacher].low < x < ends[teacher].high
    assert cut_off(figure) < 1


def test_accuracy_stands_against_latency_where_it_was_measured(points, on_test, looks, cut_off):
    measured = points.assign(latency_ms_64=[0.5, 0.5, 1, 1, 1, np.nan, 2])
    figure = draw_latency(measured, on_test, "latency_ms_64", looks)
    assert sorted(x for x, _ in markers(figure)) == [0.5, 0.5, 1, 1, 1, 2]
    assert cut_off(figure) < 1
