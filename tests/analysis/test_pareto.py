import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.objectives import OBJECTIVE_FIGURES, SIZES
from analysis.pareto import counted, dominates, front_of, nondominated, staircase
from analysis.runs import runs_of
from analysis.snapshot import read_sweep

mathematics = settings(deadline=None, derandomize=True)
point_sets = st.integers(1, 3).flatmap(
    lambda num_objectives: arrays(
        np.float64, st.tuples(st.integers(0, 12), st.just(num_objectives)), elements=st.integers(-3, 3).map(float)
    )
)
planes = arrays(np.float64, st.tuples(st.integers(1, 10), st.just(2)), elements=st.integers(0, 5).map(float))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([0, 0], [1, 1], True),
        ([0, 1], [1, 1], True),
        ([1, 1], [1, 1], False),
        ([0, 1], [1, 0], False),
        ([1, 1], [0, 0], False),
        ([0, -np.inf], [0, 0], True),
    ],
)
def test_dominance_is_nowhere_worse_and_somewhere_better(first, second, expected):
    assert dominates(np.array(first), np.array(second)) is expected


@mathematics
@given(point_sets)
def test_nondominated_agrees_with_the_definition(values):
    expected = [not any(dominates(other, value) for other in values) for value in values]
    assert nondominated(values).tolist() == expected


@mathematics
@given(point_sets, st.randoms(use_true_random=False))
def test_nondominated_follows_its_points_through_any_order(values, random):
    order = random.sample(range(len(values)), len(values))
    assert nondominated(values[order]).tolist() == nondominated(values)[order].tolist()


@mathematics
@given(point_sets)
def test_no_front_of_some_points_is_empty_and_equal_points_share_their_verdict(values):
    on_front = nondominated(values)
    assert on_front.any() or len(values) == 0
    for first, second in itertools.combinations(range(len(values)), 2):
        assert (values[first] != values[second]).any() or on_front[first] == on_front[second]


@mathematics
@given(planes, st.tuples(st.sampled_from(["max", "min"]), st.sampled_from(["max", "min"])))
def test_a_staircase_passes_through_every_nondominated_point_and_turns_at_right_angles(values, directions):
    corners = staircase(values, directions)
    signs = [-1 if direction == "max" else 1 for direction in directions]
    assert (np.diff(corners[:, 0]) >= 0).all()
    assert (np.diff(corners, axis=0) == 0).any(axis=1).all()
    assert {tuple(point) for point in values[nondominated(values * signs)]} <= {tuple(corner) for corner in corners}
    assert not any(dominates(value * signs, corner * signs - 1e-9) for value in values for corner in corners)


def runs(*rows):
    """A table of runs from (arm, status, validation accuracy, validation ECE, test ECE)."""
    columns = ["arm", "status", "validation/accuracy", "validation/ece", "test/ece"]
    table = pd.DataFrame(rows, columns=columns)
    keys = [f"key-{number}" for number in range(len(rows))]
    blank = {"method": "kd", "teacher": "t", "temperature": "2", "alpha": 0.0, "student": "s"}
    return table.assign(
        trial=keys, label=keys, seed=0, **blank, **{"validation/ece_scaled": table["validation/ece"] / 2}
    )


def members(front):
    return front.members["arm"].tolist()


def test_the_front_is_selected_on_validation_whatever_test_says():
    front = front_of(
        runs(("a", "finished", 0.9, 0.10, 0.01), ("b", "finished", 0.8, 0.05, 0.9), ("c", "finished", 0.7, 0.06, 0.0))
    )
    assert members(front) == ["a", "b"]
    assert front.hypervolume == pytest.approx(0.9 * 0.90 + 0.8 * 0.05)
    assert front.reference == {"validation/accuracy": 0.0, "validation/ece": 1.0}


def test_an_arm_stands_at_the_mean_of_its_finished_replicates():
    front = front_of(
        runs(
            ("a", "finished", 0.8, 0.1, 0.1), ("a", "finished", 0.9, 0.2, 0.3), ("a", "failed", np.nan, np.nan, np.nan)
        )
    )
    (arm,) = front.points.to_dict("records")
    assert (arm["num_seeds"], arm["trials"], arm["trial"]) == (2, ["key-0", "key-1"], "key-1")
    assert arm["validation/accuracy"] == pytest.approx(0.85)
    assert arm["test/ece"] == pytest.approx(0.2)


@pytest.mark.parametrize("status", ["pending", "running", "stopped", "failed"])
def test_an_unfinished_trial_is_on_no_front(status):
    table = runs(("a", "finished", 0.5, 0.2, 0.2), ("b", status, 0.9, 0.0, 0.0))
    assert members(front_of(table)) == ["a"]
    empty = front_of(table[table["status"] == status])
    assert (len(empty.points), members(empty), empty.hypervolume) == (0, [], 0.0)


def test_attainment_is_the_volume_that_every_seed_half_of_them_or_any_reaches():
    table = runs(("a", "finished", 0.9, 0.1, 0), ("a", "finished", 0.5, 0.1, 0), ("b", "finished", 0.7, 0.5, 0))
    front = front_of(table.assign(seed=[0, 1, 1]))
    assert front.attainment["any"] == pytest.approx(0.9 * 0.9)
    assert front.attainment["every"] == pytest.approx(0.5 * 0.9 + 0.2 * 0.5)
    assert front.attainment["half"] == front.attainment["any"]  # one seed of two
    thrice = front_of(table.assign(seed=[0, 1, 2])).attainment
    assert thrice["every"] < thrice["half"] < thrice["any"]
    assert front_of(table).attainment == {}


def test_an_arm_that_lacks_an_objective_is_a_point_but_not_on_the_front():
    front = front_of(runs(("a", "finished", 0.9, np.nan, 0.1), ("b", "finished", 0.1, 0.9, 0.9)))
    assert (members(front), len(front.points)) == (["b"], 2)


@pytest.mark.parametrize("name", OBJECTIVE_FIGURES[2:])
def test_every_objective_has_a_bound_or_a_worst_value(store, name):
    runs = runs_of(read_sweep(store, "demo")).fillna(dict.fromkeys(SIZES, 1.0))
    front = front_of(runs, {"validation/accuracy": "max", name: "min"})
    assert np.isfinite(front.hypervolume)
    assert front.reference[name] >= front.points[name].max()


def test_the_figures_of_an_arm_are_those_of_seeds_on_which_nothing_was_decided():
    table = runs(
        ("a", "finished", 0.9, 0.1, 0.1),
        ("a", "finished", 0.7, 0.3, 0.1),
        ("a", "finished", 0.5, 0.5, 0.1),
        ("b", "finished", 0.8, 0.2, 0.1),
        ("b", "failed", np.nan, np.nan, np.nan),
    ).assign(role=["scout", "follower", "follower", "scout", "follower"])
    points = front_of(table).points.set_index("arm")
    assert points["validation/accuracy"].to_dict() == {"a": pytest.approx(0.6), "b": 0.8}
    assert points["num_seeds"].to_dict() == {"a": 2, "b": 1}
    assert len(front_of(table.assign(role="")).points.loc[0, "trials"]) == 3


def test_on_test_an_arm_that_is_confirmed_is_judged_by_its_fresh_seeds_alone():
    table = runs(
        ("a", "finished", 0.9, 0.1, 0.1),
        ("b", "finished", 0.8, 0.2, 0.2),
        ("a", "finished", 0.5, 0.5, 0.3),
        ("a", "finished", 0.3, 0.6, 0.5),
        ("c", "finished", 1.0, 0.0, 0.0),
    ).assign(role=["scout", "scout", "confirmation", "confirmation", "confirmation"])
    front = front_of(table)
    points = front.points.set_index("arm")
    assert list(points.index) == ["a", "b"]  # nothing selects among what was only confirmed
    assert members(front) == ["a"]
    assert points["validation/accuracy"].to_dict() == {"a": 0.9, "b": 0.8}
    assert points["test/ece"].to_dict() == {"a": pytest.approx(0.4), "b": 0.2}
    assert points["num_seeds"].to_dict() == {"a": 2, "b": 1}
    assert points.loc["a", "trials"] == ["key-2", "key-3"]
    assert points.loc["a", "trial"] == "key-0"
    assert counted(table, "test")["trial"].tolist() == ["key-2", "key-3", "key-1"]
