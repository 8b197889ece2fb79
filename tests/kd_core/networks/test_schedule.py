"""Learning rates: each schedule at the steps that define it."""

import pytest

from kd_core.config.recipe import TrainConfig
from kd_core.networks.schedule import learning_rate_schedule

STEPS = 10  # a epoch


def rates(epochs, **recipe):
    config = TrainConfig(epochs=epochs, learning_rate=1.0, **recipe)
    rate = learning_rate_schedule(config, STEPS)
    return [rate(step) for step in range(epochs * STEPS)]


def test_cosine_falls_from_its_peak_through_a_half_towards_zero():
    values = rates(4)
    assert values[0] == 1
    assert values[20] == pytest.approx(0.5)
    assert 0 < values[-1] < 0.01
    assert values == sorted(values, reverse=True)


def test_warm_up_rises_linearly_to_the_peak_and_hands_over_without_a_jump():
    values = rates(4, warmup_epochs=1)
    assert values[:STEPS] == pytest.approx([(step + 1) / STEPS for step in range(STEPS)])
    assert values[STEPS] == 1


def test_constant_stays():
    assert set(rates(2, schedule="constant")) == {1}


def test_step_takes_a_tenth_at_each_milestone():
    values = rates(4, schedule="step", milestones=(2, 3))
    assert values[19] == 1
    assert values[20] == values[29] == pytest.approx(0.1)
    assert values[30] == pytest.approx(0.01)


def test_pieces_follow_one_another_linearly_and_by_cosine():
    pieces = ({"until": 2, "start": 0.0, "end": 1.0}, {"until": 4, "start": 1.0, "end": 0.5, "shape": "cosine"})
    values = rates(5, schedule="piecewise", pieces=pieces)
    assert values[10] == pytest.approx(0.5)
    assert values[20] == 1
    assert values[30] == pytest.approx(0.75)
    assert values[40:] == pytest.approx([0.5] * STEPS)


@pytest.mark.parametrize(
    "recipe",
    [
        {"schedule": "step"},
        {"schedule": "piecewise"},
        {"milestones": (3,)},
        {"schedule": "piecewise", "pieces": ({"until": 2, "start": 0, "end": 1}, {"until": 1, "start": 1, "end": 0})},
    ],
)
def test_details_that_do_not_belong_to_the_schedule_are_refused(recipe):
    with pytest.raises(ValueError, match=r"milestones|pieces"):
        TrainConfig(epochs=2, **recipe)
