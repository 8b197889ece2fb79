"""Which arms are worth naming, and which of them each word takes."""

import numpy as np
import pandas as pd
import pytest

from analysis.choices import WORDS, baseline_of, choices_of, knee_of, worth_naming
from analysis.objectives import OBJECTIVES
from analysis.pareto import Front
from analysis.statistics.evidence import Evidence


def front(figures, probability=0.9, methods=("classic", *["kd"] * 9), objectives=OBJECTIVES, **columns):
    """A judged front of arms a, b, c, … with these (accuracy, ECE) on validation, all of them plausible."""
    accuracy, ece = np.array(figures, dtype=float).T
    points = {
        "arm": list("abcdefgh"[: len(figures)]),
        "method": list(methods[: len(figures)]),
        "validation/accuracy": accuracy,
        "validation/ece": ece,
        "validation/ece_scaled": ece,
        "num_parameters": 1000 * accuracy,
        "front_probability": probability,
        "plausible": True,
    }
    return Front(pd.DataFrame(points | columns), dict(objectives), {}, 0.0)


def evidence(found, accuracy=0.001, ece=0.001):
    """Evidence on validation whose figures have these standard deviations, independently."""
    count, generator = len(found.points), np.random.default_rng(0)
    plain = {name: found.points[f"validation/{name}"].to_numpy() for name in ("accuracy", "ece")}
    noise = {
        name: generator.normal(scale=scale, size=(500, count)) for name, scale in (("accuracy", accuracy), ("ece", ece))
    }
    draws = {name: plain[name] + noise[name] for name in plain}
    arms = found.points["arm"].tolist()
    return Evidence("validation", 1000, 500, arms, dict.fromkeys(arms, 1), plain, draws, {})


def named(found, **spread):
    """The arms worth naming of a front, beside its baseline."""
    return worth_naming(found, evidence(found, **spread), baseline_of(found))


def test_the_first_is_the_best_by_the_first_objective_of_those_that_are_probably_on_the_front():
    figures = [(0.7, 0.05), (0.8, 0.05), (0.9, 0.05)]
    assert named(front(figures))[0] == "c"
    assert named(front(figures, probability=[0.9, 0.7, 0.4]))[0] == "b"
    assert named(front(figures, probability=[0.4, 0.3, 0.2]))[0] == "c"
    assert named(front(figures, plausible=[True, False, False]))[0] == "a"


def test_an_arm_that_costs_accuracy_and_is_not_visibly_better_calibrated_is_not_named():
    """The bad trade: 22 points less accurate, .003 less ECE, of which nothing is visible."""
    figures = [(0.50, 0.030), (0.76, 0.017), (0.54, 0.014)]
    assert named(front(figures), ece=0.003) == ["b"]
    assert named(front(figures), ece=0.0001) == ["b", "c"]


def test_an_arm_visibly_below_plain_training_is_not_named_however_well_calibrated_it_is():
    figures = [(0.60, 0.030), (0.76, 0.020), (0.54, 0.005)]
    assert named(front(figures)) == ["b"]
    assert named(front(figures), accuracy=0.05) == ["b", "c"]  # it may be level with plain training
    assert named(front(figures, methods=("mixup", "kd", "kd"))) == ["b", "c"]  # nobody knows what that would give


def test_the_baseline_itself_may_be_the_choice_for_calibration():
    assert named(front([(0.60, 0.005), (0.76, 0.020)])) == ["b", "a"]


def test_what_is_not_measured_on_images_is_known_and_has_no_baseline():
    sizes = {"num_parameters": "min", "validation/accuracy": "max"}
    figures = [(0.70, 0.02), (0.76, 0.02), (0.5, 0.02)]
    assert named(front(figures, objectives=sizes)) == ["c", "a", "b"]


def test_without_evidence_or_arms_nothing_is_named():
    found = front([(0.7, 0.05)])
    assert worth_naming(found, None, "a") == []
    assert choices_of(found, None, "a", "").by_word == {}
    assert choices_of(found, None, "a", "").recommended == ""


def test_the_baseline_is_the_first_plain_training_or_none():
    figures = [(0.7, 0.05), (0.8, 0.05), (0.9, 0.05)]
    assert baseline_of(front(figures, methods=("mixup", "classic", "classic"))) == "b"
    assert baseline_of(front(figures, methods=("mixup", "kd", "kd"))) == ""


@pytest.mark.parametrize(
    ("figures", "arm"),
    [
        ([(0.9, 0.10)], "a"),
        ([(0.8, 0.02), (0.9, 0.10)], "b"),  # two are equally far: the better by the first objective
        ([(0.8, 0.02), (0.89, 0.03), (0.9, 0.10)], "b"),
        ([(0.8, 0.02), (0.82, 0.09), (0.9, 0.10)], "c"),  # one inside the line
    ],
)
def test_the_knee_is_farthest_from_the_line_between_the_extremes(figures, arm):
    found = front(figures)
    assert knee_of(found, found.points["arm"].tolist()) == arm


def test_the_knee_does_not_depend_on_units_nor_on_arms_that_are_not_named():
    figures = [(0.9, 0.10), (0.88, 0.06), (0.87, 0.03), (0.8, 0.02), (0.1, 0.0001)]
    larger = [(accuracy, 1000 * ece) for accuracy, ece in figures]
    assert knee_of(front(figures), list("abcd")) == knee_of(front(larger), list("abcd")) == "c"


def test_each_word_takes_an_arm_that_is_named():
    found = front([(0.80, 0.020), (0.89, 0.03), (0.9, 0.10), (0.7, 0.001)])
    choices = choices_of(found, evidence(found), "a", "")
    assert set(choices.named) == {"a", "b", "c"}
    assert choices.by_word == dict(zip(WORDS, ("b", "c", "a"), strict=True))


def test_a_front_without_calibration_has_a_best_calibrated_arm_nevertheless():
    objectives = {"validation/accuracy": "max", "num_parameters": "min"}
    found = front([(0.8, 0.02), (0.89, 0.03), (0.9, 0.10)], objectives=objectives)
    assert choices_of(found, evidence(found), "a", "_scaled").by_word["best-calibrated"] == "a"
