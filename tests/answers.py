"""Answers of the real evaluators to made-up outputs, written to a store as if its models had been evaluated."""

import numpy as np

from analysis.snapshot import read_sweep
from kd_core.config.evaluation import EvaluateConfig
from kd_core.evaluate.corruptions import CORRUPTIONS
from kd_core.reliability.evaluator import Model, Outputs
from kd_core.reliability.registry import EVALUATORS
from kd_core.store.index import EvaluationIndex
from kd_core.store.records import Store
from tests.products import MACHINE

CONFIG = EvaluateConfig(images=40, pairs=30, lambdas=5, draws=2, resamples=50)
NAMES = ("cat", "dog", "eel", "fox", "gnu")


def model_of(seed: int) -> Model:
    """A model that is more or less right, on the same labels for all."""
    random, labels = np.random.default_rng(seed), np.random.default_rng(0).integers(5, size=40)
    pairs = np.random.default_rng(1).integers(5, size=(30, 2))
    skill = 2 + (seed % 3)

    def logits(shape: tuple[int, ...], right: np.ndarray) -> np.ndarray:
        return (random.normal(size=(*shape, 5)) + skill * np.eye(5)[right]).astype(np.float32)

    axes = {"corruption": tuple(CORRUPTIONS), "severity": (1, 2, 3, 4, 5)}
    outputs = {
        "clean": Outputs(logits((40,), labels), labels, features=random.normal(size=(40, 6)).astype(np.float32)),
        "mixed": Outputs(logits((5, 30), pairs[:, 0]), pairs, {"lambda": (0.0, 0.25, 0.5, 0.75, 1.0)}),
        "near": Outputs(logits((2, 40), labels), labels, {"draw": (0, 1)}),
        "corrupted": Outputs(logits((6, 5, 40), labels), labels, axes),
        "outside": Outputs(logits((40,), labels), np.full(40, -1)),
    }
    return Model(outputs, 1.5, NAMES)


def write_answers(store: Store, name: str = "demo") -> None:
    """Answer every evaluator about each finished teacher and trial of a sweep."""
    snapshot, answers = read_sweep(store, name), {}
    teacher = model_of(100)
    for number, member in enumerate((*snapshot.teachers, *snapshot.trials)):
        if member.manifest is None:
            continue
        taught = teacher if getattr(member.entry, "teacher", None) else None
        asked = model_of(number) if number else teacher
        for evaluator in EVALUATORS.values():
            record = store.evaluation(f"{evaluator.name}-{member.key}")
            figures = dict(evaluator.evaluate(asked, taught, CONFIG))
            metrics = {key: float(value) for key, value in figures.items() if np.ndim(value) == 0}
            record.write({}, {key: value for key, value in figures.items() if np.ndim(value)}, metrics, MACHINE)
            answers.setdefault(member.key, {})[evaluator.name] = record.key
    store.sweep(name).write_evaluations(EvaluationIndex(config=CONFIG, answers=answers))
