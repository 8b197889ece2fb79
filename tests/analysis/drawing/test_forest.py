import numpy as np

from analysis.drawing.forest import draw_importances
from analysis.drawing.style import PAPER, svg_of
from analysis.statistics.importance import IDLE, MATTERS, OPEN, Importance

IMPORTANCES = [
    Importance("validation/accuracy", "train.learning_rate", 20, 20, 0.62, 0.4, 0.8, MATTERS),
    Importance("validation/accuracy", "student.dropout", 3, 20, 0.02, 0.0, 0.09, IDLE),
    Importance("validation/accuracy", "method", 2, 20, float("nan"), float("nan"), float("nan"), OPEN),
]


def test_each_key_has_its_share_and_interval_and_those_that_may_not_matter_are_hollow(words, cut_off):
    drawn = draw_importances(IMPORTANCES)
    markers = [line for line in drawn.axes[0].lines if line.get_marker() == "o"]
    assert [line.get_xydata()[0].tolist() for line in markers[:2]] == [[0.62, 0], [0.02, 1]]
    assert [line.get_markerfacecolor() == PAPER for line in markers] == [False, True, True]
    bars = [list(line.get_xdata()) for line in drawn.axes[0].lines if len(line.get_xdata()) == 2]
    assert [0.4, 0.8] in bars
    assert cut_off(drawn) < 1
    said = words(svg_of(drawn, "keys"))
    assert {"train.learning_rate", "62 % (40 to 80)", "student.dropout", "2 % (0 to 9)", "not alone"} <= set(said)
    assert "variance of accuracy that a key explains" in said


def test_a_long_name_is_shortened(words):
    drawn = draw_importances([Importance("validation/ece", "train." + "x" * 60, 3, 9, 0.5, 0.1, 0.9, MATTERS)])
    assert any(word.endswith("…") and len(word) <= 34 for word in words(svg_of(drawn, "keys")))
    assert np.isfinite(drawn.axes[0].get_ylim()).all()
