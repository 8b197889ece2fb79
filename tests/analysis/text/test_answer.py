from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.choices import baseline_of, choices_of
from analysis.pareto import Front
from analysis.statistics.evidence import Evidence
from analysis.statistics.selection import Luck, Selection
from analysis.text.answer import answer_of
from kd_core.measure.predictions import RAW, SCALED

OBJECTIVES = {"validation/accuracy": "max", "validation/ece": "min"}
FIGURES = ([0.70, 0.80, 0.75], [0.04, 0.05, 0.01])


def front(figures=FIGURES, probability=(0.2, 0.9, 0.7), plausible=True, methods=("classic", "kd", "kd_mixup")):
    """Three judged arms: kd is the most accurate, kd_mixup the best calibrated."""
    points = {
        "arm": [f"{method} arm" for method in methods],
        "method": methods,
        "validation/accuracy": figures[0],
        "validation/ece": figures[1],
        "num_parameters": [1000, 2000, 3000],
        "front_probability": probability,
        "plausible": plausible,
    }
    return Front(pd.DataFrame(points), OBJECTIVES, {}, 0.0)


def evidence(found, shift=0.0, seeds=2):
    """Figures a little above those of validation, hardly uncertain."""
    noise = np.random.default_rng(0).normal(scale=1e-5, size=(500, 3))
    figures = {name: found.points[f"validation/{name}"].to_numpy() + shift for name in ("accuracy", "ece")}
    draws = {name: values + noise for name, values in figures.items()}
    arms = found.points["arm"].tolist()
    return Evidence("test", 10_000, 500, arms, dict.fromkeys(arms, seeds), figures, draws, {})


def told(found, reading=SCALED, test=None, validation=None):
    """The answer on a front, with plain spaces."""
    validation, baseline = validation or evidence(found), baseline_of(found)
    choices = choices_of(found, validation, baseline, "")
    test = test or evidence(found, shift=0.01)
    sentences = answer_of("demo", reading, choices, validation, test, baseline)
    return [each.replace("\N{NO-BREAK SPACE}", " ") for each in sentences]


def test_luck_is_taken_off_the_chosen_arm_and_off_nothing_else():
    found, luck = front(), {"accuracy": Luck(0.02, 0.02, 0.02), "ece": Luck(-0.01, -0.01, -0.01)}
    selection = Selection("kd arm", "classic arm", luck, luck)
    choices = choices_of(found, evidence(found), "classic arm", "")
    test = selection.corrected(evidence(found, shift=0.01))
    first, second, *others = answer_of("demo", SCALED, choices, evidence(found), test, "classic arm")
    first = first.replace("\N{NO-BREAK SPACE}", " ")
    assert "accuracy 79.0 % (79.0 to 79.0) and ECE 0.070 (0.070 to 0.070)" in first
    assert "8.0 points (8.0 to 8.0) more accurate and ECE 0.020 (0.020 to 0.020) higher than classic arm" in first
    assert "3.0 points (3.0 to 3.0) less accurate" in second
    assert "What being chosen adds to figures, by lucky seeds, is taken off." in others


def test_the_answer_names_an_arm_the_price_of_another_one_and_how_to_ship_the_knee():
    first, second, *others = told(front())
    assert first == (
        "As shipped, for accuracy take kd arm: accuracy 81.0 % (81.0 to 81.0) and ECE 0.060 (0.060 to 0.060); "
        "10.0 points (10.0 to 10.0) more accurate and ECE 0.010 (0.010 to 0.010) higher than classic arm, "
        "on 10,000 test images. It is on the front in 90 % of validation resamples."
    )
    assert second == (
        "For ECE, kd_mixup arm is worth naming: accuracy 76.0 % (76.0 to 76.0) and ECE 0.020 (0.020 to 0.020); "
        "5.0 points (5.0 to 5.0) less accurate and ECE 0.040 (0.040 to 0.040) lower than kd arm."
    )
    assert others == [
        "3 of 3 arms cannot be ruled out as optimal.",
        "kd arm is also the knee of the front, which is shipped by: kdsweep promote demo knee --as champion",
    ]


def test_only_what_is_shipped_has_a_command():
    trained = told(front(), reading=RAW)
    assert trained[0].startswith("As trained, for accuracy take kd arm: ")
    assert not any("promote" in sentence for sentence in trained)


def test_a_knee_between_the_two_has_its_own_figures():
    found = front(([0.70, 0.80, 0.79], [0.01, 0.05, 0.015]), probability=0.9)
    answer = told(found)
    assert answer[1].startswith("For ECE, classic arm, the baseline is worth naming: ")
    assert answer[-1].startswith("The knee of the front is kd_mixup arm: accuracy 80.0 % (80.0 to 80.0) and ECE 0.025")


def test_a_bad_trade_is_not_named():
    level = front(([0.50, 0.76, 0.54], [0.03, 0.014, 0.0139]))
    unsure = evidence(level)
    noise = np.random.default_rng(1).normal(scale=0.003, size=(500, 3))
    unsure = replace(unsure, draws=unsure.draws | {"ece": unsure.draws["ece"] + noise})
    assert told(level, validation=unsure)[1] == "No other arm that may be optimal is visibly better in ECE."
    below = told(front(([0.60, 0.76, 0.54], [0.03, 0.014, 0.001])))
    assert below[1] == "What is visibly better in ECE (kd_mixup arm) is visibly worse in accuracy than classic arm."


def test_a_difference_that_may_be_none_is_called_invisible():
    found = front()
    sure = evidence(found)
    draws = sure.draws["ece"] + np.random.default_rng(1).normal(scale=0.02, size=(500, 3))
    (first, *_) = told(found, test=replace(sure, draws=sure.draws | {"ece": draws}))
    assert "more accurate and ECE not visibly higher (−0.0" in first


def test_where_the_baseline_wins_the_answer_says_so():
    first, second, *_ = told(front(plausible=[True, False, False]))
    assert first.startswith("As shipped, for accuracy take classic arm, the baseline: accuracy 71.0 % (")
    assert "than" not in first
    assert second == "No other arm that may be optimal is visibly better in ECE."


def test_without_plain_training_nothing_is_compared_with_it():
    answer = told(front(methods=("mixup", "kd", "kd_mixup")))
    assert "than" not in answer[0]
    assert "No classic arm was trained, so nothing is compared with plain training." in answer


def test_with_one_seed_the_answer_speaks_of_these_networks():
    sentence = "With one seed an arm, this speaks of these networks: another seed may turn it."
    assert sentence in told(front(), test=evidence(front(), seeds=1))
    assert sentence not in told(front(), test=evidence(front(), seeds=2))


def test_a_size_has_a_value_and_no_interval():
    found = replace(front(), objectives={"validation/accuracy": "max", "num_parameters": "min"})
    assert told(found)[0].startswith(
        "As shipped, for accuracy take kd arm: accuracy 81.0 % (81.0 to 81.0) and parameters 2,000; "
    )
    assert "more accurate and parameters 1,000 higher than classic arm" in told(found)[0]


def test_without_evidence_there_is_no_answer():
    empty = Front(front().points.iloc[:0], OBJECTIVES, {}, 0.0)
    choices = choices_of(empty, None, "", "")
    assert answer_of("demo", SCALED, choices, None, None, "") == [
        "No trial has finished yet, so there is no front to show."
    ]
