import numpy as np
import pytest

from analysis.objectives import OBJECTIVES
from analysis.readings import READINGS, front_in, judgement_of
from analysis.runs import runs_of
from analysis.snapshot import read_sweep
from analysis.statistics.evidence import evidence_of
from kd_core.measure.predictions import RAW, SCALED


@pytest.fixture(scope="module")
def runs(store):
    return runs_of(read_sweep(store, "demo"))


@pytest.fixture(scope="module")
def validation(store, runs):
    return evidence_of(runs, "validation", lambda key: store.trial(key).predictions("validation"), 400)


def test_what_is_shipped_is_judged_after_temperature_scaling(runs, validation):
    fronts = {reading: front_in(reading, runs, OBJECTIVES, validation) for reading in READINGS}
    assert list(fronts[SCALED].objectives) == ["validation/accuracy", "validation/ece_scaled"]
    assert list(fronts[RAW].objectives) == ["validation/accuracy", "validation/ece"]
    assert not np.array_equal(*(front.points["front_probability"] for front in fronts.values()))


def test_an_objective_that_is_after_temperature_scaling_already_stays(runs, validation):
    objectives = {"validation/accuracy": "max", "validation/ece_scaled": "min"}
    fronts = [front_in(reading, runs, objectives, validation) for reading in READINGS]
    assert [front.objectives for front in fronts] == [objectives, objectives]


def test_a_judgement_recommends_plausible_arms_of_its_own_front(runs, validation):
    test = validation
    for reading in READINGS:
        judgement = judgement_of(
            "demo", reading, runs, front_in(reading, runs, OBJECTIVES, validation), validation, test, "classic"
        )
        plausible = judgement.front.points.loc[judgement.front.points["plausible"], "arm"]
        assert {*judgement.choices.named, *judgement.choices.by_word.values()} <= set(plausible)
        assert judgement.selected["arm"].tolist() == plausible.tolist()
        begin = {SCALED: "As shipped", RAW: "As trained"}[reading]
        assert judgement.answer[0].startswith(f"{begin}, for accuracy take {judgement.choices.recommended}")


def test_a_hopeless_sweep_recommends_nothing_and_promote_may_still_be_told_to(runs, validation):
    front = front_in(SCALED, runs, OBJECTIVES, validation)
    judgement = judgement_of("demo", SCALED, runs, front, validation, validation, "classic", hopeless=True)
    assert judgement.answer == ["Nothing is recommended."]
    assert judgement.choices.by_word["knee"] in front.points["arm"].tolist()
