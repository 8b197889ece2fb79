"""A tiny dataset, a tiny trial, and one thread, so that every number is the same on every run."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings

from kd_core.config.data import DataConfig
from kd_core.config.networks import TeacherConfig
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset, Split, load
from kd_core.methods.method import UNLABELLED
from kd_core.methods.registry import METHODS
from kd_core.networks.models import build_teacher
from kd_core.teachers.signal import LiveSignal

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

DATA = {"source": "digits", "limit": 120}
STUDENT = {"model": "test_efficientnet", "bottleneck": 16, "image_size": 16, "stem_stride": 1}
TEACHER = {"model": "test_efficientnet", "image_size": 16}


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Starts real processes, to be killed, that share one import of torch: `processes.Process(target=...)`."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["kd_core.training.trial", "kd_core.teachers.labelling", "sklearn.datasets", "torch._dynamo"]
    )
    return context


@pytest.fixture(scope="session")
def digits() -> Dataset:
    """108 train, 12 validation and 359 test images of 8×8 pixels."""
    return load(DataConfig.model_validate(DATA))


@pytest.fixture(scope="session")
def half_labelled(digits: Dataset) -> Dataset:
    """The digits with 60 labelled training images and 47 without a label."""
    labels = np.where(np.arange(107) < 60, digits.train.labels[:107], UNLABELLED)
    return replace(digits, train=Split(digits.train.images[:107], labels), fingerprint="half+other half")


@pytest.fixture(scope="session")
def trial() -> Callable[..., TrialConfig]:
    """A config of three epochs on the tiny dataset: `trial("kd", temperature=4, train={"optimizer": "sgd"})`."""

    def build(method: str = "classic", *, train: dict[str, Any] | None = None, **edits: Any) -> TrialConfig:
        recipe = {"epochs": 3, "batch_size": 32} | (train or {})
        teacher = {} if METHODS[method].teacherless else {"teacher": TEACHER}
        content = {"data": DATA, "student": STUDENT, "method": method, "train": recipe} | teacher | edits
        return TrialConfig.model_validate(content)

    return build


@pytest.fixture(scope="session")
def signal() -> LiveSignal:
    """A teacher of random weights."""
    torch.manual_seed(7)
    return LiveSignal(build_teacher(TeacherConfig.model_validate(TEACHER), num_classes=10))


@pytest.fixture(scope="session")
def config_of() -> Callable[..., TrialConfig]:
    """A config as YAML would give it, with dotted edits: `config_of("kd", **{"train.epochs": 5})`."""

    def build(method: str = "kd_mixup", **edits: Any) -> TrialConfig:
        return TrialConfig.model_validate(content(method, **edits))

    return build


def content(method: str, **edits: Any) -> dict[str, Any]:
    """A trial as YAML would give it, with dotted edits: `content(**{"train.epochs": 5})`."""
    value = {
        "data": {"source": "folder", "path": "/data"},
        "method": method,
        "student": {"model": "mobilenetv2_100", "bottleneck": 256},
        "train": {"epochs": 2},
    }
    if method.startswith("kd"):
        value["teacher"] = {"model": "resnet18", "finetune": {"epochs": 1}}
    for key, edit in edits.items():
        *groups, name = key.split(".")
        group = value
        for each in groups:
            group = group.setdefault(each, {})
        group[name] = edit
    return value
