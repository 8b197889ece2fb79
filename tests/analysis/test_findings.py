from dataclasses import replace

import numpy as np
import pytest

from analysis.findings import findings_of
from analysis.objectives import objectives_named
from analysis.runs import runs_of
from analysis.snapshot import read_sweep
from kd_core.measure.predictions import RAW, SCALED
from tests.products import finish


def test_findings_hold_both_readings_their_evidence_and_an_answer(store):
    findings = findings_of(read_sweep(store, "demo"))
    assert list(findings.readings) == [SCALED, RAW]
    assert findings.shipped is findings.readings[SCALED]
    assert findings.validation.arms == findings.test.arms == findings.points["arm"].tolist()
    assert findings.teacher_test.arms == ["resnet"]
    assert findings.baseline == "classic"
    for judgement in findings.readings.values():
        assert judgement.choices.recommended in findings.test.arms
        assert judgement.answer[0].count("take") == 1
    assert {claim.verdict for claim in findings.claims} <= {"undecided", "one seed", "not testable"} | {
        "supported",
        "contradicted",
    }
    assert findings.spec_yaml == "name: demo\n"


FIGURES = ("aurc", "augrc", "set_size", "classwise_ece_scaled", "ece_debiased_scaled", "brier", "abs_gap")


@pytest.mark.parametrize("name", FIGURES)
def test_any_figure_that_selection_may_see_has_draws(store, name):
    findings = findings_of(read_sweep(store, "demo"), objectives_named(["accuracy", name]))
    points = findings.readings[RAW].front.points
    assert name in findings.validation.draws
    assert points["front_probability"].sum() >= 1
    assert points.loc[points["on_front"], "plausible"].all()


def test_curves_that_rise_are_doubted_and_nothing_else_of_a_sound_sweep(store):
    (rising,) = findings_of(read_sweep(store, "demo")).sanity.sentences  # its journals end at 7/8 of what comes next
    assert rising.startswith("Validation accuracy still rises")


def test_an_arm_of_an_older_version_lacks_a_figure_and_spoils_that_of_no_other(make_sweep):
    store = make_sweep()
    record = store.trial("trial-0-0")
    state, predictions = record.state(), {split: record.predictions(split) for split in ("validation", "test")}
    for split, each in predictions.items():
        without = {name: replace(reading, set_size=None, in_set=None) for name, reading in each.readings.items()}
        predictions[split] = replace(each, readings=without)
    metrics = {name: value for name, value in state.result.metrics.items() if "set_" not in name}
    finish(record, state.config, predictions, metrics=metrics)
    arm = runs_of(read_sweep(store, "demo")).loc[0, "arm"]
    findings = findings_of(read_sweep(store, "demo"), objectives_named(["accuracy", "set_size"]))
    estimates = {name: findings.validation.estimate("set_size", name) for name in findings.validation.arms}
    assert np.isnan(estimates.pop(arm).value)
    assert all(each.low < each.value < each.high for each in estimates.values())


def test_an_objective_that_nobody_measured_is_named(store):
    with pytest.raises(ValueError, match="latency_ms_1 is not known of any arm; run the sweep again"):
        findings_of(read_sweep(store, "demo"), objectives_named(["accuracy", "latency_ms_1"]))
