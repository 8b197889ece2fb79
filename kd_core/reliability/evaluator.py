"""What an evaluator is: figures of how far a model can be trusted, from what it said of some sets of inputs.

A model is run once on each set (`kd_core.evaluate.outputs`), however many evaluators read it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kd_core.config.evaluation import EvaluateConfig


@dataclass(frozen=True)
class Outputs:
    """What a model said of one set of inputs: logits float32 [*axes, N, K], of N images or pairs of images.

    The sets, with their axes and labels:

    - clean: test images; no axes, labels int64 [N], and features float32 [N, D], the input of the last layer
    - mixed: x̃ = λ·x_i + (1 − λ)·x_j of pairs of test images; axes lambda, a grid from 0 to 1 that is symmetric about
      ½, so that the other order of each pair is there too; labels int64 [N, 2] of x_i and x_j
    - near: test images with a little uniform noise; axes draw, labels int64 [N]
    - corrupted: corrupted test images; axes corruption (names) and severity (1 to 5), labels int64 [N]
    - outside: images of another source; no axes, labels −1 [N]
    """

    logits: np.ndarray
    labels: np.ndarray
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    features: np.ndarray | None = None


@dataclass(frozen=True)
class Model:
    """A teacher or student: its outputs by the name of the set, and the temperature fitted on validation.

    class_names [K] are empty where the data name no classes.
    """

    outputs: Mapping[str, Outputs]
    temperature: float
    class_names: tuple[str, ...] = ()


Figures = Iterator[tuple[str, float | np.ndarray]]
"""Pairs of a name and its value: a number is a metric, an array is kept beside the metrics.

A metric's name is the one it is listed under, so it starts with that of its evaluator: linearity/nonlinearity. Arrays
are kept by evaluator, so theirs do not: nonlinearity [L], the curve behind it. Endings are those of `kd_core.measure`:
_scaled after temperature scaling, then _low and _high for the ends of an interval of 95 %. A figure that is not defined
for a model is left out.
"""


@dataclass(frozen=True)
class Evaluator:
    """One way of asking how far a model can be trusted. It is found by the registry in the module that holds it."""

    name: str
    """the name of its module; its metrics are listed under NAME/"""
    source: str
    """the papers that define its figures"""
    inputs: tuple[str, ...]
    """the sets of inputs that it reads; it is asked about a model that has all of these"""
    evaluate: Callable[[Model, Model | None, EvaluateConfig], Figures]
    """the figures of a model beside its teacher; None for a teacher, or a student without one"""
    version: int = 1
    """raised whenever equal outputs give other figures"""
    options: tuple[str, ...] = ()
    """the fields of EvaluateConfig that it reads"""
    headlines: Mapping[str, str] = field(default_factory=dict, hash=False)
    """the few of its metrics that tables show, with the words above their columns"""
    objectives: Mapping[str, str] = field(default_factory=dict, hash=False)
    """its metrics that a report may take as objectives, each max or min"""
    place: int = 100
    """where it is listed; those of one place by name"""
