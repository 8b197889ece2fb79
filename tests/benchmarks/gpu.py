"""How fast the paper's largest teacher distils on a GPU."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from kd_core.config.networks import TeacherConfig
from kd_core.config.trial import TrialConfig
from kd_core.networks.models import build_teacher
from kd_core.teachers.signal import LiveSignal, TeacherSignal
from kd_core.training.loop import train
from tests.benchmarks.random_data import NUM_CLASSES, random_dataset, random_signal

PAPER_IMAGES_PER_S = 342  # ConvNeXt-L to ResNet-50 on an H200, by the authors' log
TEACHER = TeacherConfig(model="convnext_large", image_size=224, precision="bfloat16")
STUDENTS = ("resnet50", "mobilenetv2_100")
BATCH_SIZE = 200
NUM_EPOCHS = 2  # the first warms up


def measure(num_steps: int = 30) -> dict[str, Any]:
    """Training images a second of kd_mixup from ConvNeXt-L at 224 px in bfloat16, batches of 200, with a live and a
    stored signal; the images are of 32 px and the weights random, which changes no speed."""
    if not torch.cuda.is_available():
        return {"skipped": "no CUDA device"}
    num_train = num_steps * BATCH_SIZE
    figures: dict[str, Any] = {"paper_images_per_s": PAPER_IMAGES_PER_S}
    with tempfile.TemporaryDirectory() as name:
        stored = random_signal(Path(name), num_train, NUM_EPOCHS)
        live = LiveSignal(build_teacher(TEACHER, NUM_CLASSES).to("cuda"), TEACHER.precision)
        for student in STUDENTS:
            live_images_per_s, stored_images_per_s = (images_per_s(student, num_train, each) for each in (live, stored))
            figures |= {
                f"{student}_stored_over_live": stored_images_per_s / live_images_per_s,
                f"{student}_live_images_per_s": live_images_per_s,
                f"{student}_stored_images_per_s": stored_images_per_s,
            }
    return figures | {"resnet50_live_over_paper": figures["resnet50_live_images_per_s"] / PAPER_IMAGES_PER_S}


def images_per_s(student: str, num_train: int, signal: TeacherSignal) -> float:
    """Training images a second of the last epoch of a trial, validation aside."""
    config = TrialConfig.model_validate(
        {
            "data": {"source": "cifar100"},
            "method": "kd_mixup",
            "teacher": TEACHER,
            "student": {"model": student, "image_size": TEACHER.image_size},
            "train": {"epochs": NUM_EPOCHS, "batch_size": BATCH_SIZE, "precision": "bfloat16"},
        }
    )
    epochs = train(config, random_dataset(num_train, BATCH_SIZE), signal, device="cuda")
    return [epoch.figures["train/images_per_s"] for epoch in epochs][-1]
