import pytest
from pydantic import ValidationError

from kd_core.spec.data_config import DataConfig, MixupConfig, ViewConfig


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"source": "folder"}, "needs data.path"),
        ({"source": "digits", "path": "/data"}, "takes no path"),
        ({"source": "cifar10", "streaming": True}, "fits in memory"),
        ({"source": "digits", "validation": 1}, "less than 1"),
        ({"source": "web"}, "digits"),
    ],
)
def test_a_source_takes_what_suits_it(edits, message):
    with pytest.raises(ValidationError, match=message):
        DataConfig.model_validate(edits)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ("beta", "concentration"),
        ({"concentration": 1}, "concentration"),
        ({"fraction": 1.5}, "less than or equal to 1"),
    ],
)
def test_a_law_of_lambda_is_given_whole(edits, message):
    with pytest.raises(ValidationError, match=message):
        MixupConfig.model_validate(edits)


@pytest.mark.parametrize("value", [False, "off", {"distribution": "off"}])
def test_off_is_a_word_that_yaml_reads_as_false(config_of, value):
    assert MixupConfig.model_validate(value) == MixupConfig(distribution="off")
    assert config_of("classic", mixup=value).mixup.distribution == "off"


def test_a_range_of_scales_goes_upwards():
    with pytest.raises(ValidationError, match="from the smaller share to the larger"):
        ViewConfig(scale=(0.9, 0.1))
