"""Images of other classes: how well confidence and energy tell them from test images."""

import numpy as np

from kd_core.config.evaluation import EvaluateConfig
from kd_core.measure.detection import auroc, fpr95, maximum_probability, negative_energy
from kd_core.reliability.evaluator import Evaluator, Figures, Model
from kd_core.reliability.readings import readings

SCORES = {"": maximum_probability, "_energy": negative_energy}


def evaluate(model: Model, _teacher: Model | None, _options: EvaluateConfig) -> Figures:
    """AUROC of clean against outside images, and the share of these that is accepted where 95 % of the clean ones are.

    Both by the greatest probability and, with _energy, by the energy; nothing if no images of other classes are given.
    """
    if "outside" not in model.outputs:
        return
    logits = np.concatenate([model.outputs[name].logits for name in ("clean", "outside")])
    inside = np.arange(len(logits)) < len(model.outputs["clean"].logits)
    for suffix, (temperature,) in readings(model):
        for kind, score_of in SCORES.items():
            score = score_of(logits, temperature)
            yield f"ood/auroc{kind}{suffix}", auroc(score, inside)
            yield f"ood/fpr95{kind}{suffix}", fpr95(score, inside)


OOD = Evaluator(
    "ood",
    "Hendrycks & Gimpel 2017 (greatest probability); Liu 2020 (energy)",
    inputs=("clean", "outside"),
    evaluate=evaluate,
    headlines={"ood/auroc": "AUROC, other"},
    objectives={"ood/auroc": "max", "ood/auroc_energy": "max"},
)
