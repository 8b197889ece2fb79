import json

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.cases import CONTRADICTED, NOT_TESTABLE, SUPPORTED, UNDECIDED
from analysis.statistics.claims import (
    accuracy_falls_with_temperature,
    calibration_is_passed_on,
    claims_of,
    distillation_adds_to_mixup,
    ece_falls_with_temperature,
    gap_is_the_reason,
    mixup_adds_to_distillation,
    mixup_helps_alone,
    mixup_lowers_ece,
    sigma_has_the_highest_ece,
    student_outdoes_its_teacher,
    two_is_the_best_temperature,
)
from analysis.statistics.evidence import Evidence
from analysis.statistics.matching import Arms

NUM_RESAMPLES = 1000
FIGURES = ("accuracy", "ece", "ece_scaled", "abs_gap")
TEMPERATURES = ("2", "4", "8", "16")


def evidence(truth, deviation=0.001, seed=0, num_seeds=2):
    """Evidence of arms whose draws scatter about their true figures, {arm: {figure: value}}; others are 0.1."""
    generator, shape = np.random.default_rng(seed), (NUM_RESAMPLES, len(truth))
    plain = {name: np.array([figures.get(name, 0.1) for figures in truth.values()]) for name in FIGURES}
    return Evidence(
        split="test",
        num_images=10_000,
        num_resamples=NUM_RESAMPLES,
        arms=list(truth),
        num_seeds=dict.fromkeys(truth, num_seeds),
        plain=plain,
        draws={name: plain[name] + deviation * generator.standard_normal(shape) for name in FIGURES},
        seed_deviation=dict.fromkeys(FIGURES, np.nan),
    )


def arms_of(*rows, deviation=0.001, seed=0, settings=None, names=None):
    """Arms from (method, teacher, temperature, figures); an arm's name is "method teacher temperature" or given."""
    names = names or [" ".join(filter(None, row[:3])) for row in rows]
    points = pd.DataFrame([row[:3] for row in rows], columns=["method", "teacher", "temperature"])
    points = points.assign(arm=names, alpha=0.0, student="s", trials=[[f"{name} 0", f"{name} 1"] for name in names])
    points = points if settings is None else points.assign(settings=settings)
    return Arms(points, evidence({name: row[3] for name, row in zip(names, rows, strict=True)}, deviation, seed))


def students(teacher, method="kd_mixup", temperatures=TEMPERATURES, **figures):
    """Arms of a teacher at several temperatures; each figure is a function of the number of doublings from T = 2."""
    return [
        (method, teacher, each, {name: value(doublings) for name, value in figures.items()})
        for doublings, each in enumerate(temperatures)
    ]


@pytest.mark.parametrize(("better", "verdict"), [(0.02, SUPPORTED), (-0.02, CONTRADICTED), (0.0, UNDECIDED)])
def test_mixup_is_compared_with_classic_and_with_distillation(better, verdict):
    arms = arms_of(
        ("classic", "", "", {"accuracy": 0.5}),
        ("mixup", "", "", {"accuracy": 0.5 + better}),
        ("kd_mixup", "t", "2", {"accuracy": 0.5 + 2 * better}),
        ("kd_mixup", "t", "sigma", {"accuracy": 0.5 + 2 * better}),
    )
    alone, added = mixup_helps_alone(arms), distillation_adds_to_mixup(arms)
    assert (alone.verdict, added.verdict) == (verdict, verdict)
    assert alone.estimate == pytest.approx(better, abs=2e-4)
    assert alone.trials == ["mixup 0", "mixup 1", "classic 0", "classic 1"]
    assert {trial.rsplit(" ", 1)[0] for trial in added.trials} == {"kd_mixup t 2", "kd_mixup t sigma", "mixup"}


def test_methods_are_compared_at_equal_temperature_only():
    arms = arms_of(
        ("kd", "t", "2", {"accuracy": 0.5, "ece": 0.05}),
        ("kd_mixup", "t", "2", {"accuracy": 0.6, "ece": 0.02}),
        ("kd_mixup", "t", "8", {"accuracy": 0.1, "ece": 0.9}),
        ("kd", "t", "4", {"accuracy": 0.9, "ece": 0.9}),
        ("kd", "t", "sigma", {"ece": 0.0}),
        ("kd_mixup", "t", "sigma", {"ece": 0.9}),
        ("kd_mixup", "other", "4", {"accuracy": 0.0}),
    )
    accuracy, ece = mixup_adds_to_distillation(arms), mixup_lowers_ece(arms, "ece")
    assert accuracy.estimate == pytest.approx((0.1 + 0.0) / 2, abs=2e-3)  # at 2 and at sigma
    assert (ece.verdict, ece.estimate) == (SUPPORTED, pytest.approx(-0.03, abs=2e-3))
    assert {trial.rsplit(" ", 1)[0] for trial in ece.trials} == {"kd t 2", "kd_mixup t 2"}


def test_arms_that_differ_in_alpha_or_student_are_not_compared():
    arms = arms_of(("kd", "t", "2", {"ece": 0.05}), ("kd_mixup", "t", "2", {"ece": 0.02}))
    for column, value in {"alpha": 0.5, "student": "other"}.items():
        other = Arms(arms.points.assign(**{column: [arms.points[column].iloc[0], value]}), arms.test)
        assert mixup_lowers_ece(other, "ece").verdict == NOT_TESTABLE


def test_arms_that_differ_in_any_other_key_are_not_compared_and_the_key_is_named():
    rows = [("kd", "t", "2", {"accuracy": 0.5}), ("kd_mixup", "t", "2", {"accuracy": 0.6})]
    short, long = {"train.epochs": 10}, {"train.epochs": 100, "mixup.distribution": "uniform"}
    arms = arms_of(*rows, settings=[short, long])
    claim = mixup_adds_to_distillation(arms)
    assert claim.verdict == NOT_TESTABLE
    assert claim.detail.endswith("at the same temperature, alike in all else; the nearest differ in train.epochs")
    assert mixup_adds_to_distillation(arms_of(*rows, settings=[short | {"train.epochs": 100}, long])).trials
    taught = [("mixup", "", "", {}), ("kd_mixup", "t", "2", {})]
    for setting, named in (({"mixup.concentration": 0.2}, "mixup.concentration"), ({"beta": 2.0}, "")):
        claim = distillation_adds_to_mixup(arms_of(*taught, settings=[{}, setting]))
        assert (claim.verdict == NOT_TESTABLE, claim.detail.endswith(named)) == (bool(named), True)


def test_each_recipe_makes_a_case_of_its_own():
    settings = [{"train.epochs": epochs} for epochs in (10, 10, 100, 100)]
    by_arm = [("classic", 0.5), ("mixup", 0.4), ("classic", 0.6), ("mixup", 0.7)]
    rows = [(method, "", "", {"accuracy": value}) for method, value in by_arm]
    names = ["short classic", "short mixup", "long classic", "long mixup"]
    claim = mixup_helps_alone(arms_of(*rows, settings=settings, names=names))
    assert "s, train.epochs 10: −10." in claim.detail
    assert "s, train.epochs 100: +1" in claim.detail
    rows = [
        ("kd_mixup", "t", each, {"accuracy": 0.5 - 0.1 * number}) for number, each in enumerate(("2", "4", "8", "16"))
    ]
    assert accuracy_falls_with_temperature(arms_of(*rows, settings=settings)).detail.count("train.epochs") == 2
    assert accuracy_falls_with_temperature(arms_of(*rows[1:3], settings=settings[1:3])).detail.endswith("train.epochs")


@pytest.mark.parametrize(("slope", "verdict"), [(-0.004, SUPPORTED), (0.004, CONTRADICTED), (0.0, UNDECIDED)])
def test_slopes_are_per_doubling_of_temperature(slope, verdict):
    falling = {"accuracy": lambda doublings: 0.5 + slope * doublings, "ece": lambda doublings: 0.1 + slope * doublings}
    arms = arms_of(*students("t", **falling), ("kd_mixup", "t", "sigma", {"accuracy": 0.0, "ece": 0.9}))
    for claim in (accuracy_falls_with_temperature(arms), ece_falls_with_temperature(arms, "ece")):
        assert (claim.verdict, claim.estimate) == (verdict, pytest.approx(slope, abs=2e-4))
        assert not any("sigma" in trial for trial in claim.trials)
    assert ece_falls_with_temperature(arms, "ece_scaled").verdict == UNDECIDED


def test_one_teacher_whose_students_do_not_follow_contradicts_the_rule():
    arms = arms_of(
        *students("good", ece=lambda doublings: 0.1 - 0.01 * doublings),
        *students("odd", ece=lambda doublings: 0.1 + 0.01 * doublings),
        *students("single", temperatures=["2"], ece=lambda doublings: 0.1),
    )
    claim = ece_falls_with_temperature(arms, "ece")
    assert (claim.verdict, claim.estimate) == (CONTRADICTED, pytest.approx(0.01, abs=1e-3))
    assert "good: −0.0" in claim.detail
    assert "odd: +0.0" in claim.detail
    assert not any("single" in trial for trial in claim.trials)


def test_teachers_with_students_of_two_alphas_count_as_two():
    rows = students("t", ece=lambda doublings: 0.1 - 0.01 * doublings)
    arms = arms_of(*rows, *[("kd_mixup", "t", f"{each}0", figures) for _, _, each, figures in rows])
    claim = ece_falls_with_temperature(Arms(arms.points.assign(alpha=[0.0] * 4 + [0.5] * 4), arms.test), "ece")
    assert "t, alpha 0: " in claim.detail
    assert "t, alpha 0.5: " in claim.detail


@pytest.mark.parametrize(
    ("gap", "ece", "verdict"),
    [
        (-0.01, -0.01, SUPPORTED),
        (0.01, 0.012, SUPPORTED),
        (0.0, -0.01, CONTRADICTED),
        (0.01, -0.01, CONTRADICTED),
        (-0.005, -0.01, UNDECIDED),
        (0.0, 0.0, UNDECIDED),
    ],
)
def test_the_gap_is_the_reason_if_most_of_the_change_of_ece_is_its_own(gap, ece, verdict):
    arms = arms_of(*students("t", abs_gap=lambda step: 0.05 + gap * step, ece=lambda step: 0.1 + ece * step))
    assert gap_is_the_reason(arms).verdict == verdict


@pytest.mark.parametrize(("best", "verdict"), [("2", SUPPORTED), ("8", CONTRADICTED), ("sigma", CONTRADICTED)])
def test_a_temperature_is_the_best_if_it_beats_each_other_one(best, verdict):
    temperatures = [*TEMPERATURES, "sigma"]
    rows = [("kd_mixup", "t", each, {"accuracy": 0.5 + 0.05 * (each == best)}) for each in temperatures]
    assert two_is_the_best_temperature(arms_of(*rows)).verdict == verdict
    assert two_is_the_best_temperature(arms_of(*rows[1:])).verdict == NOT_TESTABLE


def test_the_trials_of_a_claim_are_told_in_the_order_of_the_arms():
    rows = [("kd_mixup", "t", each, {"accuracy": 0.5}) for each in ("2", "8", "16", "4")]
    told = [trial.rsplit(" ", 1)[0] for trial in two_is_the_best_temperature(arms_of(*rows)).trials]
    assert list(dict.fromkeys(told)) == ["kd_mixup t 2", "kd_mixup t 8", "kd_mixup t 16", "kd_mixup t 4"]


@pytest.mark.parametrize(("worst", "verdict"), [("sigma", SUPPORTED), ("4", CONTRADICTED)])
def test_sigma_is_compared_with_each_fixed_temperature(worst, verdict):
    temperatures = [*TEMPERATURES, "sigma"]
    rows = [("kd_mixup", "t", each, {"ece": 0.1 + 0.05 * (each == worst)}) for each in temperatures]
    assert sigma_has_the_highest_ece(arms_of(*rows), "ece").verdict == verdict
    assert sigma_has_the_highest_ece(arms_of(*rows), "ece_scaled").verdict == UNDECIDED
    assert sigma_has_the_highest_ece(arms_of(*rows[:-1]), "ece").verdict == NOT_TESTABLE


def lesson(teachers, pupils, **choices):
    """Whether calibration is passed on, from the ECE of teachers and, at two temperatures, of their students."""
    rows = [
        ("kd_mixup", name, each, {"ece": ece + offset})
        for name, ece in pupils.items()
        for each, offset in (("2", 0.0), ("8", 0.3))
    ]
    own = evidence({name: {"ece": ece} for name, ece in teachers.items()}, seed=1, **choices)
    return calibration_is_passed_on(arms_of(*rows), own, "ece")


def test_calibration_is_passed_on_if_students_follow_the_order_of_their_teachers():
    teachers = {"a": 0.01, "b": 0.03, "c": 0.05}
    claim = lesson(teachers, {"a": 0.02, "b": 0.03, "c": 0.04})
    assert (claim.verdict, claim.estimate) == (SUPPORTED, pytest.approx(0.02, abs=1e-3))
    assert lesson(teachers, {"a": 0.04, "b": 0.03, "c": 0.02}).verdict == CONTRADICTED
    assert lesson(teachers, {"a": 0.03, "b": 0.03, "c": 0.03}).verdict == UNDECIDED


def test_teachers_that_cannot_be_told_apart_decide_nothing():
    pupils = {"a": 0.02, "b": 0.04}
    assert lesson({"a": 0.01, "b": 0.05}, pupils).verdict == SUPPORTED
    claim = lesson({"a": 0.030, "b": 0.031}, pupils, deviation=0.01)
    assert claim.verdict == UNDECIDED
    assert claim.interval == (pytest.approx(-0.02, abs=4e-3), pytest.approx(0.02, abs=4e-3))
    assert lesson({"a": 0.0, "b": 0.0}, pupils, deviation=0.0).verdict == UNDECIDED


def test_teachers_are_compared_by_students_of_the_same_recipe():
    teachers, pupils = {"a": 0.01, "b": 0.05}, {"a": 0.02, "b": 0.04}
    assert lesson({"a": 0.01}, pupils).verdict == NOT_TESTABLE
    own = evidence({name: {"ece": ece} for name, ece in teachers.items()})
    rows = [("kd_mixup", "a", "2", {"ece": 0.02}), ("kd_mixup", "b", "4", {"ece": 0.04})]
    assert calibration_is_passed_on(arms_of(*rows), own, "ece").verdict == NOT_TESTABLE
    rows += [("kd_mixup", "b", "2", {"ece": 0.01})]
    claim = calibration_is_passed_on(arms_of(*rows), own, "ece")
    assert (claim.verdict, claim.estimate) == (CONTRADICTED, pytest.approx(-0.01, abs=1e-3))
    assert not any("b 4" in trial for trial in claim.trials)


@pytest.mark.parametrize(("own", "verdict"), [(0.2, SUPPORTED), (0.05, CONTRADICTED), (0.1, UNDECIDED)])
def test_a_student_is_compared_with_its_teacher(own, verdict):
    arms = arms_of(*students("t", ece=lambda doublings: 0.1), ("kd_mixup", "t", "sigma", {"ece": 9.0}))
    claim = student_outdoes_its_teacher(arms, evidence({"t": {"ece": own}}, seed=1), "ece")
    assert (claim.verdict, claim.estimate) == (verdict, pytest.approx(0.1 - own, abs=1e-3))


def test_one_student_is_enough_to_be_compared_with_its_teacher():
    arms = arms_of(("kd_mixup", "t", "2", {"ece": 0.1}))
    claim = student_outdoes_its_teacher(arms, evidence({"t": {"ece": 0.2}}, seed=1), "ece")
    assert (claim.verdict, claim.estimate) == (SUPPORTED, pytest.approx(-0.1, abs=1e-3))


def test_every_statement_is_asked_and_says_what_it_lacks():
    arms = arms_of(("classic", "", "", {"accuracy": 0.5}))
    claims = claims_of(arms.points, arms.test, None)
    assert len({claim.claim for claim in claims}) == len(claims)
    assert {claim.verdict for claim in claims} == {NOT_TESTABLE}
    assert all(claim.detail.startswith("needs ") and len(claim.detail) < 150 for claim in claims)


def test_claims_are_strict_json_with_trials_of_the_sweep():
    rows = [("classic", "", "", {}), ("mixup", "", "", {}), ("kd", "t", "2", {}), ("kd_mixup", "t", "sigma", {})]
    arms = arms_of(*rows, *students("t"), *students("u"))
    claims = claims_of(arms.points, arms.test, evidence({"t": {}, "u": {}}, seed=1))
    known = {key for keys in arms.points["trials"] for key in keys}
    for claim in claims:
        value = json.loads(json.dumps(claim.as_json(), allow_nan=False))
        assert list(value) == ["claim", "verdict", "estimate", "interval", "p_value", "trials"]
        tested = value["verdict"] != NOT_TESTABLE
        assert (value["estimate"] is not None, value["interval"] is not None) == (tested, tested)
        assert set(value["trials"]) <= known
        assert len(set(value["trials"])) == len(value["trials"])
        assert bool(value["trials"]) == tested
    assert sum(claim.verdict == NOT_TESTABLE for claim in claims) == 5  # those that predictions cannot tell
    assert claims == claims_of(arms.points, arms.test, evidence({"t": {}, "u": {}}, seed=1))
