import re

import numpy as np
import pytest

from analysis.drawing.linearity import MOST_MODELS, LinearityCurves, draw_gain, draw_linearity, label_entropy
from analysis.drawing.style import FAINT, TEACHER_COLOURS, svg_of

PEAKS = {"resnet152v2": 4.68, "vit_base": 4.05, "convnext": 3.65}
COLOURS = dict(zip(PEAKS, TEACHER_COLOURS, strict=False))


def curves_of(label: str, peak: float, gain: float | None = None) -> LinearityCurves:
    """Curves that are highest at λ = ½, and at the ends 0 and, of dominance, undefined."""
    lambdas = np.linspace(0, 1, 21)
    shape = 4 * lambdas * (1 - lambdas)
    nonlinearity, entropy = peak * shape, 1.5 * shape
    dominance = np.divide(nonlinearity, entropy, out=np.full(21, np.nan), where=entropy > 0)
    low, high = 0.9 * nonlinearity, 1.1 * nonlinearity
    gains = [None] * 3 if gain is None else [scale * gain * shape for scale in (1, 0.8, 1.2)]
    return LinearityCurves(label, lambdas, nonlinearity, low, high, entropy, dominance, *gains)


@pytest.fixture
def curves():
    """Three teachers."""
    return [curves_of(label, peak) for label, peak in PEAKS.items()]


def strong(axes):
    """The curves of a panel that are not behind."""
    return [line for line in axes.lines if line.get_linewidth() == 1.8]


def test_each_teacher_has_a_column_with_its_curves_and_their_peaks(curves, words, cut_off):
    figure = draw_linearity(curves, COLOURS)
    assert len(figure.axes) == 9
    for place, axes in enumerate(figure.axes):
        model = curves[place % 3]
        (line,) = strong(axes)
        quantity = (model.nonlinearity, model.entropy, model.dominance)[place // 3]
        np.testing.assert_array_equal(line.get_ydata(), quantity)
        assert line.get_color() == COLOURS[model.label]
        assert sum(other.get_color() == FAINT for other in axes.lines) == 2
    said = words(svg_of(figure, "linearity"))
    assert {*PEAKS, "4.68", "4.05", "3.65", "1.50", "3.12", "2.70", "2.43", "mixing coefficient λ"} <= set(said)
    assert all(said.count(label) == 1 for label in PEAKS)
    assert cut_off(figure) < 1


def test_rows_share_their_axis_and_have_their_reference(curves):
    figure = draw_linearity(curves, COLOURS)
    for row in range(3):
        assert len({axes.get_ylim() for axes in figure.axes[3 * row : 3 * row + 3]}) == 1
    dashed = [[line for line in axes.lines if line.is_dashed()] for axes in figure.axes]
    assert [len(lines) for lines in dashed] == [0] * 3 + [1] * 6
    assert max(dashed[3][0].get_ydata()) == pytest.approx(np.log(2))
    assert set(dashed[6][0].get_ydata()) == {1}


def test_a_narrow_figure_has_one_column_in_which_every_curve_is_named_once(curves, words, cut_off):
    figure = draw_linearity(curves, COLOURS, narrow=True)
    assert [len(strong(axes)) for axes in figure.axes] == [3, 3, 3]
    said = words(svg_of(figure, "linearity"))
    assert all(sum(word.endswith(label) for word in said) == 3 for label in PEAKS)
    assert {"4.68 resnet152v2", "4.05 vit_base"} <= set(said)
    assert cut_off(figure) < 1


def test_bands_are_the_intervals(curves):
    axes = draw_linearity(curves, COLOURS).axes[0]
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx(1.1 * 4.68)


def test_gains_have_their_peaks_named_and_models_without_a_teacher_none(words, cut_off):
    students = [curves_of("resnet152v2", 4, 0.848), curves_of("convnext", 3, -0.1), curves_of("vit_base", 2)]
    figure = draw_gain(students, COLOURS)
    said = words(svg_of(figure, "gain"))
    assert {"+0.848 resnet152v2", "−0.100 convnext"} <= set(said)
    assert not any("vit_base" in word for word in said)
    assert len(strong(figure.axes[0])) == len(figure.axes[0].collections) == 2
    assert figure.axes[0].get_ylim()[0] < -0.1
    assert cut_off(figure) < 1


def test_undefined_values_leave_gaps_and_paths_are_finite(curves):
    nothing = np.full(21, np.nan)
    broken = LinearityCurves("broken", curves[0].lambdas, *[nothing] * 5)
    for draw in (draw_linearity, draw_gain):
        svg = svg_of(draw([*curves, broken], COLOURS | {"broken": TEACHER_COLOURS[4]}), "figure")
        assert not re.search(r"\b(nan|inf)\b", svg)


def test_of_many_models_the_first_are_drawn():
    many = [curves_of(f"model{number}", 1 + number, 0.1) for number in range(MOST_MODELS + 2)]
    colours = {model.label: TEACHER_COLOURS[0] for model in many}
    assert len(draw_linearity(many, colours).axes) == 3 * MOST_MODELS
    assert len(strong(draw_gain(many, colours).axes[0])) == MOST_MODELS


def test_without_models_the_panels_are_empty():
    assert len(draw_linearity([], {}).axes) == 3
    assert not strong(draw_gain([], {}).axes[0])
    svg_of(draw_linearity([], {}), "empty")


def test_the_entropy_of_a_mixed_label():
    assert label_entropy(np.array([0, 0.5, 1])) == pytest.approx([0, np.log(2), 0])
    assert label_entropy(np.array([0.2])) == pytest.approx(-0.2 * np.log(0.2) - 0.8 * np.log(0.8))
