import numpy as np
import pytest

from analysis.drawing.robustness import MOST_MODELS, CorruptionCurves, draw_gains, draw_severities
from analysis.drawing.style import NO_TEACHER, PAPER, TEACHER_COLOURS, svg_of

CORRUPTIONS = ("gaussian_noise", "fog", "jpeg_compression", "pixelate")
GAINS = {"convnext": [0.05, 0.19, 0.04, -0.01], "resnet": [0.09, 0.06, 0.06, -0.047]}
COLOURS = {"baseline": NO_TEACHER, "convnext": TEACHER_COLOURS[0], "resnet": TEACHER_COLOURS[1]}


def curves_of(label: str, gain: list[float] | None) -> CorruptionCurves:
    """Accuracies that fall with severity."""
    accuracy = 0.8 - 0.1 * np.arange(5) + np.zeros((4, 1)) + (0 if gain is None else np.array(gain)[:, None])
    gains = [None] * 3 if gain is None else [np.array(gain) + shift for shift in (0, -0.02, 0.02)]
    return CorruptionCurves(label, CORRUPTIONS, (1, 2, 3, 4, 5), accuracy, accuracy - 0.03, accuracy + 0.03, *gains)


@pytest.fixture
def curves():
    """A baseline and two students."""
    return [curves_of("baseline", None), *(curves_of(label, gain) for label, gain in GAINS.items())]


def test_gains_are_points_by_corruption_the_highest_first(curves, words, cut_off):
    figure = draw_gains(curves, COLOURS, "mixup")
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    found = [(line.get_color(), line.get_xdata()[0]) for line in dots]
    wanted = [(COLOURS[label], 100 * GAINS[label][index]) for index in (1, 0, 2, 3) for label in GAINS]
    assert [colour for colour, _ in found] == [colour for colour, _ in wanted]
    assert [value for _, value in found] == pytest.approx([value for _, value in wanted])
    assert [line.get_markerfacecolor() == PAPER for line in dots] == [False] * 6 + [True, False]
    said = words(svg_of(figure, "gains"))
    order = [word for word in said if word in {"fog", "gaussian noise", "jpeg compression", "pixelate"}]
    assert order == ["fog", "gaussian noise", "jpeg compression", "pixelate"]
    assert {"+19.0", "+9.0", "+6.0", "−1.0", "accuracy gained over mixup, in points"} <= set(said)
    assert [said.count(label) for label in COLOURS] == [0, 1, 1]
    assert cut_off(figure) < 1


def test_intervals_of_gains_are_drawn(curves):
    lines = draw_gains(curves, COLOURS, "mixup").axes[0].lines
    bars = [line.get_xdata() for line in lines if line.get_color() in COLOURS.values() and len(line.get_xdata()) == 2]
    assert len(bars) == 8
    assert list(bars[0]) == pytest.approx([17, 21])


@pytest.mark.parametrize(("narrow", "named"), [(False, 2), (True, 4)])
def test_severities_have_a_panel_a_corruption_and_names_where_each_row_ends(curves, words, cut_off, narrow, named):
    figure = draw_severities(curves, COLOURS, narrow)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [name.replace("_", " ") for name in CORRUPTIONS]
    for index, axes in enumerate(figure.axes):
        lines = [line for line in axes.lines if line.get_linewidth() == 1.6]
        for line, model in zip(lines, curves, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), model.accuracy[index])
            assert line.is_dashed() == (model.gain is None)
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    said = words(svg_of(figure, "severities"))
    assert all(said.count(label) == named for label in COLOURS)
    assert {"0 %", "severity"} <= set(said)
    assert cut_off(figure) < 1


def test_of_many_models_the_first_are_drawn(cut_off):
    many = [curves_of(f"a long name of model {number}", GAINS["resnet"]) for number in range(MOST_MODELS + 2)]
    colours = {model.label: TEACHER_COLOURS[0] for model in many}
    gains = draw_gains(many, colours, "a baseline with a very long name")
    assert sum(line.get_marker() == "o" for line in gains.axes[0].lines) == 4 * MOST_MODELS
    assert cut_off(gains) < 1
    assert cut_off(draw_severities(many, colours)) < 1


def test_without_models_the_panels_are_empty(words):
    assert "accuracy gained over mixup, in points" in words(svg_of(draw_gains([], {}, "mixup"), "empty"))
    only_baseline = draw_gains([curves_of("baseline", None)], COLOURS, "mixup")
    assert not [line for line in only_baseline.axes[0].lines if line.get_marker() == "o"]
    assert len(draw_severities([], {}).axes) == 1
