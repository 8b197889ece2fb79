import math
from io import BytesIO

import numpy as np
import pytest
import torch

from kd_core.config.data import NO_MIXUP, DataConfig, ViewConfig
from kd_core.config.errors import NonFiniteLossError
from kd_core.config.identity import trial_key
from kd_core.config.networks import TeacherConfig
from kd_core.config.recipe import FinetuneConfig
from kd_core.config.trial import finetuning_trial
from kd_core.evaluate.evaluation import predict
from kd_core.measure.predictions import metrics_of, predictions_of
from kd_core.methods.registry import METHODS
from kd_core.networks.schedule import learning_rate_schedule
from kd_core.networks.weights import weights_bytes
from kd_core.training.loop import EpochResult, first_steps, initial_student, train

DATA, VIEW = DataConfig(source="digits"), ViewConfig()
RECIPES = [
    ("classic", {}, "adamw"),
    ("classic", {}, "sgd"),
    ("mixup", {}, "adamw"),
    ("kd", {"temperature": 4}, "adamw"),
    ("kd", {"temperature": "sigma"}, "sgd"),
    ("kd_mixup", {"temperature": 2, "alpha": 0.2}, "sgd"),
    ("kd_mixup", {"temperature": "sigma"}, "adamw"),
    ("zscore", {}, "adamw"),
    ("dkd", {"alpha": 0.5}, "sgd"),
    ("dist", {}, "adamw"),
    ("wttm", {"mixup": {"distribution": "beta", "concentration": 0.4}}, "adamw"),
    ("cud", {"mixup": {"fraction": 0.5}}, "sgd"),
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
    teacher = None if METHODS[method].teacherless else signal
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


def test_a_resumed_training_needs_no_longer_the_weights_that_it_started_from(trial, digits, tmp_path):
    weights = tmp_path / "student.safetensors"
    weights.write_bytes(weights_bytes(initial_student(trial(seed=7), 10)))
    config = trial(student=trial().student.model_copy(update={"checkpoint": str(weights)}))
    first, *_, last = [(stored(result), result) for result in train(config, digits)]
    weights.unlink()
    assert same(list(train(config, digits, checkpoint=first[0]))[-1], last[1])


def test_weights_of_classes_in_another_order_begin_in_that_of_the_data(trial, digits, tmp_path):
    given = initial_student(trial(seed=7), 12)
    (tmp_path / "weights.safetensors").write_bytes(weights_bytes(given))
    order = ["none", *map(str, range(9, -1, -1)), "many"]
    (tmp_path / "classes.txt").write_text("\n".join(order))
    paths = {"checkpoint": str(tmp_path / "weights.safetensors"), "classes": str(tmp_path / "classes.txt")}
    config = trial(student=trial().student.model_copy(update=paths))
    student = initial_student(config, 10, class_names=digits.class_names)
    logits = predict(given, digits.validation)[:, [order.index(name) for name in digits.class_names]]
    np.testing.assert_allclose(predict(student, digits.validation), logits, rtol=1e-5, atol=1e-5)


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


def test_head_epochs_come_first_and_move_nothing_but_the_head(trial, digits, signal):
    config = trial("kd_mixup", train={"epochs": 1, "head_epochs": 2})
    start = initial_student(config, 10).state_dict()
    states = []
    for result in train(config, digits, signal):
        states.append({name: value.clone() for name, value in result.network.state_dict().items()})
    assert result.epoch == len(states) == 3
    for name, value in states[1].items():
        assert name.startswith("head.") or torch.equal(value, start[name]), name
    assert not torch.equal(states[1]["head.0.weight"], start["head.0.weight"])
    assert any(not torch.equal(value, states[1][name]) for name, value in states[2].items() if "backbone" in name)


def test_head_epochs_leave_the_stream_of_the_others_as_it_is(trial, digits, signal):
    def asked(head_epochs):
        seen = []

        class Recorder:
            def logits(self, epoch, slots, images):
                seen.append((epoch, slots, images))
                return signal.logits(epoch, slots, images)

        list(train(trial("kd_mixup", train={"epochs": 2, "head_epochs": head_epochs}), digits, Recorder()))
        return seen

    for first, second in zip(asked(0), asked(1), strict=True):
        assert first[:2] == second[:2]
        assert torch.equal(first[2], second[2])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_resuming_within_and_behind_the_head_epochs_is_exact(trial, digits, signal, optimizer):
    config = trial("kd_mixup", train={"epochs": 2, "head_epochs": 2, "clip_norm": 0.5, "optimizer": optimizer})
    checkpoints = []
    for result in train(config, digits, signal):
        checkpoints.append(stored(result))
    for checkpoint in checkpoints[:3]:
        assert same(list(train(config, digits, signal, checkpoint=checkpoint))[-1], result)


def test_gradients_are_clipped_to_their_norm(trial, digits):
    recipe = {"optimizer": "sgd", "weight_decay": 0.0, "schedule": "constant", "epochs": 1, "batch_size": 108}
    config = trial("classic", train=recipe | {"clip_norm": 1e-6, "learning_rate": 1.0})
    before = {name: value.clone() for name, value in initial_student(config, 10).named_parameters()}
    (result,) = train(config, digits)
    moved = [(value - before[name]).detach().flatten() for name, value in result.network.named_parameters()]
    assert 0 < float(torch.cat(moved).norm()) <= 2e-6 * 1.01  # Nesterov's first step is (1 + momentum) gradients


def test_a_teacher_may_be_trained_with_mixup_or_dus(trial, digits):
    plain, mixed, dus = (
        finetuning_trial(TeacherConfig(model="test_efficientnet", image_size=16, finetune=finetune), DATA, VIEW)
        for finetune in (
            FinetuneConfig(epochs=1),
            FinetuneConfig(epochs=1, mixup={"distribution": "uniform"}),
            FinetuneConfig(epochs=1, uncertainty="dus"),
        )
    )
    assert (plain.method, mixed.method, dus.method) == ("classic", "mixup", "classic")
    assert (plain.mixup, dus.mixup) == (NO_MIXUP, NO_MIXUP)
    figures = [timeless(next(train(config, digits))) for config in (plain, mixed, dus)]
    assert len({value["train/loss"] for value in figures}) == 3


def test_the_loss_goes_down(trial, digits):
    config = trial(train={"epochs": 6, "learning_rate": 0.01}, view={"padding": 0, "flip": False})
    losses = [result.figures["train/loss"] for result in train(config, digits)]
    assert losses[0] == pytest.approx(math.log(10), rel=0.15)
    assert losses[-1] < 0.75 * losses[0]


def test_validation_figures_are_those_of_the_network(trial, digits):
    for result in train(trial(train={"epochs": 2}), digits):
        predictions = predictions_of(predict(result.network, digits.validation), digits.validation.labels, 1.0)
        expected = {f"validation/{name}": value for name, value in metrics_of(predictions).items()}
        assert {name: result.figures[name] for name in expected} == expected
        assert result.figures["epoch_s"] > 0
        assert result.figures["train/images_per_s"] > 0


def test_epochs_between_are_not_validated_and_the_weights_stay_as_they_are(trial, digits):
    often, seldom = (trial("classic", train={"epochs": 5, "validation_interval": interval}) for interval in (1, 4))
    *_, last = train(often, digits)
    results = list(train(seldom, digits, rungs=[2]))
    assert ["validation/ece" in each.figures for each in results] == [True, True, False, True, True]
    assert all("train/loss" in each.figures for each in results)
    assert weights_bytes(results[-1].network) == weights_bytes(last.network)
    assert results[-1].figures["validation/ece"] == last.figures["validation/ece"]
    assert trial_key(often, "data") == trial_key(seldom, "data")


def test_a_trial_without_epochs_yields_nothing(trial, digits):
    assert list(train(trial(train={"epochs": 0}), digits)) == []


def test_a_loss_that_is_not_finite_names_epoch_and_step(trial, digits):
    with pytest.raises(NonFiniteLossError, match=r"^classic .* seed 0: epoch 1, step \d: the loss is (nan|inf);"):
        list(train(trial(train={"learning_rate": 1e30}), digits))


def test_weights_that_break_at_the_last_step_are_reported_like_a_broken_loss(trial, digits):
    """One step an epoch: the loss is still finite, what it leaves is not."""
    with pytest.raises(NonFiniteLossError, match="epoch 1"):
        list(train(trial(train={"learning_rate": 1e30, "batch_size": 128}), digits))


def test_distilling_without_a_signal_is_refused(trial, digits):
    with pytest.raises((ValueError, TypeError, AssertionError)):
        next(train(trial("kd", alpha=0.2), digits))


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


def test_the_first_steps_are_those_of_the_training(trial, digits, signal):
    def asked(run):
        seen = []

        class Recorder:
            def logits(self, epoch, slots, images):
                seen.append((epoch, slots, images))
                return signal.logits(epoch, slots, images)

        num_yields = len(list(run(trial("kd_mixup", train={"epochs": 1}), digits, Recorder())))
        return num_yields, seen

    (num_yields, first), (_, all_steps) = asked(first_steps), asked(train)
    assert num_yields == 3  # two steps and a prediction
    assert len(first) == 2
    for step, same_step in zip(first, all_steps, strict=False):
        assert step[:2] == same_step[:2]
        assert torch.equal(step[2], same_step[2])


def test_recycled_epochs_are_those_of_the_stream_over_and_over(trial, digits, signal):
    class Recorder:
        """The teacher; records the epochs and images of which logits are requested."""

        def __init__(self) -> None:
            self.asked: list[tuple[int, torch.Tensor]] = []

        def logits(self, epoch, slots, images):
            if slots.start == 0:
                self.asked.append((epoch, images.clone()))
            return signal.logits(epoch, slots, images)

    recorder = Recorder()
    list(train(trial("kd_mixup", recycle=2, train={"epochs": 5, "head_epochs": 1}), digits, recorder))
    assert [epoch for epoch, _ in recorder.asked] == [1, 2, 1, 2, 1]
    images = [images for _, images in recorder.asked]
    assert torch.equal(images[0], images[2])
    assert torch.equal(images[1], images[3])
    assert not torch.equal(images[0], images[1])
