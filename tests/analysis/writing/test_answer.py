from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.pareto import Front
from analysis.statistics.evidence import Evidence
from analysis.writing.answer import answer_of, baseline_of, recommended_of

OBJECTIVES = {"validation/accuracy": "max", "validation/ece": "min"}


def front(probability=(0.2, 0.9, 0.7), plausible=(True, True, True), methods=("classic", "kd", "kd_mixup")):
    """Three judged arms: kd is the most accurate, kd_mixup the best calibrated."""
    points = {
        "arm": [f"{method} arm" for method in methods],
        "method": methods,
        "validation/accuracy": [0.70, 0.80, 0.75],
        "validation/ece": [0.04, 0.05, 0.01],
        "front_probability": probability,
        "plausible": plausible,
    }
    return Front(pd.DataFrame(points), OBJECTIVES, {}, 0.0)


def evidence(found):
    """Test figures a little above those of validation, hardly uncertain."""
    noise = np.random.default_rng(0).normal(scale=1e-5, size=(500, 3))
    figures = {name: found.points[f"validation/{name}"].to_numpy() + 0.01 for name in ("accuracy", "ece")}
    draws = {name: values + noise for name, values in figures.items()}
    arms = found.points["arm"].tolist()
    return Evidence("test", 10_000, 500, arms, dict.fromkeys(arms, 1), figures, draws, {})


def test_the_answer_names_the_best_arm_for_each_objective_beside_the_baseline():
    found = front()
    first, second = answer_of(found, evidence(found), baseline_of(found), recommended_of(found))
    assert first == (
        "For accuracy, take kd arm: 10.0 points (10.0 to 10.0) more accurate and ECE 0.010 (0.010 to 0.010) higher "
        "than classic arm on 10,000 test images, on the front in 90\N{NO-BREAK SPACE}% of validation resamples."
    )
    assert second.startswith("For ECE, take kd_mixup arm: 5.0 points")
    assert "ECE 0.030 (0.030 to 0.030) lower than classic arm" in second
    assert second.endswith("3 of 3 arms cannot be ruled out as optimal.")


def test_a_difference_that_may_be_none_is_called_invisible():
    found = front()
    sure = evidence(found)
    draws = sure.draws["ece"] + np.random.default_rng(1).normal(scale=0.02, size=(500, 3))
    unsure = replace(sure, draws=sure.draws | {"ece": draws})
    first, _ = answer_of(found, unsure, baseline_of(found), recommended_of(found))
    assert "more accurate and ECE not visibly higher (−0.0" in first


def test_an_arm_that_is_hardly_on_the_front_is_not_recommended_unless_all_are():
    assert recommended_of(front((0.9, 0.4, 0.7))) == "kd_mixup arm"
    assert recommended_of(front((0.3, 0.4, 0.2))) == "kd arm"
    assert recommended_of(front(plausible=(True, False, False))) == "classic arm"


def test_the_baseline_is_classic_training_or_mixup_or_the_first_arm():
    assert baseline_of(front()) == "classic arm"
    assert baseline_of(front(methods=("kd", "kd_mixup", "mixup"))) == "mixup arm"
    assert baseline_of(front(methods=("kd", "kd_mixup", "dkd"))) == "kd arm"


def test_where_the_baseline_wins_the_answer_says_so():
    found = front((0.9, 0.1, 0.1), plausible=(True, False, False))
    first, second = answer_of(found, evidence(found), "classic arm", "classic arm")
    wanted = "For accuracy, take classic arm, the baseline (accuracy 71.0 %, 95 % interval"
    assert first.replace("\N{NO-BREAK SPACE}", " ").startswith(wanted)
    assert second == ("No arm that is likely on the front beats it in ECE; 1 of 3 arms cannot be ruled out as optimal.")


def test_without_evidence_there_is_no_answer():
    empty = Front(front().points.iloc[:0], OBJECTIVES, {}, 0.0)
    assert answer_of(empty, None, "", "") == ["No trial has finished yet, so there is no front to show."]
