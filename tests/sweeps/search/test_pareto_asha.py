"""Checks the rule of early stopping against its definition, one point at a time, and under replay."""

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pareto import dominates
from sweeps.config.search import ParetoAshaConfig
from sweeps.search.pareto_asha import Rungs, crowding_distances, rung_epochs, spreads, standing_of_last

OBJECTIVES = {"validation/accuracy": "max", "validation/ece": "min"}
GRID = st.integers(0, 4) | st.just(math.inf)  # many ties and duplicates
RULES = st.builds(
    ParetoAshaConfig,
    grace_epochs=st.integers(1, 3),
    reduction_factor=st.sampled_from([1.5, 2, 3, 4]),
    tolerance=st.sampled_from([0.0, 0.25, 0.5]),
)


@st.composite
def rungs_of_points(draw):
    """The objectives [n, D] of the trials of a rung, some of them not finite."""
    num_objectives = draw(st.integers(1, 3))
    rows = draw(st.lists(st.tuples(*[GRID] * num_objectives), min_size=1, max_size=12))
    return np.array(rows, dtype=float)


def normalized_by_hand(values):
    columns = [*zip(*(row for row in values if np.isfinite(row).all()), strict=True)]
    return [
        [float(x) / spread_by_hand(column) for x, column in zip(row, columns, strict=True)]
        if np.isfinite(row).all()
        else None
        for row in values
    ]


def spread_by_hand(column):
    """Four times the median of the distances from the median, at most the range; the range, or 1, where it is 0."""
    width = max(column) - min(column)
    robust = 4 * median(abs(x - median(column)) for x in column)
    return float(min(robust, width) or width or 1)


def ranks_by_hand(points):
    """The number of fronts to take away before a point is on the front; one more than all for a point not finite."""
    left, ranks = {i for i, point in enumerate(points) if point is not None}, {}
    while left:
        front = {i for i in left if not any(dominates(np.array(points[j]), np.array(points[i])) for j in left)}
        ranks |= dict.fromkeys(front, len(set(ranks.values())))
        left -= front
    return [ranks.get(i, len(points)) for i in range(len(points))]


def standing_by_hand(values):
    """The number of points better than the last, and the least tolerance with which it is close to the front."""
    last = len(values) - 1
    if not np.isfinite(values[last]).all():
        return last, math.inf
    points = normalized_by_hand(values)
    ranks = ranks_by_hand(points)
    peers = [i for i, rank in enumerate(ranks) if rank == ranks[last]]
    lonely = dict(zip(peers, crowding_distances(np.array([points[i] for i in peers])), strict=True))
    place = sum(rank < ranks[last] for rank in ranks) + sum(lonely[i] >= lonely[last] for i in peers if i != last)
    front = [point for point, rank in zip(points, ranks, strict=True) if rank == 0]
    return place, min(max(x - y for x, y in zip(points[last], other, strict=True)) for other in front)


@settings(deadline=None, derandomize=True, max_examples=500)
@given(rungs_of_points())
def test_a_point_stands_where_it_does_by_the_definition(values):
    assert standing_of_last(values) == standing_by_hand(values)


@settings(deadline=None, derandomize=True, max_examples=300)
@given(rungs_of_points(), RULES, st.randoms(use_true_random=False))
def test_who_goes_on_is_who_does_by_the_definition(values, rule, random):
    """Reports come in any order, and each is compared with those whose epoch had ended before."""
    names = [f"validation/{name}" for name in ("ece", "nll", "brier")[: values.shape[1]]]
    rungs, come = Rungs(rule, dict.fromkeys(names, "min")), []
    for i in random.sample(range(len(values)), len(values)):
        come = sorted([*come, i])
        row = {"epoch": rule.grace_epochs, "time": float(i)} | dict(zip(names, values[i], strict=True))
        stop = rungs.decide(str(i), [row], rule.grace_epochs + 1)
        place, behind = standing_by_hand(np.array([values[j] for j in come if j <= i]))
        is_among_best = place < math.ceil((come.index(i) + 1) / rule.reduction_factor)
        assert (stop is None) == (is_among_best or behind <= rule.tolerance)


@settings(deadline=None, derandomize=True)
@given(rungs_of_points())
def test_a_point_on_the_front_is_not_behind_it(values):
    known = values[np.isfinite(values).all(axis=1)]
    is_on_front = not any(dominates(other, values[-1]) for other in known)
    assert (standing_of_last(values).behind <= 0) == (is_on_front and bool(np.isfinite(values[-1]).all()))


@settings(deadline=None, derandomize=True)
@given(rungs_of_points(), st.randoms(use_true_random=False))
def test_equal_points_are_as_lonely_in_any_order(values, random):
    points = values[np.isfinite(values).all(axis=1)]
    order = random.sample(range(len(points)), len(points))
    if len(points):
        np.testing.assert_array_equal(crowding_distances(points[order]), crowding_distances(points)[order])


def test_the_loneliest_of_a_rank_go_first():
    values = np.array([[0, 1], [0.1, 0.85], [0.5, 0.5], [1, 0], [0.15, 0.8], [0.15, 0.8]])
    assert standing_of_last(values).place == 4
    assert [standing_of_last(np.roll(values, -turn, axis=0)).place for turn in (1, 2, 3, 4, 5)] == [1, 5, 2, 1, 4]


def test_a_tie_in_one_objective_is_not_close_to_the_front():
    values = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.0]])
    assert [standing_of_last(values[: count + 1]).behind for count in range(4)] == [0.0, 1.0, 1.0, 0.5]


@pytest.mark.parametrize("diverged", [[0.1], [0.1, 0.1], [0.1, 0.0, 0.1, 0.1]])
def test_diverged_trials_make_nobody_close_to_the_front(diverged):
    """Accuracies to be maximised of trials of which some learnt nothing."""
    accuracies = [0.91, 0.905, 0.9, 0.895, 0.89]
    healthy, all_ = (-np.array([[each] for each in values]) for values in (accuracies, diverged + accuracies))
    assert spreads(healthy) == pytest.approx([0.02])
    assert spreads(all_)[0] < 0.1  # the range is 0.81 and more
    assert standing_of_last(healthy).behind > 0.9
    assert standing_of_last(all_).behind > 0.2  # 0.02 behind; of the range, that is less than 0.03


def test_a_diverged_trial_that_happens_to_be_calibrated_makes_nobody_close_to_the_front():
    """Accuracy and ECE; what predicts at chance is on the front by its ECE, and widens the front's range."""
    values = np.array([[-0.91, 0.05], [-0.905, 0.045], [-0.9, 0.06], [-0.1, 0.001], [-0.895, 0.055], [-0.89, 0.065]])
    assert standing_of_last(values).behind > 0.3


@pytest.mark.parametrize(
    ("grace", "factor", "epochs", "rungs"),
    [(1, 3, 10, [1, 3, 9]), (1, 3, 9, [1, 3]), (2, 2, 17, [2, 4, 8, 16]), (5, 3, 5, []), (2, 1.2, 5, [2, 3, 4])],
)
def test_rungs_lie_below_the_last_epoch(grace, factor, epochs, rungs):
    assert rung_epochs(ParetoAshaConfig(grace_epochs=grace, reduction_factor=factor), epochs) == rungs


RULE = ParetoAshaConfig(grace_epochs=1, reduction_factor=2)
NUM_EPOCHS = 6  # rungs at 1, 2 and 4


def journal(start, *figures):
    """The rows of a trial whose epochs end at start, start + 10, …, from its accuracies and ECEs."""
    return [
        {"epoch": i + 1, "time": start + 10.0 * i, "validation/accuracy": accuracy, "validation/ece": ece}
        for i, (accuracy, ece) in enumerate(figures)
    ]


def test_a_trial_behind_those_before_it_is_stopped_and_says_where():
    rungs = Rungs(RULE, OBJECTIVES)
    assert rungs.decide("a", journal(0, (0.5, 0.1)), NUM_EPOCHS) is None
    stop = rungs.decide("b", journal(1, (0.4, 0.2)), NUM_EPOCHS)
    assert stop is not None
    assert (stop.rung, stop.epoch) == (1, 1)
    assert "number 2 of 2" in stop.reason


def test_the_same_report_again_gets_the_same_answer_whatever_has_come_since():
    rungs = Rungs(RULE, OBJECTIVES)
    first = journal(0, (0.5, 0.1))
    assert rungs.decide("a", first, NUM_EPOCHS) is None
    stop = rungs.decide("b", journal(1, (0.4, 0.2)), NUM_EPOCHS)
    for number in range(5):
        assert rungs.decide(f"better-{number}", journal(2 + number, (0.6 + number / 10, 0.05)), NUM_EPOCHS) is None
    assert rungs.decide("a", first, NUM_EPOCHS) is None
    assert rungs.decide("b", journal(1, (0.4, 0.2)), NUM_EPOCHS) == stop


def test_a_trial_that_resumes_beyond_a_rung_is_decided_by_its_row_there():
    rungs = Rungs(RULE, OBJECTIVES)
    rungs.add("a", journal(0, (0.5, 0.1), (0.6, 0.1)), NUM_EPOCHS)
    late = rungs.decide("b", journal(5, (0.5, 0.1), (0.5, 0.2), (0.9, 0.0)), NUM_EPOCHS)
    assert late is not None
    assert late.rung == 2


def test_a_missing_figure_loses():
    rungs = Rungs(RULE, OBJECTIVES)
    rungs.add("a", journal(0, (0.1, 0.9)), NUM_EPOCHS)
    assert rungs.decide("b", [{"epoch": 1, "time": 1.0, "validation/accuracy": 1.0}], NUM_EPOCHS) is not None


def test_the_gap_counts_by_its_size():
    rungs = Rungs(RULE, {"validation/abs_gap": "min"})
    rungs.add("a", [{"epoch": 1, "time": 0.0, "validation/gap": -0.1}], NUM_EPOCHS)
    assert rungs.decide("b", [{"epoch": 1, "time": 1.0, "validation/gap": -0.5}], NUM_EPOCHS) is not None


def test_only_a_trial_let_go_on_awaits_nothing():
    rungs = Rungs(RULE, OBJECTIVES)
    assert rungs.awaits_decision("a", 1, NUM_EPOCHS)
    rungs.decide("a", journal(0, (0.5, 0.1)), NUM_EPOCHS)
    assert not rungs.awaits_decision("a", 1, NUM_EPOCHS)
    assert rungs.awaits_decision("a", 2, NUM_EPOCHS)
    assert not rungs.awaits_decision("b", 0, NUM_EPOCHS)


@settings(deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=5, max_size=5), min_size=1, max_size=6),
    st.data(),
)
def test_a_restart_changes_no_decision(curves, data):
    """Trials take turns at random; the driver dies after any report, and rebuilds the rungs from the journals."""
    journals = {str(i): [] for i in range(len(curves))}
    rungs, stops, clock = Rungs(RULE, OBJECTIVES), {}, 0
    while running := [key for key in journals if key not in stops and len(journals[key]) < NUM_EPOCHS - 1]:
        key, clock = data.draw(st.sampled_from(running)), clock + 1
        accuracy, ece = curves[int(key)][len(journals[key])]
        row = {"epoch": len(journals[key]) + 1, "time": float(clock)}
        journals[key].append(row | {"validation/accuracy": accuracy / 3, "validation/ece": ece / 3})
        if stop := rungs.decide(key, journals[key], NUM_EPOCHS):
            stops[key] = stop
        if data.draw(st.booleans()):
            rungs = Rungs(RULE, OBJECTIVES)
            for each in data.draw(st.permutations(list(journals))):
                rungs.add(each, journals[each], NUM_EPOCHS)
            assert {each: s for each in journals if (s := rungs.decide(each, journals[each], NUM_EPOCHS))} == stops
