"""A small store with the records of a sweep, from seeded random logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kd_core.config.trial import TrialConfig
from kd_core.measure.predictions import Predictions, summary_of, validation_and_test_predictions
from kd_core.store.product import Product
from kd_core.store.records import Store
from kd_core.store.writer import ProductWriter
from tests import products
from tests.answers import write_answers

NUM_CLASSES = 5
DIGITS = {"source": "digits"}
TRAIN = {"epochs": 3}
OBJECTIVES = {"validation/accuracy": "max", "validation/ece": "min"}
ARMS = [
    {"method": "classic"},
    {"method": "mixup"},
    {"method": "kd", "teacher": "resnet", "temperature": 2},
    {"method": "kd_mixup", "teacher": "resnet", "temperature": "sigma", "alpha": 0.2},
]


def random_predictions(
    generator: np.random.Generator, margin: float, sharpness: float, size: int, standardized: bool = False
) -> dict[str, Predictions]:
    """Predictions of a random model, on the same labels for all; margin raises accuracy, sharpness confidence."""

    def split(seed: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.random.default_rng(seed).integers(NUM_CLASSES, size=size)
        logits = generator.normal(size=(size, NUM_CLASSES)) + margin * np.eye(NUM_CLASSES)[labels]
        return (sharpness * logits).astype(np.float32), labels

    return validation_and_test_predictions(split(1), split(2), standardized)


def finish(record: Product, config: TrialConfig, splits: dict[str, Predictions]) -> None:
    """Write a record as a trial of three epochs that ended with these predictions."""
    writer, metrics = ProductWriter(record, config.model_dump(mode="json")), summary_of(splits)
    for epoch in range(1, config.train.epochs + 1):
        share = 1 - 0.5**epoch
        row = {"epoch": epoch, "time": 1.7e9 + epoch, "train/loss": 1 / epoch}
        writer.append(
            row | {f"validation/{name}": share * metrics[f"validation/{name}"] for name in ("accuracy", "ece", "nll")}
        )
    products.finish(record, None, splits, writer=writer, metrics=metrics, temperature=splits["test"].temperature)


def label_of(arm: dict[str, Any]) -> str:
    """The readable name of an arm, as sweeps writes it."""
    words = [arm["method"], arm.get("teacher", "")]
    words += [f"T={arm['temperature']}"] if "temperature" in arm else []
    words += [f"alpha={arm['alpha']}"] if "alpha" in arm else []
    return " ".join(word for word in words if word)


def write_sweep(
    root: Path,
    arms: list[dict[str, Any]] = ARMS,
    teachers: tuple[str, ...] = ("resnet",),
    seeds: tuple[int, ...] = (0, 1),
    size: int = 200,
    unfinished: tuple[str, ...] = (),
    fused: dict[str, Any] | None = None,
) -> Store:
    """A store whose sweep `demo` has finished every arm and seed; the trials labelled in unfinished have failed.

    fused are the members and the rule of a fused teacher, `both`, which nobody learns from.
    """
    store, generator = Store.at(root), np.random.default_rng(0)
    configs = {name: {"model": f"{name}18", "finetune": TRAIN} for name in teachers}
    for name in teachers:
        trial = TrialConfig(data=DIGITS, method="classic", student={"model": f"{name}18"}, train=TRAIN)
        finish(store.teacher(f"teacher-{name}"), trial, random_predictions(generator, 3.0, 1.6, size))
    members: list[dict[str, Any]] = []
    for number, arm in enumerate(arms):
        margin, sharpness = generator.uniform(1.6, 2.6), generator.uniform(0.7, 1.9)
        for seed in seeds:
            name = label_of(arm)
            label, key = f"{name} seed {seed}", f"trial-{number}-{seed}"
            recipe = {"data": DIGITS, "student": {"model": "tiny"}, "train": TRAIN, "seed": seed} | arm
            config = TrialConfig.model_validate(
                recipe | ({"teacher": configs[arm["teacher"]]} if "teacher" in arm else {})
            )
            members.append({"key": key, "label": label, "arm": name, "teacher": arm.get("teacher"), "seed": seed})
            if label in unfinished:
                ProductWriter(store.trial(key), config.model_dump(mode="json"))
                store.trial(key).fail("FloatingPointError: the loss is nan at epoch 2", "Traceback …")
            else:
                standardized = not config.has_logit_scale
                finish(store.trial(key), config, random_predictions(generator, margin, sharpness, size, standardized))
    listed = [{"name": name, "key": f"teacher-{name}"} for name in teachers]
    content = {"sweep": "demo", "objectives": OBJECTIVES, "teachers": listed, "trials": members}
    content["fused"] = [{"name": "both", "key": "teachers-both"} | fused] if fused else []
    products.write_members(store.sweep("demo"), "name: demo\n", content)
    return store


@pytest.fixture
def make_sweep(tmp_path: Path) -> Callable[..., Store]:
    """`write_sweep` into this test's own folder."""
    return lambda **choices: write_sweep(tmp_path / "runs", **choices)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Four arms by two seeds and one teacher, shared by a module's tests that only read; one trial failed."""
    return write_sweep(tmp_path_factory.mktemp("store"), unfinished=("mixup seed 1",))


@pytest.fixture(scope="session")
def evaluated_store(once: Callable[[str, Callable[[Path], object]], Path]) -> Store:
    """Four arms by two seeds and one teacher, all of them evaluated; only to be read."""
    return Store.at(once("evaluated", lambda folder: write_answers(write_sweep(folder))))
