import numpy as np
import pytest

from analysis.findings import findings_of
from analysis.pareto import objectives_named
from kd_core.measure.outcomes import RAW, SCALED, outcomes_of


def test_findings_hold_both_fronts_their_evidence_and_an_answer(store):
    findings = findings_of(store, "demo")
    assert list(findings.fronts) == [RAW, SCALED]
    assert findings.validation.arms == findings.test.arms == findings.fronts[RAW].points["arm"].tolist()
    assert findings.teacher_test.arms == ["resnet"]
    assert findings.baseline == "classic"
    assert findings.recommended in findings.test.arms
    assert len(findings.answer) == 2
    assert {claim.verdict for claim in findings.claims} <= {"supported", "contradicted", "undecided", "not testable"}
    assert findings.spec_yaml == "name: demo\n"


@pytest.mark.parametrize("name", ["aurc", "ece_debiased_scaled", "brier", "abs_gap"])
def test_any_figure_that_selection_may_see_has_draws(store, name):
    findings = findings_of(store, "demo", objectives_named(["accuracy", name]))
    points = findings.fronts[RAW].points
    assert name in findings.validation.draws
    assert points["front_probability"].sum() >= 1
    assert points.loc[points["on_front"], "plausible"].all()


def test_an_objective_that_nobody_measured_is_named(store):
    with pytest.raises(ValueError, match="latency_ms_1 is not known of any arm; run the sweep again"):
        findings_of(store, "demo", objectives_named(["accuracy", "latency_ms_1"]))


def test_another_sweep_is_compared_arm_by_arm_on_the_same_images(make_sweep):
    store = make_sweep()
    members = store.sweep("demo").members()
    fewer = {"sweep": "fewer", "trials": [each for each in members["trials"] if each["arm"] != "mixup"]}
    store.sweep("fewer").write("", members | fewer)
    findings = findings_of(store, "demo", against="fewer")
    compared = findings.against.drop_duplicates("arm")
    assert compared["arm"].tolist() == findings.test.arms
    same = findings.against.loc[findings.against["other_arm"] == "fewer: " + findings.against["arm"]]
    assert len(same) == 9
    assert np.abs(same["value"]).max() < 1e-12
    assert set(compared.loc[compared["arm"] == "mixup", "other_arm"]) <= {f"fewer: {arm}" for arm in findings.test.arms}
    assert set(findings.against_points["arm"]) <= set(findings.test.arms)


def test_sweeps_of_other_images_are_not_compared(make_sweep):
    store = make_sweep(size=200)
    record, members = store.trial("other"), store.sweep("demo").members()
    labels = np.zeros(200, dtype=int)
    outcomes = outcomes_of(np.random.default_rng(0).normal(size=(200, 5)), labels, 1.0)
    record.begin(store.trial("trial-0-0").config())
    record.finish({"validation": outcomes, "test": outcomes}, store.trial("trial-0-0").verdict())
    trial = {"key": "other", "label": "classic seed 0", "arm": "classic", "teacher": None, "seed": 0}
    store.sweep("else").write("", members | {"sweep": "else", "trials": [trial]})
    with pytest.raises(ValueError, match="trial other was evaluated on other images"):
        findings_of(store, "demo", against="else")
