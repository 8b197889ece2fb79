"""Training one student: a generator that yields after every epoch and resumes exactly from any of them."""

import math
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from kd_core.config import TrainConfig, TrialConfig
from kd_core.data import Dataset, Split
from kd_core.evaluation import predict
from kd_core.losses import trial_loss
from kd_core.models import Network, build_student
from kd_core.outcomes import RAW, metrics_of, outcomes_of
from kd_core.signal import TeacherSignal
from kd_core.vicinal import VicinalStream, batch_slots, render


@dataclass(frozen=True)
class EpochResult:
    """One finished epoch (1, 2, …): its figures by name, and the student and optimiser as they stand."""

    epoch: int
    figures: dict[str, float]
    network: Network
    optimizer: torch.optim.Optimizer

    def checkpoint(self) -> dict[str, Any]:
        """All that exact resumption needs; randomness is a function of seed and epoch and needs no state."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }


class NonFiniteLossError(ArithmeticError):
    """The loss was NaN or infinite; the message names epoch and step."""


def train(
    config: TrialConfig,
    dataset: Dataset,
    signal: TeacherSignal | None = None,
    *,
    device: torch.device | str = "cpu",
    checkpoint: dict[str, Any] | None = None,
) -> Iterator[EpochResult]:
    """Train the student of a config and yield after each epoch; stopping is ceasing to iterate.

    signal is needed exactly by the methods that distil. checkpoint is what an earlier `EpochResult.checkpoint()` gave:
    training goes on behind that epoch and ends, on a CPU, with the same weights bit for bit.
    """
    if (signal is None) != (config.teacher is None):
        raise ValueError(f"{config.method} {'needs a' if signal is None else 'takes no'} teacher signal")
    network = initial_student(config, dataset.num_classes).to(device)
    optimizer = build_optimizer(network, config.train)
    finished_epochs = 0
    if checkpoint is not None:
        network.load_state_dict(checkpoint["network"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        finished_epochs = checkpoint["epoch"]

    images, labels = _on_device(dataset.train, device)
    stream = VicinalStream(config.stream_seed, len(labels), config.mixup, config.view)
    steps = batch_slots(len(labels), config.train.batch_size)
    learning_rate = learning_rate_schedule(config.train, len(steps))

    for epoch in range(finished_epochs + 1, config.train.epochs + 1):
        started = time.perf_counter()
        torch.manual_seed(_epoch_seed(config.seed, epoch))
        network.train()
        drawn = stream.epoch(epoch).to(device)
        losses = torch.zeros(len(steps), device=device)
        for step, slots in enumerate(steps):
            batch = render(images, labels, drawn, slots, config.view.padding)
            teacher_logits = signal.logits(epoch, slots, batch.images) if signal is not None else None
            loss = trial_loss(network(batch.images), teacher_logits, batch, config)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate((epoch - 1) * len(steps) + step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses[step] = loss.detach()
        mean_loss = _finite_mean(losses.cpu().numpy(), epoch)
        train_s = time.perf_counter() - started
        figures = {
            "train/loss": mean_loss,
            "train/learning_rate": learning_rate(epoch * len(steps) - 1),
            "train/images_per_s": len(labels) / train_s,
        }
        figures |= _validated(network, dataset.validation, epoch)
        figures["epoch_s"] = time.perf_counter() - started
        yield EpochResult(epoch, figures, network, optimizer)


def initial_student(config: TrialConfig, num_classes: int) -> Network:
    """The student before its first step: a function of the config's seed."""
    torch.manual_seed(config.seed)
    return build_student(config.student, num_classes)


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum; weight decay spares what has one dimension (biases and norms)."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def learning_rate_schedule(config: TrainConfig, steps_per_epoch: int) -> Callable[[int], float]:
    """The learning rate of step 0, 1, …: linear warm-up to the peak, then cosine to zero, or constant."""
    warmup, total = config.warmup_epochs * steps_per_epoch, config.epochs * steps_per_epoch

    def learning_rate(step: int) -> float:
        if step < warmup:
            return config.learning_rate * (step + 1) / warmup
        if config.schedule == "constant":
            return config.learning_rate
        return config.learning_rate * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup))) / 2

    return learning_rate


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.Philox(key=[seed, epoch]).random_raw()) >> 1


def _on_device(split: Split, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels as tensors; on a CPU they share the arrays' memory, which is only ever read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(split.images).to(device), torch.from_numpy(split.labels).to(device)


def _finite_mean(losses: np.ndarray, epoch: int) -> float:
    broken = np.flatnonzero(~np.isfinite(losses))
    if broken.size:
        raise NonFiniteLossError(f"the loss is {losses[broken[0]]} in epoch {epoch}, step {broken[0] + 1}")
    return float(losses.mean()) if losses.size else 0.0


def _validated(network: Network, validation: Split, epoch: int) -> dict[str, float]:
    logits = predict(network, validation)
    if not np.isfinite(logits).all():
        raise NonFiniteLossError(f"the logits on validation are not finite after epoch {epoch}")
    outcomes = outcomes_of(logits, validation.labels, temperature=1.0)
    return {f"validation/{name}": value for name, value in metrics_of(outcomes, RAW).items()}
