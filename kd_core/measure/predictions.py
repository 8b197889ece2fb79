"""Per-image results of a model on a split, from which all figures are derived later, without a GPU."""

import threading
from dataclasses import dataclass, fields, replace
from io import BytesIO
from typing import Any

import numpy as np
import scipy

from kd_core.measure.balanced import balanced_accuracy
from kd_core.measure.calibration import (
    area_under_risk_coverage,
    brier_score,
    classwise_ece,
    equal_mass_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
    mean,
    negative_log_likelihood,
)
from kd_core.measure.conformal import conformal_sets, cross_conformal_sets
from kd_core.measure.names import ACCURACIES, SUMMARY_FIGURES
from kd_core.measure.scaling import fit_temperature
from kd_core.measure.selective import area_under_generalized_risk_coverage

RAW, SCALED, STANDARDIZED = "raw", "temperature_scaled", "standardized"
SUFFIXES = {RAW: "", SCALED: "_scaled", STANDARDIZED: "_standardized"}  # of the figure names of each reading
_CHUNK = 4096  # samples whose float64 probabilities are held at once
_PARSING = threading.Lock()  # numpy parses headers as Python, which two threads of Python 3.11 cannot do at once


@dataclass(frozen=True)
class Reading:
    """One conversion of logits to probabilities: values per image [N], and the class-wise ECE if requested.

    set_size and in_set: how many classes the image's conformal set holds (float32), and whether its label is one
    (boolean); not in records of older versions.
    """

    confidence: np.ndarray
    label_probability: np.ndarray
    nll: np.ndarray
    brier: np.ndarray
    classwise_ece: float | None = None
    set_size: np.ndarray | None = None
    in_set: np.ndarray | None = None

    def stored_figures(self) -> dict[str, float]:
        """Those of STORED_FIGURES that the reading has."""
        figures = {} if self.classwise_ece is None else {"classwise_ece": self.classwise_ece}
        for name, values in (("set_size", self.set_size), ("set_coverage", self.in_set)):
            figures |= {} if values is None else {name: mean(values)}
        return figures


@dataclass(frozen=True)
class Predictions:
    """Results of a model on a split: label and prediction [N], its readings by name, the logits [N, K] if kept."""

    label: np.ndarray
    prediction: np.ndarray
    temperature: float
    readings: dict[str, Reading]
    logits: np.ndarray | None = None

    @property
    def correct(self) -> np.ndarray:
        """Whether each prediction is right, boolean [N]."""
        return self.prediction == self.label


def read_logits(logits: np.ndarray, labels: np.ndarray, classwise: bool = False) -> Reading:
    """The reading of logits [N, K], computed in float64 and returned in float32.

    classwise adds the class-wise ECE, which takes one pass over the samples per class.
    """
    parts = []
    for start in range(0, len(logits), _CHUNK):
        chunk, chunk_labels = logits[start : start + _CHUNK].astype(np.float64), labels[start : start + _CHUNK]
        nll = negative_log_likelihood(chunk, chunk_labels)
        parts.append(
            (scipy.special.softmax(chunk, axis=1).max(axis=1), np.exp(-nll), nll, brier_score(chunk, chunk_labels))
        )
    values = (np.concatenate(column).astype(np.float32) for column in zip(*parts, strict=True))
    return Reading(
        *values, classwise_ece=classwise_ece(scipy.special.softmax(logits, axis=1), labels) if classwise else None
    )


def standardize(logits: np.ndarray) -> np.ndarray:
    """Logits [N, K] with mean 0 and standard deviation 1 over each sample's classes; constant rows become 0.

    The loss of a student trained on logits divided by their own deviation (Choi 2023; Sun 2024) fixes no other scale.
    No logit exceeds √(K − 1), which limits the confidence, to 0.76 for ten classes.
    """
    centred = logits - logits.mean(axis=1, keepdims=True)
    return centred / np.maximum(centred.std(axis=1, keepdims=True), np.finfo(centred.dtype).tiny)


def predictions_of(
    logits: np.ndarray,
    labels: np.ndarray,
    temperature: float,
    keep_logits: bool = True,
    standardized: bool = False,
    classwise: bool = False,
) -> Predictions:
    """The predictions of logits [N, K], raw and divided by a temperature that was fitted on validation.

    standardized adds the standardized reading, classwise the class-wise ECE of each.
    """
    logits = np.asarray(logits, dtype=np.float32)
    read = _read(logits, temperature, standardized)
    return Predictions(
        label=np.asarray(labels, dtype=np.int64),
        prediction=logits.argmax(axis=1).astype(np.int64),
        temperature=temperature,
        readings={name: read_logits(each, labels, classwise) for name, each in read.items()},
        logits=logits if keep_logits else None,
    )


def _read(logits: np.ndarray, temperature: float, standardized: bool) -> dict[str, np.ndarray]:
    """The logits [N, K] of each reading."""
    read = {RAW: logits, SCALED: logits / np.float32(temperature)}
    return read | ({STANDARDIZED: standardize(logits)} if standardized else {})


def validation_and_test_predictions(
    validation: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray], standardized: bool = False
) -> dict[str, Predictions]:
    """Predictions of both splits, each given as (logits, labels), at the temperature fitted on validation.

    Conformal sets of test images are calibrated on validation, those of validation images on its other half.
    """
    temperature = fit_temperature(*validation)
    given = {"validation": validation, "test": test}
    splits = {
        name: predictions_of(*split, temperature, standardized=standardized, classwise=True)
        for name, split in given.items()
    }
    read = {
        name: _read(np.asarray(logits, dtype=np.float32), temperature, standardized)
        for name, (logits, _) in given.items()
    }
    for reading in read["test"]:
        probabilities = {name: scipy.special.softmax(logits[reading], axis=1) for name, logits in read.items()}
        sets = {
            "validation": cross_conformal_sets(probabilities["validation"], validation[1]),
            "test": conformal_sets((probabilities["validation"], validation[1]), (probabilities["test"], test[1])),
        }
        for name, (set_size, in_set) in sets.items():
            readings = splits[name].readings
            readings[reading] = replace(readings[reading], set_size=set_size, in_set=in_set)
    return splits


def metrics_of(predictions: Predictions, reading: str = RAW, weights: np.ndarray | None = None) -> dict[str, float]:
    """The FIGURES of one reading, weighted by weights [N]; gap is confidence − accuracy, nll is in nats.

    ece and mce are over bins of equal width, ece_debiased is the ℓ2 error over bins of equal mass.
    """
    values, correct = predictions.readings[reading], predictions.correct
    accuracy, confidence = mean(correct, weights), mean(values.confidence, weights)
    return {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy(correct, predictions.label, weights),
        "confidence": confidence,
        "gap": confidence - accuracy,
        "ece": expected_calibration_error(values.confidence, correct, weights=weights),
        "ece_debiased": equal_mass_calibration_error(values.confidence, correct, weights=weights),
        "mce": maximum_calibration_error(values.confidence, correct, weights=weights),
        "nll": mean(values.nll, weights),
        "brier": mean(values.brier, weights),
        "aurc": area_under_risk_coverage(values.confidence, correct, weights),
        "augrc": area_under_generalized_risk_coverage(values.confidence, correct, weights),
    }


def figure_names(split: str, standardized: bool = False) -> list[str]:
    """The names of the figures of a split in `summary_of`: `test/ece`, and `test/ece_scaled` after scaling.

    A standardized reading adds `test/ece_standardized`. ACCURACIES are the same in every reading and listed once.
    """
    readings = (RAW, SCALED, STANDARDIZED) if standardized else (RAW, SCALED)
    return [
        f"{split}/{name}{SUFFIXES[reading]}"
        for reading in readings
        for name in SUMMARY_FIGURES
        if name not in ACCURACIES or reading == RAW
    ]


def summary_of(splits: dict[str, Predictions]) -> dict[str, float]:
    """All figures of a finished model by the names of `figure_names`; STORED_FIGURES only if they were stored."""
    summary: dict[str, float] = {}
    for split, predictions in splits.items():
        values: dict[str, float] = {}
        for reading, stored in predictions.readings.items():
            figures = metrics_of(predictions, reading)
            figures |= stored.stored_figures()
            values |= {f"{split}/{name}{SUFFIXES[reading]}": value for name, value in figures.items()}
        names = figure_names(split, standardized=STANDARDIZED in predictions.readings)
        summary |= {name: values[name] for name in names if name in values}
    return summary


def predictions_to_bytes(predictions: Predictions) -> bytes:
    """Predictions as an .npz file: label, prediction, temperature, `<reading>/<value>`, and logits if kept."""
    arrays = {"label": predictions.label, "prediction": predictions.prediction, "temperature": predictions.temperature}
    for name, reading in predictions.readings.items():
        arrays |= {f"{name}/{value}": array for value, array in vars(reading).items() if array is not None}
    if predictions.logits is not None:
        arrays["logits"] = predictions.logits
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def predictions_from_bytes(content: bytes, with_logits: bool = False) -> Predictions:
    """Predictions from the bytes of their .npz file; the logits only if with_logits is set."""
    with _PARSING, np.load(BytesIO(content), allow_pickle=False) as arrays:
        names = dict.fromkeys(key.split("/")[0] for key in arrays.files if "/" in key)
        return Predictions(
            label=arrays["label"],
            prediction=arrays["prediction"],
            temperature=float(arrays["temperature"]),
            readings={name: _reading(arrays, name) for name in names},
            logits=arrays["logits"] if with_logits and "logits" in arrays.files else None,
        )


def _reading(arrays: Any, name: str) -> Reading:
    keys = {field.name: f"{name}/{field.name}" for field in fields(Reading)}
    stored = {value: arrays[key][()] for value, key in keys.items() if key in arrays.files}  # [()] makes 0-d a number
    return Reading(**stored)
