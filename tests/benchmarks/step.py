"""What drawing, mixing, reading the teacher and our step add to a training step of plain PyTorch."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from torch.nn.functional import kl_div, log_softmax

from kd_core.data.vicinal import VicinalStream, batch_slots
from kd_core.spec.config import TrialConfig
from kd_core.training import Step, build_optimizer, initial_student
from tests.benchmarks.harness import threads
from tests.benchmarks.random_data import NUM_CLASSES, random_dataset, random_signal

STUDENT, BATCH_SIZE, TEMPERATURE = "mobilenetv2_050", 128, 2.0
CONFIG = TrialConfig.model_validate(
    {
        "data": {"source": "cifar100"},
        "method": "kd_mixup",
        "teacher": {"model": "resnet18"},
        "temperature": TEMPERATURE,
        "student": {"model": STUDENT},
        "train": {"epochs": 1, "batch_size": BATCH_SIZE},
    }
)


def measure(num_repetitions: int = 20, num_steps: int = 4) -> dict[str, Any]:
    """Images a second of our kd_mixup step on a stored signal, from drawn slots to the update, over those of a bare
    PyTorch loop on mixed images and teacher logits in memory; both on one thread, by turns."""
    num_turns = num_repetitions + 1  # the first warms up
    with tempfile.TemporaryDirectory() as name, threads(1):
        turns = our_turns(Path(name), num_turns, num_steps), bare_turns(num_steps)
        seconds = [[_seconds(turn) for turn in turns] for _ in range(num_turns)][1:]
    ours_s, bare_s = (statistics.median(column) for column in zip(*seconds, strict=True))
    return {
        "ours_over_bare": bare_s / ours_s,
        "ours_images_per_s": num_steps * BATCH_SIZE / ours_s,
        "bare_images_per_s": num_steps * BATCH_SIZE / bare_s,
    }


def our_turns(folder: Path, num_turns: int, num_steps: int) -> Callable[[], None]:
    """Each call goes on by num_steps in one epoch of num_turns calls, as `kd_core.training.train` does."""
    num_samples = num_turns * num_steps * BATCH_SIZE
    network = initial_student(CONFIG, NUM_CLASSES)
    network.train_whole()
    signal = random_signal(folder, num_samples, num_epochs=1)
    step = Step(CONFIG, network, build_optimizer(network, CONFIG.train), signal, "cpu")
    slots_of_steps = batch_slots(num_samples, BATCH_SIZE)
    drawn = VicinalStream(0, num_samples, CONFIG.mixup, CONFIG.view).epoch(1)
    source = random_dataset(num_samples).train.views(CONFIG.view, "cpu")
    batches = zip(source.batches(drawn, slots_of_steps), slots_of_steps, strict=True)

    def turn() -> None:
        for batch, slots in itertools.islice(batches, num_steps):
            step(batch, 1, slots, CONFIG.train.learning_rate)

    return turn


def bare_turns(num_steps: int) -> Callable[[], None]:
    """Each call takes num_steps as a loop that is written for nothing else would."""
    torch.manual_seed(0)
    network = timm.create_model(STUDENT, num_classes=NUM_CLASSES).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    images, teacher_logits = torch.randn(BATCH_SIZE, 3, 32, 32), torch.randn(BATCH_SIZE, NUM_CLASSES)

    def turn() -> None:
        for _ in range(num_steps):
            student = log_softmax(network(images) / TEMPERATURE, dim=1)
            teacher = log_softmax(teacher_logits / TEMPERATURE, dim=1)
            loss = TEMPERATURE**2 * kl_div(student, teacher, reduction="batchmean", log_target=True)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return turn


def _seconds(function: Callable[[], None]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started
