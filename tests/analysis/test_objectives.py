import pytest

from analysis.objectives import OBJECTIVE_FIGURES, check_objectives, objectives_named, scaled
from analysis.pareto import front_of
from analysis.runs import runs_of
from analysis.snapshot import read_sweep


def test_scaling_changes_what_temperature_changes_and_no_more():
    objectives = {
        "validation/accuracy": "max",
        "validation/ece": "min",
        "validation/nll": "min",
        "num_parameters": "min",
    }
    assert list(scaled(objectives)) == [
        "validation/accuracy",
        "validation/ece_scaled",
        "validation/nll_scaled",
        "num_parameters",
    ]
    assert scaled(scaled(objectives)) == scaled(objectives)


def test_objectives_are_named_with_or_without_their_split():
    assert objectives_named(["accuracy", "validation/ece_scaled", "latency_ms_1"]) == {
        "validation/accuracy": "max",
        "validation/ece_scaled": "min",
        "latency_ms_1": "min",
    }
    with pytest.raises(ValueError, match=r"validation/eec is no figure.*did you mean validation/ece\?"):
        objectives_named(["eec"])


def test_a_gap_after_a_scaling_that_was_fitted_on_the_same_images_is_no_objective(store):
    objectives = {"validation/accuracy": "max", "validation/abs_gap_scaled": "min"}
    with pytest.raises(ValueError, match=r"abs_gap_scaled: its temperature was fitted.*take validation/ece_scaled"):
        check_objectives(objectives)
    with pytest.raises(ValueError, match="abs_gap_scaled"):
        objectives_named(["accuracy", "abs_gap_scaled"])
    runs = runs_of(read_sweep(store, "demo"))
    assert len(front_of(runs, objectives).members)  # of a sweep that an older version has run


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ({"validation/acuracy": "max"}, "validation/acuracy.*did you mean validation/accuracy"),
        ({"test/ece": "min"}, "test/ece.*selection.*did you mean validation/ece"),
        ({"validation/ece": "minimise"}, "validation/ece: 'minimise'.*max or min"),
        ({}, "one to three"),
        (dict.fromkeys(OBJECTIVE_FIGURES[:4], "min"), "one to three"),
    ],
)
def test_an_impossible_objective_names_itself_and_the_nearest_valid_one(store, objectives, message):
    with pytest.raises(ValueError, match=message):
        front_of(runs_of(read_sweep(store, "demo")), objectives)
