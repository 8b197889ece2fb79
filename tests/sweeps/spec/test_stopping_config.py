import pytest
from pydantic import ValidationError

from sweeps.spec.stopping_config import EarlyStoppingConfig


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
