"""Training one student: a generator that yields after every epoch and resumes exactly from any of them."""

import os
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from kd_core.config.data import NO_MIXUP
from kd_core.config.errors import NonFiniteLossError
from kd_core.config.recipe import TrainConfig
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset, Split
from kd_core.data.streaming import StreamedSplit
from kd_core.evaluate.evaluation import EVALUATION_BATCH, predict
from kd_core.measure.predictions import RAW, metrics_of, predictions_of
from kd_core.methods.hard import hard_label_loss
from kd_core.networks.execution import autocast, build_optimizer
from kd_core.networks.models import Network, build_student
from kd_core.networks.schedule import learning_rate_schedule
from kd_core.stream.vicinal import VicinalBatch, VicinalStream, batch_slots
from kd_core.teachers.signal import TeacherSignal
from kd_core.training.loss import trial_loss


@dataclass(frozen=True)
class EpochResult:
    """One finished epoch (1, 2, …): its figures by name, and the current student and optimiser."""

    epoch: int
    figures: dict[str, float]
    network: Network
    optimizer: torch.optim.Optimizer

    def checkpoint(self) -> dict[str, Any]:
        """The state for exact resumption; random numbers are a function of seed and epoch and need no state."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }


def train(
    config: TrialConfig,
    dataset: Dataset,
    signal: TeacherSignal | None = None,
    *,
    device: torch.device | str = "cpu",
    checkpoint: dict[str, Any] | None = None,
    rungs: Collection[int] = (),
) -> Iterator[EpochResult]:
    """Train the student of a config and yield after each epoch; to stop, stop iterating.

    Distillation methods need a signal, all others must have none. checkpoint is the value of an earlier
    `EpochResult.checkpoint()`: training resumes after that epoch and ends, on a CPU, with the same weights bit for bit.
    Epochs are counted from 1, head epochs first. rungs are epochs after which the validation images are read, whatever
    the config's `validation_interval`. Raises NonFiniteLossError.
    """
    step_of = _step(config, dataset, signal, device, checkpoint)
    network, recipe = step_of.network, config.train

    source, num_samples = dataset.train.views(config.view, device), config.num_images(dataset)
    learning_rate = learning_rate_schedule(recipe, len(batch_slots(num_samples, recipe.batch_size)))
    finished_epochs = checkpoint["epoch"] if checkpoint is not None else 0
    for epoch in range(finished_epochs + 1, recipe.num_epochs + 1):
        started = time.perf_counter()
        torch.manual_seed(_epoch_seed(config.seed, epoch))
        head_only, past_epochs = epoch <= recipe.head_epochs, epoch - recipe.head_epochs - 1
        network.train_only_head() if head_only else network.train_whole()
        stream_epoch = epoch if head_only else past_epochs % config.num_stream_epochs + 1
        stream = _stream(config, dataset, head_only)
        drawn, steps = stream.epoch(stream_epoch), batch_slots(stream.num_samples, recipe.batch_size)
        losses, rate = torch.zeros(len(steps), device=device), recipe.learning_rate
        for step, batch in enumerate(source.batches(drawn, steps)):
            rate = recipe.learning_rate if head_only else learning_rate(past_epochs * len(steps) + step)
            losses[step] = step_of(batch, None if head_only else stream_epoch, steps[step], rate)
        figures = {
            "train/loss": _finite_mean(losses.cpu().numpy(), config, epoch),
            "train/learning_rate": rate,
            "train/images_per_s": stream.num_samples / (time.perf_counter() - started),
        }
        if recipe.validates(epoch) or epoch in rungs:
            figures |= _validated(network, dataset.validation, config, epoch)
        figures["epoch_s"] = time.perf_counter() - started
        yield EpochResult(epoch, figures, network, step_of.optimizer)


def first_steps(
    config: TrialConfig,
    dataset: Dataset,
    signal: TeacherSignal | None = None,
    *,
    device: torch.device | str = "cpu",
    num_steps: int = 2,
) -> Iterator[None]:
    """Begin like `train`, and yield after each of a few steps and after one batch of validation images.

    By then, the training has allocated nearly all of its memory, which this function serves to measure.
    """
    step_of = _step(config, dataset, signal, device)
    source, stream = dataset.train.views(config.view, device), _stream(config, dataset, head_only=False)
    steps = batch_slots(stream.num_samples, config.train.batch_size)
    step_of.network.train_whole()
    for slots, batch in zip(steps[:num_steps], source.batches(stream.epoch(1), steps), strict=False):
        step_of(batch, 1, slots, config.train.learning_rate)
        yield
    images = next(dataset.validation.batches(EVALUATION_BATCH)).numpy()
    predict(step_of.network, Split(images, dataset.validation.labels[: len(images)]))
    yield


class Step:
    """One optimiser step of a trial: forward, loss, backward, update."""

    def __init__(
        self,
        config: TrialConfig,
        network: Network,
        optimizer: torch.optim.Optimizer,
        signal: TeacherSignal | None,
        device: torch.device | str,
    ) -> None:
        self.config, self.network, self.optimizer, self.signal = config, network, optimizer, signal
        self.device = torch.device(device)
        self.forward: nn.Module = network
        if config.train.compile and self.device.type == "cuda":
            self.forward = torch.compile(network)  # type: ignore[assignment]

    def __call__(self, batch: VicinalBatch, stream_epoch: int | None, slots: slice, rate: float) -> torch.Tensor:
        """Take the step at a learning rate; returns the loss, detached. stream_epoch is None in a head epoch."""
        teacher_logits = None
        if self.signal is not None and stream_epoch is not None:
            teacher_logits = self.signal.logits(stream_epoch, slots, batch.images)
        with autocast(self.config.train.precision, self.device):
            student_logits = self.forward(batch.images)
        if stream_epoch is None:
            loss = hard_label_loss(student_logits, batch, self.config.train.label_smoothing)
        else:
            loss = trial_loss(student_logits, teacher_logits, batch, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.config.train.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.config.train.clip_norm)
        self.optimizer.step()
        return loss.detach()


def _step(
    config: TrialConfig,
    dataset: Dataset,
    signal: TeacherSignal | None,
    device: torch.device | str,
    checkpoint: dict[str, Any] | None = None,
) -> Step:
    """The step of a trial with its student and optimiser, new or restored from a checkpoint."""
    if (signal is None) != (config.teacher is None):
        raise ValueError(f"{config.method} {'needs a' if signal is None else 'takes no'} teacher signal")
    _set_up_gpu(config.train, device)
    network = initial_student(config, dataset.num_classes, checkpoint, dataset.class_names).to(device)
    optimizer = build_optimizer(network, config.train, checkpoint["optimizer"] if checkpoint is not None else None)
    return Step(config, network, optimizer, signal, device)


def _set_up_gpu(recipe: TrainConfig, device: torch.device | str) -> None:
    """Choose between fast and deterministic kernels for this process, before it uses the GPU."""
    if torch.device(device).type == "cuda":
        if recipe.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(recipe.deterministic)
        torch.backends.cudnn.benchmark = not recipe.deterministic


def initial_student(
    config: TrialConfig,
    num_classes: int,
    checkpoint: dict[str, Any] | None = None,
    class_names: Sequence[str] = (),
) -> Network:
    """The student before its first step, a function of the config's seed, or the one of a checkpoint.

    class_names are those of the data, which a student needs whose config names the classes of its weights.
    """
    torch.manual_seed(config.seed)
    if checkpoint is None:
        return build_student(config.student, num_classes, class_names)
    network = build_student(config.student.untrained, num_classes)
    network.load_state_dict(checkpoint["network"])
    return network


def _stream(config: TrialConfig, dataset: Dataset, head_only: bool) -> VicinalStream:
    """The vicinal stream of the trial; the head is trained on unmixed images, as by the authors, that have labels."""
    if head_only:
        return VicinalStream(config.stream_seed, dataset.num_train, NO_MIXUP, config.view)
    return VicinalStream(config.stream_seed, config.num_images(dataset), config.mixup, config.view)


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.Philox(key=[seed, epoch]).random_raw()) >> 1


def _finite_mean(losses: np.ndarray, config: TrialConfig, epoch: int) -> float:
    broken = np.flatnonzero(~np.isfinite(losses))
    if broken.size:
        where = f"{_name(config)}: epoch {epoch}, step {broken[0] + 1}"
        raise NonFiniteLossError(f"{where}: the loss is {losses[broken[0]]}; lower the learning rate or clip gradients")
    return float(losses.mean()) if losses.size else 0.0


def _validated(
    network: Network, validation: Split | StreamedSplit, config: TrialConfig, epoch: int
) -> dict[str, float]:
    logits = predict(network, validation)
    if not np.isfinite(logits).all():
        problem = "the logits on validation are not finite; lower the learning rate or clip gradients"
        raise NonFiniteLossError(f"{_name(config)}: epoch {epoch}, last step: {problem}")
    predictions = predictions_of(logits, validation.labels, temperature=1.0)
    return {f"validation/{name}": value for name, value in metrics_of(predictions, RAW).items()}


def _name(config: TrialConfig) -> str:
    """A short name of a trial for logs."""
    teacher = ["+".join(teacher.model for teacher in config.teachers)] if config.teachers else []
    temperature = [f"T={config.temperature}"] if config.temperature else []
    return " ".join([config.method, *teacher, *temperature, config.student.model, f"seed {config.seed}"])
