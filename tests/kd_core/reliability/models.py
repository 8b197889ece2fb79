"""Small models of every set of inputs, for the tests of the evaluators."""

from dataclasses import replace
from typing import Any

import numpy as np

from kd_core.config.evaluation import EvaluateConfig
from kd_core.reliability.evaluator import Evaluator, Model, Outputs

CLASSES, IMAGES, PAIRS = 4, 60, 40
LAMBDAS = tuple(np.linspace(0, 1, 5))
OPTIONS = EvaluateConfig(resamples=200)
LABELS = np.random.default_rng(0).integers(0, CLASSES, IMAGES)


def model(seed: int = 0, scale: float = 1.0, temperature: float = 1.5) -> Model:
    """A model whose logits of all sets follow from the seed, multiplied by scale; it is right of most clean images."""
    generator = np.random.default_rng(seed)
    hint = 2 * np.eye(CLASSES)[LABELS]

    def outputs(labels: np.ndarray, hint: Any = 0.0, features: Any = None, **axes: Any) -> Outputs:
        shape = (*map(len, axes.values()), len(labels), CLASSES)
        return Outputs((scale * (generator.normal(size=shape) + hint)).astype(np.float32), labels, axes, features)

    sets = {
        "clean": outputs(LABELS, hint),
        "mixed": outputs(generator.integers(0, CLASSES, (PAIRS, 2)), **{"lambda": LAMBDAS}),
        "near": outputs(LABELS, hint, draw=(0, 1, 2)),
        "corrupted": outputs(LABELS, hint / 2, corruption=("fog", "contrast"), severity=(1, 2, 3)),
        "outside": outputs(np.full(IMAGES, -1)),
    }
    return Model(sets, temperature)


def changed(model: Model, name: str, logits: np.ndarray) -> Model:
    """The model with other logits of one set of inputs."""
    outputs = replace(model.outputs[name], logits=logits.astype(np.float32))
    return replace(model, outputs={**model.outputs, name: outputs})


def figures(
    evaluator: Evaluator, model: Model, teacher: Model | None = None, options: EvaluateConfig = OPTIONS
) -> dict[str, Any]:
    """All that an evaluator yields, by name; no name twice."""
    pairs = list(evaluator.evaluate(model, teacher, options))
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def metrics(figures: dict) -> dict[str, float]:
    """Those that are numbers; their names start with that of an evaluator, the arrays' names do not."""
    assert all(("/" in name) == isinstance(value, float) for name, value in figures.items())
    return {name: value for name, value in figures.items() if isinstance(value, float)}


def assert_finite(figures: dict) -> None:
    """Every number and every array of numbers is finite."""
    for name, value in figures.items():
        assert np.asarray(value).dtype.kind == "U" or np.isfinite(value).all(), name
