import pytest
from pydantic import ValidationError

from kd_core.config.evaluation import EvaluateConfig


def test_all_options_have_defaults():
    config = EvaluateConfig()
    assert (config.images, config.pairs, config.lambdas, config.ood) == (1000, 1000, 21, None)
    assert EvaluateConfig.model_validate({"images": None, "ood": {"source": "digits"}}).ood is not None


@pytest.mark.parametrize("wrong", [{"lambdas": 4}, {"images": 0}, {"radius": 0}, {"resample": 3}, {"seed": -1}])
def test_impossible_options_are_refused(wrong):
    with pytest.raises(ValidationError):
        EvaluateConfig.model_validate(wrong)
