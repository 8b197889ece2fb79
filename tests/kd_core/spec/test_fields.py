import pytest
from pydantic import ValidationError

from kd_core.spec.fields import Config, even, number_of


class Example(Config):
    """One field."""

    rate: float = 0.1
    """a number"""


def test_a_config_is_frozen_strict_and_finite():
    with pytest.raises(ValidationError, match="frozen"):
        Example().rate = 1.0  # type: ignore[misc]
    for wrong in ({"raet": 1}, {"rate": float("nan")}):
        with pytest.raises(ValidationError):
            Example.model_validate(wrong)


def test_a_field_is_described_by_its_docstring():
    assert Example.model_fields["rate"].description == "a number"


@pytest.mark.parametrize(("value", "number"), [("2e-1", 0.2), ("sigma", "sigma"), (3, 3), (None, None)])
def test_text_that_is_a_number_is_one(value, number):
    assert number_of(value) == number


def test_an_odd_number_is_refused():
    assert even(4) == 4
    with pytest.raises(ValueError, match="even"):
        even(3)
