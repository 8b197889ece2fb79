import pytest
from pydantic import ValidationError

from sweeps.config.search import EarlyStoppingConfig, SearchConfig


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("asha", "must be null, or a rule such as"),
        ({"pareto_asha": {}}, "grace_epochs"),
        ({"pareto_asha": {"grace_epochs": 0}}, "greater than 0"),
        ({"pareto_asha": {"grace_epochs": 1, "reduction_factor": 1}}, "greater than 1"),
        ({"pareto_asha": {"grace_epochs": 1, "tolerance": 2}}, "less than or equal to 1"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(given, problem):
    with pytest.raises(ValidationError, match=problem):
        EarlyStoppingConfig.model_validate(given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("nsga2", "must be grid, or a sampler and its trials, such as"),
        ({"sampler": "cmaes", "trials": 3}, "Input should be 'grid', 'nsga2', 'tpe', 'gp' or 'random'"),
        ({"sampler": "tpe"}, "tpe needs a number of trials, such as trials: 30"),
        ({"trials": 30}, "grid tries every combination; remove trials and warm_start, or name a sampler"),
        ({"sampler": "tpe", "trials": 0}, "greater than 0"),
        ({"sampler": "tpe", "trials": 3, "warm_start": ["../x"]}, "must be letters, digits"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(given, problem):
    with pytest.raises(ValidationError, match=problem):
        SearchConfig.model_validate(given)


@pytest.mark.parametrize("given", ["grid", {"sampler": "gp", "trials": 3, "seed": 0, "warm_start": ["other"]}])
def test_a_search_is_written_as_it_can_be_read(given):
    written = SearchConfig.model_validate(given).model_dump(mode="json")
    assert written == given
    assert SearchConfig.model_validate(written).is_grid == (given == "grid")
