"""A tiny dataset, a tiny trial, and one thread, so that every number is the same on every run."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import settings

from kd_core.config import TEACHERLESS, DataConfig, TeacherConfig, TrialConfig
from kd_core.data import Dataset, load
from kd_core.models import build_teacher
from kd_core.signal import LiveSignal

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

DATA = {"source": "digits", "limit": 120}
STUDENT = {"model": "test_efficientnet", "bottleneck": 16, "image_size": 16, "stem_stride": 1}
TEACHER = {"model": "test_efficientnet", "image_size": 16}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """108 train, 12 validation and 359 test images of 8×8 pixels."""
    return load(DataConfig.model_validate(DATA))


@pytest.fixture(scope="session")
def trial() -> Callable[..., TrialConfig]:
    """A config of three epochs on the tiny dataset: `trial("kd", temperature=4, train={"optimizer": "sgd"})`."""

    def build(method: str = "classic", *, train: dict[str, Any] | None = None, **edits: Any) -> TrialConfig:
        recipe = {"epochs": 3, "batch_size": 32} | (train or {})
        teacher = {} if method in TEACHERLESS else {"teacher": TEACHER}
        content = {"data": DATA, "student": STUDENT, "method": method, "train": recipe} | teacher | edits
        return TrialConfig.model_validate(content)

    return build


@pytest.fixture(scope="session")
def signal() -> LiveSignal:
    """A teacher of random weights."""
    torch.manual_seed(7)
    return LiveSignal(build_teacher(TeacherConfig.model_validate(TEACHER), num_classes=10))
