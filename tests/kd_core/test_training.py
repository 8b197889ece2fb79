import math
from io import BytesIO

import numpy as np
import pytest
import torch

from kd_core.config import TrainConfig
from kd_core.evaluation import predict
from kd_core.outcomes import metrics_of, outcomes_of
from kd_core.training import (
    EpochResult,
    NonFiniteLossError,
    build_optimizer,
    initial_student,
    learning_rate_schedule,
    train,
)

RECIPES = [
    ("classic", {}, "adamw"),
    ("classic", {}, "sgd"),
    ("mixup", {}, "adamw"),
    ("kd", {"temperature": 4}, "adamw"),
    ("kd", {"temperature": "sigma"}, "sgd"),
    ("kd_mixup", {"temperature": 2, "alpha": 0.2}, "sgd"),
    ("kd_mixup", {"temperature": "sigma"}, "adamw"),
]


def stored(result: EpochResult) -> dict:
    """A checkpoint as it comes back from a file."""
    buffer = BytesIO()
    torch.save(result.checkpoint(), buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def timeless(result: EpochResult) -> dict[str, float]:
    """The figures that do not measure time."""
    return {name: value for name, value in result.figures.items() if not name.endswith(("_s", "per_s"))}


def same(first: EpochResult, second: EpochResult) -> bool:
    states = first.network.state_dict(), second.network.state_dict()
    moments = [result.optimizer.state_dict()["state"] for result in (first, second)]
    return (
        all(torch.equal(value, states[1][name]) for name, value in states[0].items())
        and all(
            torch.equal(torch.as_tensor(value), torch.as_tensor(moments[1][index][name]))
            for index, state in moments[0].items()
            for name, value in state.items()
            if value is not None
        )
        and timeless(first) == timeless(second)
    )


@pytest.mark.parametrize(("method", "edits", "optimizer"), RECIPES, ids=str)
def test_a_resumed_training_equals_an_uninterrupted_one_bit_for_bit(trial, digits, signal, method, edits, optimizer):
    config = trial(method, train={"optimizer": optimizer, "learning_rate": 0.01}, **edits)
    teacher = signal if method.startswith("kd") else None
    checkpoints = []
    for result in train(config, digits, teacher):
        checkpoints.append(stored(result))
        uninterrupted = result
    assert [checkpoint["epoch"] for checkpoint in checkpoints] == [1, 2, 3]
    for checkpoint in checkpoints[:2]:
        torch.manual_seed(123)  # whatever the process drew before
        resumed = list(train(config, digits, teacher, checkpoint=checkpoint))
        assert len(resumed) == 3 - checkpoint["epoch"]
        assert same(resumed[-1], uninterrupted)
    assert list(train(config, digits, teacher, checkpoint=checkpoints[2])) == []


@pytest.mark.parametrize(
    ("edits", "changes"), [({"seed": 1}, True), ({"stream_seed": 1}, True), ({}, False)], ids=["seed", "stream", "none"]
)
def test_the_seeds_decide_the_result(trial, digits, edits, changes):
    first, second = (list(train(trial("mixup", train={"epochs": 1}, **each), digits))[-1] for each in ({}, edits))
    assert same(first, second) != changes


def test_dropout_is_active_while_training(trial, digits):
    student = trial().student
    results = [
        list(train(trial(student=student.model_copy(update={"dropout": dropout}), train={"epochs": 1}), digits))[-1]
        for dropout in (0.0, 0.3)
    ]
    assert results[0].figures["train/loss"] != results[1].figures["train/loss"]


def test_the_loss_goes_down(trial, digits):
    config = trial(train={"epochs": 6, "learning_rate": 0.01}, view={"padding": 0, "flip": False})
    losses = [result.figures["train/loss"] for result in train(config, digits)]
    assert losses[0] == pytest.approx(math.log(10), rel=0.15)
    assert losses[-1] < 0.75 * losses[0]


def test_validation_figures_are_those_of_the_network(trial, digits):
    for result in train(trial(train={"epochs": 2}), digits):
        outcomes = outcomes_of(predict(result.network, digits.validation), digits.validation.labels, 1.0)
        expected = {f"validation/{name}": value for name, value in metrics_of(outcomes).items()}
        assert {name: result.figures[name] for name in expected} == expected
        assert result.figures["epoch_s"] > 0
        assert result.figures["train/images_per_s"] > 0


def test_a_trial_without_epochs_yields_nothing(trial, digits):
    assert list(train(trial(train={"epochs": 0}), digits)) == []


def test_a_loss_that_is_not_finite_names_epoch_and_step(trial, digits):
    with pytest.raises(NonFiniteLossError, match=r"the loss is (nan|inf) in epoch 1, step \d$"):
        list(train(trial(train={"learning_rate": 1e30}), digits))


def test_weights_that_break_at_the_last_step_are_reported_like_a_broken_loss(trial, digits):
    """One step an epoch: the loss is still finite, what it leaves is not."""
    with pytest.raises(NonFiniteLossError, match="epoch 1"):
        list(train(trial(train={"learning_rate": 1e30, "batch_size": 128}), digits))


def test_distilling_without_a_signal_is_refused(trial, digits):
    with pytest.raises((ValueError, TypeError, AssertionError)):
        next(train(trial("kd", alpha=0.2), digits))


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_the_learning_rate_warms_up_and_then_follows_its_schedule(schedule):
    config = TrainConfig(epochs=10, learning_rate=0.4, schedule=schedule, warmup_epochs=2)
    rates = [learning_rate_schedule(config, steps_per_epoch=5)(step) for step in range(51)]
    np.testing.assert_allclose(rates[:10], 0.4 * np.arange(1, 11) / 10)
    cosine = 0.2 * (1 + np.cos(np.pi * np.arange(41) / 40))
    np.testing.assert_allclose(rates[10:], cosine if schedule == "cosine" else 0.4, atol=1e-15)
    assert max(rates) == pytest.approx(0.4)


def test_without_warm_up_the_first_step_has_the_peak():
    rates = learning_rate_schedule(TrainConfig(epochs=2, learning_rate=0.4), steps_per_epoch=5)
    assert rates(0) == 0.4
    assert rates(10) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_weight_decay_spares_biases_and_norms(trial, optimizer):
    config = trial(train={"optimizer": optimizer, "weight_decay": 0.3})
    network = initial_student(config, 10)
    groups = build_optimizer(network, config.train).param_groups
    decayed = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert len(decayed) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        assert decayed[id(parameter)] == (0.0 if parameter.ndim == 1 else 0.3), name


def test_the_learning_rate_reaches_the_optimizer(trial, digits):
    config = trial(train={"epochs": 2, "learning_rate": 0.01})
    rate = learning_rate_schedule(config.train, steps_per_epoch=4)
    for result in train(config, digits):
        last = rate(4 * result.epoch - 1)
        assert [group["lr"] for group in result.optimizer.param_groups] == [last, last]
        assert result.figures["train/learning_rate"] == last


def test_a_teacher_is_asked_for_every_mixed_batch_in_order(trial, digits, signal):
    asked = []

    class Recorder:
        def logits(self, epoch: int, slots: slice, images: torch.Tensor) -> torch.Tensor:
            asked.append((epoch, slots.start, tuple(images.shape)))
            return signal.logits(epoch, slots, images)

    list(train(trial("kd_mixup", train={"epochs": 2, "batch_size": 64}), digits, Recorder()))
    assert asked == [(epoch, start, (size, 3, 8, 8)) for epoch in (1, 2) for start, size in ((0, 64), (64, 44))]
