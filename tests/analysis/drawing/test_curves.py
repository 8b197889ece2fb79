"""Learning curves: what is expanded, what is named."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.drawing.curves import break_of, draw_curves, spread
from analysis.drawing.style import Looks, svg_of


@pytest.fixture(scope="module")
def journals(points):
    """Twenty epochs of two seeds of every arm: accuracy rises to .7 and more, ECE falls."""
    rows = [
        {"arm": arm, "seed": seed, "epoch": epoch, "validation/accuracy": a, "validation/ece": 0.6 - 0.75 * a}
        for number, arm in enumerate(points["arm"])
        for seed in (0, 1)
        for epoch in range(1, 21)
        for a in [(0.7 + 0.01 * number + 0.02 * seed) * (1 - 0.5**epoch)]
    ]
    return pd.DataFrame(rows)


def test_curves_are_means_over_seeds_named_by_what_sets_arms_apart(journals, points, words, cut_off):
    arms = points.loc[points["teacher"] == "small"]
    figure = draw_curves(journals, arms, "accuracy", Looks.of(points))
    drawn = figure.axes[0].lines[0].get_ydata()
    assert drawn[-1] == pytest.approx((0.7 + 0.01 + 0.01) * (1 - 0.5**20))
    assert {"▲ T=2", "■ T=2", "■ T=8", "■ T=σ"} <= set(words(svg_of(figure, "curves")))
    assert cut_off(figure) < 1


@pytest.mark.parametrize(("figure", "expanded"), [("accuracy", 0), ("ece", 1)])
def test_the_part_in_which_arms_end_is_expanded(journals, points, figure, expanded):
    parts = draw_curves(journals, points, figure, Looks.of(points)).axes
    assert len(parts) == 2
    heights = [axes.get_position().height for axes in parts]
    assert heights[expanded] > 1.5 * heights[1 - expanded]
    assert parts[0].get_ylim()[0] == parts[1].get_ylim()[1]
    ends = journals.loc[journals["epoch"] == 20].groupby("arm")[f"validation/{figure}"].mean()
    low, high = parts[expanded].get_ylim()
    assert ((low < ends) & (ends < high)).all()


def test_what_ends_all_over_the_range_is_not_cut_in_two(journals, points):
    journals = journals.assign(**{"validation/accuracy": np.tile(np.linspace(0.1, 0.9, 14), 20)})
    assert len(draw_curves(journals, points, "accuracy", Looks.of(points)).axes) == 1
    assert break_of(np.array([[0.1, 0.2], [0.2, 0.9]])) is None
    assert break_of(np.full((3, 2), np.nan)) is None
    assert 0.7 < break_of(np.array([[0.1, 0.2], [0.8, 0.9]])) < 0.8


def test_a_curve_that_ends_early_is_drawn_as_far_as_it_goes(journals, points):
    journals = journals.loc[(journals["arm"] != "classic") | (journals["epoch"] < 5)]
    figure = draw_curves(journals, points, "ece", Looks.of(points))
    assert len(figure.axes[0].lines[0].get_xdata()) == 4


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(-0.5, 1.5), max_size=12))
def test_labels_are_spread_apart_in_their_order(positions):
    moved = spread(np.array(positions), 0.08)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(moved[order]) >= 0.08 - 1e-9).all()
    assert all(moved <= 1 + 1e-9)
    assert all(moved >= -1e-9)
