"""Failure prediction: how well confidence tells a model's hits from its errors, on clean and on corrupted images."""

from collections.abc import Callable

import numpy as np

from kd_core.config.evaluation import EvaluateConfig
from kd_core.measure.calibration import area_under_risk_coverage
from kd_core.measure.detection import auroc, fpr95, maximum_probability
from kd_core.measure.selective import area_under_generalized_risk_coverage, excess_area_under_risk_coverage
from kd_core.reliability.evaluator import Evaluator, Figures, Model, Outputs
from kd_core.reliability.readings import readings

MEASURES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "augrc": area_under_generalized_risk_coverage,
    "aurc": area_under_risk_coverage,
    "excess_aurc": excess_area_under_risk_coverage,
    "fpr95": fpr95,
    "auroc": auroc,
}


def evaluate(model: Model, _teacher: Model | None, _options: EvaluateConfig) -> Figures:
    """MEASURES of confidence for correctness on clean images, and with _corrupted their means over all corruptions.

    fpr95 is the share of errors that is accepted where 95 % of the hits are. It and auroc leave out a set or a
    corruption of which all predictions, or none, are right.
    """
    for suffix, (temperature,) in readings(model):
        for kind, name in (("", "clean"), ("_corrupted", "corrupted")):
            for measure, value in _means(model.outputs[name], temperature).items():
                yield f"failures/{measure}{kind}{suffix}", value


def _means(outputs: Outputs, temperature: float) -> dict[str, float]:
    """Each measure, averaged over the sets [*axes] of images where it is defined; without those that are nowhere."""
    num_images = len(outputs.labels)
    confidence = maximum_probability(outputs.logits, temperature).reshape(-1, num_images)
    correct = (outputs.logits.argmax(axis=-1) == outputs.labels).reshape(-1, num_images)
    means = {}
    for name, measure in MEASURES.items():
        values = np.array([measure(*cell) for cell in zip(confidence, correct, strict=True)])
        if not np.isnan(values).all():
            means[name] = float(np.nanmean(values))
    return means


FAILURES = Evaluator(
    "failures",
    "Traub 2024 (AUGRC); Geifman 2019 (AURC, excess AURC); Hendrycks & Gimpel 2017 (AUROC of the confidence)",
    inputs=("clean", "corrupted"),
    evaluate=evaluate,
    headlines={"failures/augrc_corrupted": "AUGRC, corr."},
    objectives={"failures/augrc_corrupted": "min", "failures/augrc_corrupted_scaled": "min"},
)
