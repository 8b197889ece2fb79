"""How our training step compares with loops of plain PyTorch: a plain one, the best one known, a usual pipeline."""

import itertools
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from torch.nn.functional import kl_div, log_softmax
from torch.utils.data import DataLoader
from torchvision import transforms

from kd_core.config.trial import TrialConfig
from kd_core.networks.execution import build_optimizer, keep_freed_memory
from kd_core.stream.vicinal import VicinalStream, batch_slots
from kd_core.training.loop import Step, initial_student
from tests.benchmarks.harness import Turn, median_ratio, seconds_by_turns
from tests.benchmarks.random_data import NUM_CLASSES, random_dataset, random_signal

STUDENTS = ("mobilenetv2_050", "test_efficientnet")
TEACHER = "resnet18"
BATCH_SIZE, TEMPERATURE, NUM_STEPS = 128, 2.0, 4  # steps a turn
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
NUM_TRAIN = 40 * NUM_STEPS * BATCH_SIZE


def measure(num_repetitions: int = 25) -> dict[str, Any]:
    """Images a second of our kd_mixup step on a stored signal, from drawn slots to the update, over those of three
    loops of PyTorch: plain (on mixed images and teacher logits in memory), the best one known (that with channels last,
    fused AdamW and kept memory), and a usual DataLoader pipeline (PIL images, two workers, live teacher); 32 px, stems
    at stride 1, each on one thread in a process of its own, by turns."""
    figures: dict[str, Any] = {}
    for student in STUDENTS:
        loops = {"ours": our_turns, "plain": plain_turns, "best": best_turns, "dataloader": dataloader_turns}
        seconds = seconds_by_turns({name: partial(loop, student) for name, loop in loops.items()}, num_repetitions)
        for name, each in seconds.items():
            figures[f"{student}_{name}_images_per_s"] = NUM_STEPS * BATCH_SIZE / statistics.median(each)
            if name != "ours":
                figures[f"{student}_ours_over_{name}"] = median_ratio(each, seconds["ours"])
    return figures


def our_turns(student: str) -> Turn:
    """Each turn goes on in one epoch, as `kd_core.training.loop.train` does in a worker of a sweep."""
    keep_freed_memory()
    config = TrialConfig.model_validate(
        {
            "data": {"source": "cifar100"},
            "method": "kd_mixup",
            "teacher": {"model": TEACHER},
            "temperature": TEMPERATURE,
            "student": {"model": student, "stem_stride": 1},
            "train": {"epochs": 1, "batch_size": BATCH_SIZE},
        }
    )
    network = initial_student(config, NUM_CLASSES)
    network.train_whole()
    signal = random_signal(Path(tempfile.mkdtemp()), NUM_TRAIN, num_epochs=1)
    step = Step(config, network, build_optimizer(network, config.train), signal, "cpu")
    slots_of_steps = batch_slots(NUM_TRAIN, BATCH_SIZE)
    drawn = VicinalStream(0, NUM_TRAIN, config.mixup, config.view).epoch(1)
    source = random_dataset(NUM_TRAIN).train.views(config.view, "cpu")
    batches = zip(source.batches(drawn, slots_of_steps), slots_of_steps, strict=True)

    def turn() -> None:
        for batch, slots in itertools.islice(batches, NUM_STEPS):
            step(batch, 1, slots, config.train.learning_rate)

    return turn


def plain_turns(student: str) -> Turn:
    """A loop of plain PyTorch that is written for nothing else, on one batch in memory."""
    network = timm_network(student).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    images, teacher_logits = torch.randn(BATCH_SIZE, 3, 32, 32), torch.randn(BATCH_SIZE, NUM_CLASSES)
    return _repeated(lambda: distil(network, optimizer, images, teacher_logits))


def best_turns(student: str) -> Turn:
    """The same with all that is known to be faster on these cores."""
    keep_freed_memory()
    network = timm_network(student).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05, fused=True)
    images = torch.randn(BATCH_SIZE, 3, 32, 32).to(memory_format=torch.channels_last)
    teacher_logits = torch.randn(BATCH_SIZE, NUM_CLASSES)
    return _repeated(lambda: distil(network, optimizer, images, teacher_logits))


def dataloader_turns(student: str) -> Turn:
    """The usual pipeline: PIL images that two workers crop, flip and normalise, mixup in the loop, a live teacher."""
    network, teacher = timm_network(student).train(), timm_network(TEACHER).eval()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    crops = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    view = transforms.Compose([*crops, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    train = random_dataset(NUM_TRAIN).train
    pictures: Any = _Viewed([Image.fromarray(image) for image in train.images], view)
    batches = iter(DataLoader(pictures, BATCH_SIZE, shuffle=True, num_workers=2, prefetch_factor=1, drop_last=True))

    def turn() -> None:
        for images in itertools.islice(batches, NUM_STEPS):
            weight, partner = torch.rand(BATCH_SIZE, 1, 1, 1), torch.randperm(BATCH_SIZE)
            mixed = weight * images + (1 - weight) * images[partner]
            with torch.no_grad():
                teacher_logits = teacher(mixed)
            distil(network, optimizer, mixed, teacher_logits)

    return turn


class _Viewed:
    """Pictures under a random view, as DataLoader wants them."""

    def __init__(self, pictures: list[Image.Image], view: Callable[[Image.Image], torch.Tensor]) -> None:
        self.pictures, self.view = pictures, view

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.view(self.pictures[index])


def timm_network(model: str) -> Any:
    """A network as timm makes it, its stem at stride 1 and without pooling behind it."""
    torch.manual_seed(0)
    network: Any = timm.create_model(model, num_classes=NUM_CLASSES)
    network.get_submodule(network.default_cfg["first_conv"]).stride = (1, 1)
    if hasattr(network, "maxpool"):
        network.maxpool = torch.nn.Identity()
    return network


def distil(network: Any, optimizer: Any, images: torch.Tensor, teacher_logits: torch.Tensor) -> None:
    """One step of distillation in plain PyTorch."""
    student = log_softmax(network(images) / TEMPERATURE, dim=1)
    teacher = log_softmax(teacher_logits / TEMPERATURE, dim=1)
    loss = TEMPERATURE**2 * kl_div(student, teacher, reduction="batchmean", log_target=True)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _repeated(step: Callable[[], None]) -> Turn:
    def turn() -> None:
        for _ in range(NUM_STEPS):
            step()

    return turn
