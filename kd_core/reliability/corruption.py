"""Corruption: accuracy and calibration of a model on corrupted test images."""

import numpy as np

from kd_core.config.evaluation import EvaluateConfig
from kd_core.measure.absolute_gaps import absolute_gap_draws
from kd_core.measure.calibration import NUM_BINS, expected_calibration_error
from kd_core.measure.detection import maximum_probability
from kd_core.measure.resampling import gaps_by_bin, resample_counts, resampled_means
from kd_core.reliability.evaluator import Evaluator, Figures, Model, Outputs
from kd_core.reliability.readings import readings, with_interval


def evaluate(model: Model, _teacher: Model | None, options: EvaluateConfig) -> Figures:
    """Accuracy and ECE (Medina 2026, table 7; Hendrycks & Dietterich 2019), as fractions, on C corruptions.

    - arrays accuracy, ece and ece_scaled [C, S] of each of S severities, accuracy_mean, ece_mean and ece_scaled_mean
      [C], over the severities of each; corruption and severity name the cells
    - metrics accuracy, ece and ece_scaled: the mean over all cells, and with clean_, of the images before corruption
    - the arrays correct, boolean [C, S, N], and clean_correct [N], to compare models image by image

    - the arrays accuracy_draws, ece_draws and ece_scaled_draws [R] of these means over all cells

    Means have intervals over resamples of the images, the same images in all cells and of all models.
    """
    clean, corrupted = model.outputs["clean"], model.outputs["corrupted"]
    yield "corruption", np.array(corrupted.axes["corruption"])
    yield "severity", np.array(corrupted.axes["severity"])
    yield "correct", _correct(corrupted)
    yield "clean_correct", _correct(clean)
    counts = resample_counts(len(corrupted.labels), options.resamples, options.seed)
    yield from _accuracy(corrupted, counts)
    yield "corruption/clean_accuracy", float(_correct(clean).mean())
    for suffix, (temperature,) in readings(model):
        yield from _ece(corrupted, temperature, counts, suffix)
        confidence = maximum_probability(clean.logits, temperature)
        yield f"corruption/clean_ece{suffix}", expected_calibration_error(confidence, _correct(clean))


def _correct(outputs: Outputs) -> np.ndarray:
    """Whether each prediction is right, boolean [*axes, N]."""
    return outputs.logits.argmax(axis=-1) == outputs.labels


def _accuracy(outputs: Outputs, counts: np.ndarray) -> Figures:
    """Accuracy by corruption and severity, and its means with their intervals."""
    by_image = _correct(outputs).mean(axis=1)
    draws = resampled_means(by_image, counts)
    yield "accuracy", _correct(outputs).mean(axis=-1)
    yield from with_interval("accuracy_mean", by_image.mean(axis=-1), draws)
    yield "accuracy_draws", draws.mean(axis=1)
    yield from with_interval("corruption/accuracy", by_image.mean(), draws.mean(axis=1))


def _ece(outputs: Outputs, temperature: float, counts: np.ndarray, suffix: str) -> Figures:
    """ECE by corruption and severity, and its means with their intervals."""
    gaps = gaps_by_bin(maximum_probability(outputs.logits, temperature), _correct(outputs))
    resampled, observed = resampled_means(gaps, counts), gaps.mean(axis=-1)
    ece = np.abs(observed).sum(axis=-1)
    draws = [absolute_gap_draws(*each) for each in zip(observed, np.moveaxis(resampled, 1, 0), strict=True)]
    yield f"ece{suffix}", ece
    yield from with_interval(f"ece{suffix}_mean", ece.mean(axis=1), np.stack(draws, axis=1))
    cells = (observed.reshape(-1, NUM_BINS), resampled.reshape(len(counts), -1, NUM_BINS))
    of_mean = absolute_gap_draws(*cells)
    yield f"ece{suffix}_draws", of_mean
    yield from with_interval(f"corruption/ece{suffix}", ece.mean(), of_mean)


CORRUPTION = Evaluator(
    "corruption",
    "Hendrycks & Dietterich 2019; Medina 2026, table 7",
    inputs=("clean", "corrupted"),
    evaluate=evaluate,
    options=("resamples", "seed"),
    headlines={
        "corruption/accuracy": "accuracy, corr.",
        "corruption/ece": "ECE, corr.",
        "corruption/ece_scaled": "as shipped",
    },
    objectives={"corruption/accuracy": "max", "corruption/ece": "min", "corruption/ece_scaled": "min"},
    place=2,
)
