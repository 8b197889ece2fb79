import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.pareto import dominates, front_of
from analysis.statistics.evidence import Evidence
from analysis.statistics.judgement import (
    domination,
    front_probability,
    judged,
    leads_of,
    likeliest,
    p_values,
    selected_on_test,
)

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


def noisy(generator, means, deviation=1.0, num_resamples=400):
    """Draws [R, A, D] about means [A, D] with independent noise."""
    return np.array(means) + deviation * generator.normal(size=(num_resamples, *np.shape(means)))


def plausible(draws):
    leads, noise = leads_of(draws)
    return p_values(leads.max(axis=1), noise) > 0.05


def test_a_lead_is_the_least_over_objectives_in_standard_deviations():
    generator = np.random.default_rng(0)
    leads, _ = leads_of(noisy(generator, [[0.0, 0.0], [3.0, 9.0], [1.0, -4.0]], num_resamples=20_000))
    assert leads[1] == pytest.approx([3 / np.sqrt(2), -np.inf, 2 / np.sqrt(2)], abs=0.05)
    assert leads[2, 0] == pytest.approx(-4 / np.sqrt(2), abs=0.05)


def test_what_is_known_is_no_matter_of_noise():
    draws = np.tile([[1.0, 2.0], [1.0, 3.0], [0.5, 9.0]], (100, 1, 1))
    leads, noise = leads_of(draws)
    assert leads.tolist() == [[-np.inf] * 3, [np.inf, -np.inf, -np.inf], [-np.inf] * 3]
    assert p_values(leads.max(axis=1), noise).tolist() == [1, 0, 1]


@pytest.mark.parametrize("num_arms", [2, 12])
def test_all_of_the_arms_that_are_level_are_plausible_in_95_of_100_sweeps(num_arms):
    generator, kept = np.random.default_rng(1), []
    for _ in range(150):
        sample = generator.normal(size=(num_arms, 1)) * [1, 1]  # two objectives that go together
        noise = generator.normal(size=(400, num_arms, 1)) * [1, 1]
        kept.append(plausible(sample + noise).all())
    assert 0.9 <= np.mean(kept) <= 0.99


def test_an_arm_that_is_dominated_by_far_leaves_and_lets_others_be_judged_among_those_left():
    generator = np.random.default_rng(2)
    means = [[0.0, 0.0], [5.0, 5.0], [-3.0, 9.0], *[[20.0, 20.0]] * 30]
    assert plausible(noisy(generator, means)).tolist() == [True, False, True, *[False] * 30]


def test_the_p_value_of_an_arm_is_no_smaller_than_that_of_one_that_left_before():
    noise = np.array([[3.0, 0.0, 1.0], [1.0, 0.0, 2.5], [0.0, 0.0, 0.5], [1.0, 2.0, 0.0]])
    assert p_values(np.array([2.6, 1.5, -np.inf]), noise).tolist() == [0.25, 0.5, 1.0]
    assert p_values(np.array([2.2, 2.3, -np.inf]), noise).tolist() == [0.5, 0.5, 1.0]


def test_an_arm_that_its_rival_dominates_now_and_then_is_plausible_and_its_rival_named():
    generator = np.random.default_rng(3)
    draws = noisy(generator, [[-0.8, 0.1], [-0.799, 0.101]], deviation=0.01)
    validation = evidence(-draws[:, :, 0], draws[:, :, 1])
    points = judged(front(validation), validation).points
    assert points["plausible"].tolist() == [True, True]
    assert points["rival_share"].tolist() == [domination(draws)[1, 0], domination(draws)[0, 1]]
    assert points["rival"].tolist() == ["arm 1", "arm 0"]


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
