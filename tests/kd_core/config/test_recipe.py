import pytest
from pydantic import ValidationError

from kd_core.config.recipe import TrainConfig


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ({"batch_size": 33}, "even"),
        ({"batch_size": 0}, "greater than 0"),
        ({"milestones": [3]}, "given with schedule: step"),
        ({"schedule": "piecewise"}, "given with schedule: piecewise"),
        ({"uncertainty": "dus", "label_smoothing": 0.1}, "has no effect"),
    ],
)
def test_what_makes_no_sense_is_refused(edits, message):
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate({"epochs": 2} | edits)


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "warmup_epochs"])
def test_infinities_are_refused(name):
    with pytest.raises(ValidationError):
        TrainConfig.model_validate({"epochs": 2, name: float("inf")})


def test_the_epochs_of_the_head_come_on_top():
    assert TrainConfig(epochs=5, head_epochs=2).num_epochs == 7
