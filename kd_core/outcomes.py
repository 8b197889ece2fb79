"""What a model did on every image of a split, from which every later figure is derived without a GPU."""

from dataclasses import dataclass, fields
from io import BytesIO

import numpy as np
from scipy.special import softmax

from kd_core.calibration import (
    brier_score,
    expected_calibration_error,
    fit_temperature,
    mean,
    negative_log_likelihood,
)

RAW, SCALED = "raw", "temperature_scaled"
FIGURES = ("accuracy", "confidence", "gap", "ece", "nll", "brier")
_CHUNK = 4096  # samples whose float64 probabilities are held at once


@dataclass(frozen=True)
class Reading:
    """One way of reading logits as probabilities; one value an image [N]."""

    confidence: np.ndarray
    label_probability: np.ndarray
    nll: np.ndarray
    brier: np.ndarray


@dataclass(frozen=True)
class Outcomes:
    """One model on one split: label and prediction [N], a Reading for each way to read, the logits [N, K] if kept."""

    label: np.ndarray
    prediction: np.ndarray
    temperature: float
    readings: dict[str, Reading]
    logits: np.ndarray | None = None

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is right, boolean [N]."""
        return self.prediction == self.label


def read_logits(logits: np.ndarray, labels: np.ndarray) -> Reading:
    """The reading of logits [N, K] as they are, float64 inside, float32 outside."""
    parts = []
    for start in range(0, len(logits), _CHUNK):
        chunk, chunk_labels = logits[start : start + _CHUNK].astype(np.float64), labels[start : start + _CHUNK]
        nll = negative_log_likelihood(chunk, chunk_labels)
        parts.append((softmax(chunk, axis=1).max(axis=1), np.exp(-nll), nll, brier_score(chunk, chunk_labels)))
    return Reading(*(np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True)))


def outcomes_of(logits: np.ndarray, labels: np.ndarray, temperature: float, keep_logits: bool = True) -> Outcomes:
    """The outcomes of logits [N, K], raw and divided by a temperature that was fitted on validation."""
    logits = np.asarray(logits, dtype=np.float32)
    return Outcomes(
        label=np.asarray(labels, dtype=np.int64),
        prediction=logits.argmax(axis=1).astype(np.int64),
        temperature=temperature,
        readings={RAW: read_logits(logits, labels), SCALED: read_logits(logits / np.float32(temperature), labels)},
        logits=logits if keep_logits else None,
    )


def validation_and_test_outcomes(
    validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, Outcomes]:
    """Outcomes of both splits, each given as (logits, labels), at the temperature fitted on validation."""
    temperature = fit_temperature(*validation)
    return {"validation": outcomes_of(*validation, temperature), "test": outcomes_of(*test, temperature)}


def metrics_of(outcomes: Outcomes, reading: str = RAW, weights: np.ndarray | None = None) -> dict[str, float]:
    """accuracy, confidence, gap (confidence − accuracy), ece, nll and brier of one reading, weighted by weights [N]."""
    values, correct = outcomes.readings[reading], outcomes.correct
    accuracy, confidence = mean(correct, weights), mean(values.confidence, weights)
    return {
        "accuracy": accuracy,
        "confidence": confidence,
        "gap": confidence - accuracy,
        "ece": expected_calibration_error(values.confidence, correct, weights=weights),
        "nll": mean(values.nll, weights),
        "brier": mean(values.brier, weights),
    }


def figure_names(split: str) -> list[str]:
    """The names under which `summary_of` gives the figures of a split: `test/ece`, and `test/ece_scaled` after scaling.

    Accuracy does not change by temperature scaling and is given once.
    """
    raw = [f"{split}/{name}" for name in FIGURES]
    return raw + [f"{name}_scaled" for name in raw if name != f"{split}/accuracy"]


def summary_of(splits: dict[str, Outcomes]) -> dict[str, float]:
    """Every figure of a finished model, flat, by the names of `figure_names`."""
    summary: dict[str, float] = {}
    for split, outcomes in splits.items():
        raw, scaled = metrics_of(outcomes, RAW), metrics_of(outcomes, SCALED)
        values = {f"{split}/{name}": value for name, value in raw.items()}
        values |= {f"{split}/{name}_scaled": value for name, value in scaled.items()}
        summary |= {name: values[name] for name in figure_names(split)}
    return summary


def outcomes_to_bytes(outcomes: Outcomes) -> bytes:
    """The .npz file of outcomes: label, prediction, temperature, `<reading>/<value>`, and logits if kept."""
    arrays = {"label": outcomes.label, "prediction": outcomes.prediction, "temperature": outcomes.temperature}
    for name, reading in outcomes.readings.items():
        arrays |= {f"{name}/{field.name}": getattr(reading, field.name) for field in fields(Reading)}
    if outcomes.logits is not None:
        arrays["logits"] = outcomes.logits
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def outcomes_from_bytes(content: bytes, with_logits: bool = False) -> Outcomes:
    """Outcomes from the bytes of their .npz file; the logits only when asked for."""
    with np.load(BytesIO(content), allow_pickle=False) as arrays:
        names = dict.fromkeys(key.split("/")[0] for key in arrays.files if "/" in key)
        return Outcomes(
            label=arrays["label"],
            prediction=arrays["prediction"],
            temperature=float(arrays["temperature"]),
            readings={
                name: Reading(**{field.name: arrays[f"{name}/{field.name}"] for field in fields(Reading)})
                for name in names
            },
            logits=arrays["logits"] if with_logits and "logits" in arrays.files else None,
        )
