import numpy as np
import pandas as pd
import pytest

from analysis.pareto import Front
from analysis.statistics.advice import Decision, decisions
from analysis.statistics.evidence import Evidence

OBJECTIVES = {"validation/accuracy": "max", "validation/ece": "min"}


def evidence(difference, deviation, seed_deviation=np.nan, num_seeds=1):
    """Two arms whose accuracies differ with this standard deviation of images, and of seeds."""
    of_seeds = np.nan_to_num(seed_deviation) ** 2 * 2 / num_seeds
    noise = np.random.default_rng(0).standard_normal(4000) * np.sqrt(deviation**2 + of_seeds)
    accuracy = np.stack([0.8 + np.zeros(4000), 0.8 + difference + noise], axis=1)
    draws = {"accuracy": accuracy, "ece": np.stack([np.full(4000, 0.02), np.full(4000, 0.01)], axis=1)}
    plain = {"accuracy": np.array([0.8, 0.8 + difference]), "ece": np.array([0.02, 0.01])}
    seeds = {"accuracy": seed_deviation, "ece": seed_deviation}
    return Evidence("validation", 1000, 4000, ["a", "b"], {"a": num_seeds, "b": num_seeds}, plain, draws, seeds)


def front(probability=0.3):
    points = {"arm": ["a", "b"], "plausible": True, "front_probability": [probability, 1.0], "rival": ["b", ""]}
    return Front(pd.DataFrame(points), OBJECTIVES, {}, 0.0)


def test_as_many_more_images_as_make_the_difference_two_deviations():
    (decision,) = decisions(front(), evidence(difference=0.01, deviation=0.01))
    assert (decision.arm, decision.rival) == ("a", "b")
    assert decision.more_images == pytest.approx(1.96**2, rel=0.05)
    assert decision.more_seeds == np.inf
    assert decision.sentence(1000, 1) == (
        "Whether b beats a on every objective is open with 1,000 validation images and 1 seed; "
        "about 3,900 images would show it, if they differ by as much as they seem to."
    )


def test_seeds_where_seeds_make_the_difference_uncertain():
    (decision,) = decisions(front(), evidence(difference=0.01, deviation=0.001, seed_deviation=0.01, num_seeds=2))
    assert decision.more_images == np.inf
    assert decision.more_seeds == pytest.approx(1.96**2, rel=0.1)
    assert "about 8 seeds would show it" in decision.sentence(1000, 2)


def test_both_where_neither_alone_is_enough():
    (decision,) = decisions(front(), evidence(difference=0.01, deviation=0.01, seed_deviation=0.01, num_seeds=2))
    assert decision.more_images == decision.more_seeds == np.inf
    assert decision.more_of_both == pytest.approx(2 * 1.96**2, rel=0.05)
    assert "images and" in decision.sentence(1000, 2).split(";")[1]


def test_arms_that_differ_by_nothing_are_never_told_apart():
    (decision,) = decisions(front(), evidence(difference=1e-7, deviation=0.01))
    assert "differ by too little" in decision.sentence(1000, 1)


@pytest.mark.parametrize("probability", [0.01, 0.99])
def test_nothing_is_open_where_the_probability_is_near_zero_or_one(probability):
    assert decisions(front(probability), evidence(difference=0.01, deviation=0.01)) == []


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        ((999.0, np.inf, np.inf), "about 1,000,000 images would show it"),
        ((1000.0, np.inf, np.inf), "stays so with any reasonable number"),
        ((np.inf, 99.0, np.inf), "about 99 seeds would show it"),
        ((np.inf, 100.0, np.inf), "stays so with any reasonable number"),
        ((np.inf, np.inf, 12.34), "about 13,000 images and 13 seeds would show it"),
        ((np.inf, np.inf, 1000.0), "stays so with any reasonable number"),
        ((0.0042, 2.0, np.inf), "about 5 images or about 2 seeds would show it"),
    ],
)
def test_beyond_a_million_images_or_a_hundred_seeds_nobody_goes(needed, told):
    assert told in Decision("a", "b", *needed).sentence(num_images=1000, num_seeds=1)
