import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.pareto import dominates, front_of
from analysis.statistics.evidence import Evidence
from analysis.statistics.judgement import domination, front_probability, judged, likeliest, selected_on_test

mathematics = settings(deadline=None, derandomize=True)
draw_sets = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-2, 2).map(float))
)


def evidence(accuracy, ece):
    """Evidence on validation whose draws [R, A] are given."""
    draws = {"accuracy": np.array(accuracy, dtype=float), "ece": np.array(ece, dtype=float)}
    arms = [f"arm {number}" for number in range(draws["ece"].shape[1])]
    plain = {name: values.mean(axis=0) for name, values in draws.items()}
    return Evidence("validation", 100, len(accuracy), arms, dict.fromkeys(arms, 1), plain, draws, {})


def front(validation, objectives=None, **changes):
    """The front of arms with the figures of the evidence."""
    figures = {
        f"{split}/{name}": values for split in ("validation", "test") for name, values in validation.plain.items()
    }
    texts = dict.fromkeys(("method", "teacher", "temperature", "student"), "")
    runs = pd.DataFrame(
        {"arm": validation.arms, "trial": validation.arms, "label": validation.arms} | figures | changes
    )
    return front_of(runs.assign(status="finished", alpha=0.0, seed=0, error="", **texts), objectives)


@mathematics
@given(draw_sets)
def test_probabilities_agree_with_the_definition(draws):
    expected = [[not any(dominates(other, value) for other in values) for value in values] for values in draws]
    assert front_probability(draws).tolist() == np.mean(expected, axis=0).tolist()
    pairs = [[[dominates(one, other) for other in values] for one in values] for values in draws]
    assert domination(draws).tolist() == np.mean(pairs, axis=0).tolist()


def test_an_arm_that_loses_every_time_is_ruled_out_and_its_rival_named():
    validation = evidence([[0.9, 0.8, 0.7]] * 10, [[0.02, 0.01, 0.03]] * 10)
    points = judged(front(validation), validation).points
    assert points["front_probability"].tolist() == [1, 1, 0]
    assert points["plausible"].tolist() == [True, True, False]
    assert points["rival"].tolist() == ["", "", "arm 0"]
    assert points["rival_share"].tolist() == [0, 0, 1]


def test_an_arm_stays_plausible_until_one_rival_dominates_it_in_95_of_100_resamples():
    for times, plausible in ((94, True), (95, False)):
        accuracy = [[0.9, 0.8]] * times + [[0.7, 0.8]] * (100 - times)
        validation = evidence(accuracy, [[0.02, 0.02]] * 100)
        points = judged(front(validation), validation).points
        assert points["plausible"].tolist() == [True, plausible]
        assert points["front_probability"].tolist() == pytest.approx([times / 100, 1 - times / 100])


def test_an_arm_without_an_objective_has_no_probability():
    validation = evidence([[0.9, 0.8]] * 5, [[0.02, 0.01]] * 5)
    points = judged(front(validation, **{"validation/ece": [np.nan, 0.01]}), validation).points
    assert points["front_probability"].tolist() == [0, 1]
    assert points["plausible"].tolist() == [False, True]


def test_a_size_is_an_objective_without_draws():
    validation = evidence([[0.9, 0.8]] * 5, [[0.02, 0.01]] * 5)
    objectives = {"validation/accuracy": "max", "num_parameters": "min"}
    found = judged(front(validation, objectives, num_parameters=[100, 200]), validation)
    assert found.points["front_probability"].tolist() == [1, 0]


def test_without_evidence_nothing_is_plausible():
    validation = evidence([[0.9]], [[0.02]])
    assert judged(front(validation), None).points["plausible"].tolist() == [False]


def test_optimistic_and_pessimistic_fronts_are_those_of_the_definition():
    validation = evidence([[0.9, 0.8, 0.7]] * 5, [[0.03, 0.02, 0.01]] * 5)
    found = judged(front(validation, **{"test/accuracy": [0.8, 0.9, 0.7], "test/ece": [0.03, 0.02, 0.01]}), validation)
    chosen = selected_on_test(found)
    assert chosen["arm"].tolist() == ["arm 0", "arm 1", "arm 2"]
    assert chosen["optimistic"].tolist() == [False, True, True]  # arm 1 dominates arm 0 on test
    assert chosen["pessimistic"].tolist() == [True, False, True]


def test_the_likeliest_arms_are_plausible_ones_first_in_their_order():
    points = pd.DataFrame({"plausible": [True, False, True, True], "front_probability": [0.2, 0.9, 0.5, 0.1]})
    assert likeliest(points, 2).index.tolist() == [0, 2]
    assert likeliest(points, 9).equals(points)
