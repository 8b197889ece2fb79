from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.pareto import Front
from analysis.statistics.advice import Decision, decisions
from analysis.statistics.evidence import Evidence

OBJECTIVES = {"validation/accuracy": "max", "validation/ece": "min"}


def evidence(difference, deviation, seed_deviation=np.nan, num_seeds=1, num_arms=2):
    """Two arms whose accuracies differ with this standard deviation of images, and of seeds; others are as many."""
    freedom = num_arms * (num_seeds - 1)
    widening = stats.t.isf(0.025, freedom) / 1.96 if freedom else 0.0
    of_seeds = (widening * np.nan_to_num(seed_deviation)) ** 2 * 2 / num_seeds
    luck = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    noise = luck * np.sqrt(deviation**2 + of_seeds)
    names = ["a", "b", *map(str, range(num_arms - 2))]
    accuracy = np.full((4000, num_arms), 0.8)
    accuracy[:, 1] += difference + noise
    ece = np.tile([0.02, 0.01, *[0.03] * (num_arms - 2)], (4000, 1))
    plain = {"accuracy": np.array([0.8, 0.8 + difference, *accuracy[0, 2:]]), "ece": ece[0]}
    seeds = {"accuracy": seed_deviation, "ece": 0.0}
    draws = {"accuracy": accuracy, "ece": ece}
    of_images = {"accuracy": np.zeros((4000, num_arms)), "ece": ece}
    of_images["accuracy"][:, 1] = luck * deviation
    counts = dict.fromkeys(names, num_seeds)
    return Evidence("validation", 1000, 4000, names, counts, plain, draws, seeds, image_draws=of_images)


def front(probability=0.3):
    points = {"arm": ["a", "b"], "plausible": True, "front_probability": [probability, 1.0], "rival": ["b", ""]}
    return Front(pd.DataFrame(points), OBJECTIVES, {}, 0.0)


def power(difference, deviation, end):
    return stats.norm.cdf((difference - end * deviation) / deviation)


def test_as_many_more_images_as_show_the_difference_four_times_of_five():
    (decision,) = decisions(front(), evidence(difference=0.01, deviation=0.01))
    assert (decision.arm, decision.rival) == ("a", "b")
    assert decision.more_images == pytest.approx((1.96 + 0.8416) ** 2, rel=0.01)
    assert power(0.01, 0.01 / np.sqrt(decision.more_images), 1.96) == pytest.approx(0.8, abs=0.01)
    assert decision.more_seeds == decision.more_of_both == np.inf  # nothing is known of seeds
    assert decision.sentence(1000, 1) == (
        "Whether b beats a on every objective is open with 1,000 validation images and 1 seed; "
        "about 7,900 images would show it in 80 % of repetitions, if they differ by as much as they seem to."
    )


def test_the_widened_noise_of_seeds_is_no_noise_of_images():
    known = evidence(difference=0.02, deviation=0.01, seed_deviation=0.005, num_seeds=2)  # 2 degrees of freedom: × 2.2
    many = evidence(difference=0.02, deviation=0.01, seed_deviation=0.005, num_seeds=2, num_arms=40)
    (few_arms,), (many_arms,) = decisions(front(), known), decisions(front(), many)
    least, most = (power(0.02, np.sqrt(0.01**2 / many_arms.more_images + each**2), 1.97) for each in (0.0062, 0.0045))
    assert least < 0.8 < most  # between these, 40 degrees of freedom leave the deviation of seeds uncertain
    assert few_arms.more_images > many_arms.more_images  # the interval is as wide as it is


def test_seeds_where_seeds_make_the_difference_uncertain():
    found = evidence(difference=0.01, deviation=0.001, seed_deviation=0.006, num_seeds=2, num_arms=40)
    (decision,) = decisions(front(), found)
    assert decision.more_images == np.inf
    variance = 0.001**2 + 0.006**2 / decision.more_seeds
    assert power(0.01, np.sqrt(variance), 1.97) == pytest.approx(0.8, abs=0.05)
    assert "about 7 seeds would show it in 80 % of repetitions" in decision.sentence(1000, 2)


def test_both_where_neither_alone_is_enough():
    found = evidence(difference=0.01, deviation=0.007, seed_deviation=0.007, num_seeds=2, num_arms=40)
    (decision,) = decisions(front(), found)
    assert decision.more_images == decision.more_seeds == np.inf
    assert decision.more_of_both == pytest.approx(2 * 0.007**2 / (0.01 / 2.81) ** 2, rel=0.06)
    assert "images and" in decision.sentence(1000, 2).split(";")[1]


def test_all_objectives_are_seen_together_where_the_rival_is_better_in_all():
    found = evidence(difference=0.012, deviation=0.01)
    (one,) = decisions(front(), found)
    noisy = found.plain["ece"] + [0.002, 0] + (found.draws["accuracy"] - found.plain["accuracy"]) * [0, 1]
    plain = found.plain | {"ece": np.array([0.022, 0.01])}
    of_images = found.image_draws | {"ece": found.image_draws["accuracy"]}
    both = replace(found, draws=found.draws | {"ece": noisy}, plain=plain, image_draws=of_images)
    (two,) = decisions(front(), both)
    assert power(0.012, 0.01 / np.sqrt(two.more_images), 1.96) ** 2 == pytest.approx(0.8, abs=0.01)
    assert two.more_images > one.more_images


def test_an_arm_that_is_better_in_one_objective_takes_only_that_to_show():
    (decision,) = decisions(front(), evidence(difference=-0.01, deviation=0.01))
    assert decision.more_images == pytest.approx((1.96 + 0.8416) ** 2, rel=0.01)


def test_arms_that_differ_by_nothing_are_practically_level():
    (decision,) = decisions(front(), evidence(difference=1e-7, deviation=0.01))
    assert decision.sentence(1000, 1).endswith(
        "with 1,000 validation images and 1 seed: they are practically level, and ten times the images would hardly "
        "show it."
    )


def test_beyond_ten_times_the_images_or_twenty_seeds_arms_are_practically_level():
    for difference, is_level in ((0.0090, False), (0.0088, True)):  # (1.96 + .8416)² / 10 = .886²
        (decision,) = decisions(front(), evidence(difference=difference, deviation=0.01))
        assert ("practically level" in decision.sentence(1000, 1)) == is_level
    for deviation, is_level in ((0.0110, False), (0.0116, True)):  # 20 seeds: .01 / 2.80 · √10
        found = evidence(difference=0.01, deviation=1e-6, seed_deviation=deviation, num_seeds=2, num_arms=40)
        sentence = decisions(front(), found)[0].sentence(1000, 2)
        assert ("they are practically level, and ten times the images and twenty seeds" in sentence) == is_level


@pytest.mark.parametrize("probability", [0.01, 0.99])
def test_nothing_is_open_where_the_probability_is_near_zero_or_one(probability):
    assert decisions(front(probability), evidence(difference=0.01, deviation=0.01)) == []


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        ((9.99, np.inf, np.inf), "; about 10,000 images would show it"),
        ((np.inf, 9.4, np.inf), "; about 19 seeds would show it"),
        ((np.inf, np.inf, 2.34), "; about 2,400 images and 5 seeds would show it"),
        ((4.2, 2.0, 1.5), "; about 4,200 images or about 4 seeds would show it"),
    ],
)
def test_numbers_are_told_in_two_digits(needed, told):
    assert told in Decision("a", "b", *needed).sentence(num_images=1000, num_seeds=2)
