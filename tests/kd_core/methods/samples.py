"""Logits, labels and a method's loss on them, beside the same loss computed sample by sample from a formula."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import entropy

from kd_core.methods.method import Batch
from kd_core.methods.registry import METHODS
from kd_core.stream.vicinal import VicinalBatch

NUM, CLASSES = 8, 6
in_every_setting = pytest.mark.parametrize(
    ("temperature", "mixed"), [(temperature, mixed) for temperature in (1.0, 2.0, 4.0) for mixed in (True, False)]
)


def logits(seed: int, scale: float = 3.0) -> torch.Tensor:
    """Normal ones, float64 [NUM, CLASSES]."""
    return scale * torch.randn(NUM, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch(mixed: bool = True) -> VicinalBatch:
    """Labels, partners and λ, with one unmixed sample."""
    labels, partners = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1]), torch.tensor([1, 0, 2, 5, 0, 3, 4, 2])
    weight = torch.tensor([0.3, 0.7, 0.2, 1.0, 0.5, 0.9, 0.05, 0.6]) if mixed else torch.ones(NUM)
    return VicinalBatch(torch.zeros(NUM, 3, 1, 1), labels, partners, weight.double())


def swapped(images: VicinalBatch) -> VicinalBatch:
    """The same labels, told from the partner's side."""
    return VicinalBatch(images.images, images.partner_labels, images.labels, 1 - images.mixup_lambda)


def label_of(sample: int, mixed: bool = True) -> np.ndarray:
    """The mixed label of a sample as a distribution, the slow way."""
    whole, label = batch(mixed), np.zeros(CLASSES)
    label[int(whole.labels[sample])] += float(whole.mixup_lambda[sample])
    label[int(whole.partner_labels[sample])] += 1 - float(whole.mixup_lambda[sample])
    return label


def kl(teacher: Any, student: Any) -> float:
    """KL(teacher ‖ student) of two distributions."""
    return float(entropy(teacher, student))


def loss_of(
    name: str,
    student: torch.Tensor,
    teacher: torch.Tensor,
    temperature: float | str | None = None,
    images: Batch | None = None,
    **options: float,
) -> torch.Tensor:
    """The loss of a method, on mixed images and with its own temperature and options unless given."""
    method = METHODS[name]
    assert method.loss is not None
    given = method.options(**options) if method.options is not None else None
    return method.loss(student, teacher, images or batch(), temperature or method.temperature, given)


def loss_and_formula(
    name: str, formula: Callable[..., float], temperature: float, mixed: bool = True, **options: float
) -> tuple[float, float]:
    """The loss of a method, and the mean of formula(student, teacher, temperature, label, options) over its samples."""
    student, teacher = logits(0), logits(1)
    rows = enumerate(zip(student.numpy(), teacher.numpy(), strict=True))
    slow = [formula(*row, temperature, label_of(sample, mixed), **options) for sample, row in rows]
    return float(loss_of(name, student, teacher, temperature, batch(mixed), **options)), float(np.mean(slow))
