import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from kd_core.measure.calibration import (
    area_under_risk_coverage,
    classwise_ece,
    equal_mass_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
)
from kd_core.measure.conformal import conformal_sets, cross_conformal_sets
from kd_core.measure.names import FIGURES
from kd_core.measure.predictions import (
    RAW,
    SCALED,
    STANDARDIZED,
    Predictions,
    Reading,
    figure_names,
    metrics_of,
    predictions_from_bytes,
    predictions_of,
    predictions_to_bytes,
    read_logits,
    standardize,
    summary_of,
    validation_and_test_predictions,
)
from kd_core.measure.scaling import fit_temperature
from kd_core.measure.selective import area_under_generalized_risk_coverage


def random_split(num: int = 200, scale: float = 4.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(5, size=num)
    logits = scale * (generator.normal(size=(num, 5)) + np.eye(5)[labels])
    return logits.astype(np.float32), labels


def equal(first: Predictions, second: Predictions) -> bool:
    readings = all(
        np.array_equal(getattr(first.readings[name], field.name), getattr(second.readings[name], field.name))
        for name in first.readings
        for field in fields(Reading)
    )
    arrays = np.array_equal(first.label, second.label) and np.array_equal(first.prediction, second.prediction)
    return arrays and readings and first.readings.keys() == second.readings.keys()


@pytest.mark.parametrize(("reading", "temperature"), [(RAW, 1.0), (SCALED, 2.5)])
def test_stored_predictions_give_the_figures_of_the_logits(reading, temperature):
    logits, labels = random_split()
    predictions = predictions_from_bytes(predictions_to_bytes(predictions_of(logits, labels, temperature=2.5)))
    scaled = logits.astype(np.float64) / temperature
    probabilities = softmax(scaled, axis=1)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = {
        "accuracy": correct.mean(),
        "balanced_accuracy": np.mean([correct[labels == k].mean() for k in np.unique(labels)]),
        "confidence": confidence.mean(),
        "gap": confidence.mean() - correct.mean(),
        "ece": expected_calibration_error(confidence, correct),
        "ece_debiased": equal_mass_calibration_error(confidence, correct),
        "mce": maximum_calibration_error(confidence, correct),
        "nll": -log_softmax(scaled, axis=1)[np.arange(200), labels].mean(),
        "brier": ((probabilities - np.eye(5)[labels]) ** 2).sum(axis=1).mean(),
        "aurc": area_under_risk_coverage(confidence.astype(np.float32), correct),
        "augrc": area_under_generalized_risk_coverage(confidence.astype(np.float32), correct),
    }
    assert tuple(expected) == FIGURES == tuple(metrics_of(predictions, reading))
    assert metrics_of(predictions, reading) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(
        predictions.readings[reading].label_probability, probabilities[np.arange(200), labels], atol=1e-6
    )


def test_integer_weights_equal_repetition_for_every_figure():
    logits, labels = random_split()
    counts = np.random.default_rng(1).integers(0, 4, 200)
    rows = np.random.default_rng(2).permutation(np.repeat(np.arange(200), counts))
    weighted = metrics_of(predictions_of(logits, labels, 1.0), weights=counts)
    assert weighted == pytest.approx(metrics_of(predictions_of(logits[rows], labels[rows], 1.0)), abs=1e-9)


def test_the_scaled_reading_is_that_of_the_divided_logits():
    logits, labels = random_split()
    predictions = predictions_of(logits, labels, temperature=4.0)
    expected = read_logits(logits / 4, labels)
    for field in fields(Reading):
        np.testing.assert_array_equal(getattr(predictions.readings[SCALED], field.name), getattr(expected, field.name))


def test_the_standardized_reading_is_that_of_logits_over_their_own_deviation():
    logits, labels = random_split()
    splits = validation_and_test_predictions((logits, labels), (logits, labels), standardized=True)
    assert list(splits["test"].readings) == [RAW, SCALED, STANDARDIZED]
    assert list(predictions_of(logits, labels, 1.0).readings) == [RAW, SCALED]
    reading = splits["test"].readings[STANDARDIZED]
    scaled = logits.astype(np.float64) / logits.astype(np.float64).std(axis=1, keepdims=True)
    probabilities = softmax(scaled, axis=1)
    np.testing.assert_allclose(reading.confidence, probabilities.max(axis=1), rtol=1e-5)
    np.testing.assert_allclose(reading.nll, -log_softmax(scaled, axis=1)[np.arange(200), labels], rtol=1e-4)
    assert reading.classwise_ece == pytest.approx(classwise_ece(probabilities, labels), abs=1e-6)


@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50), num_classes=st.integers(2, 30), seed=st.integers(0, 99))
def test_a_standardized_reading_knows_neither_scale_nor_shift(scale, shift, num_classes, seed):
    logits = np.random.default_rng(seed).normal(size=(6, num_classes))
    ours = standardize(scale * logits + shift)
    np.testing.assert_allclose(ours, standardize(logits), atol=1e-6)
    np.testing.assert_allclose(ours.std(axis=1), 1, atol=1e-9)
    assert (ours <= np.sqrt(num_classes - 1) + 1e-9).all()


@pytest.mark.parametrize("value", [0.0, 0.1, -7.3, 1e4])
def test_a_constant_row_reads_as_not_knowing(value):
    logits = np.full((1, 10), value, dtype=np.float32)
    assert read_logits(standardize(logits), np.array([3])).confidence == pytest.approx(0.1)


def test_classwise_ece_is_stored_only_when_asked_for():
    logits, labels = random_split()
    predictions = predictions_of(logits, labels, 2.0, classwise=True)
    for reading, temperature in ((RAW, 1.0), (SCALED, 2.0)):
        expected = classwise_ece(softmax(logits.astype(np.float64) / temperature, axis=1), labels)
        assert predictions.readings[reading].classwise_ece == pytest.approx(expected, abs=1e-6)
    without = {"test": predictions_of(logits, labels, 2.0)}
    assert without["test"].readings[RAW].classwise_ece is None
    stored = ("classwise_ece", "set_size", "set_coverage")
    assert [name for name in figure_names("test") if name not in summary_of(without)] == [
        f"test/{name}{suffix}" for suffix in ("", "_scaled") for name in stored
    ]


def test_reading_a_large_split_in_pieces_changes_nothing():
    logits, labels = random_split(num=5000)
    whole, tail = read_logits(logits, labels), read_logits(logits[4000:], labels[4000:])
    for name in ("confidence", "label_probability", "nll", "brier"):
        np.testing.assert_array_equal(getattr(whole, name)[4000:], getattr(tail, name))
        assert getattr(whole, name).shape == (5000,)


def test_the_test_split_never_touches_the_temperature():
    validation, first, second = random_split(seed=0), random_split(seed=1), random_split(scale=9, seed=2)
    temperature = fit_temperature(*validation)
    assert temperature > 1.5
    for test in (first, second):
        splits = validation_and_test_predictions(validation, test)
        assert splits["validation"].temperature == splits["test"].temperature == temperature
    assert metrics_of(splits["validation"], SCALED)["nll"] < metrics_of(splits["validation"], RAW)["nll"]


def test_a_summary_has_the_figures_it_names():
    splits = validation_and_test_predictions(random_split(seed=0), random_split(seed=1))
    summary = summary_of(splits)
    assert list(summary) == figure_names("validation") + figure_names("test")
    assert len(set(summary)) == 2 * (14 + 12)
    assert summary["test/ece"] == metrics_of(splits["test"], RAW)["ece"]
    assert summary["test/ece_scaled"] == metrics_of(splits["test"], SCALED)["ece"]
    splits = validation_and_test_predictions(random_split(seed=0), random_split(seed=1), standardized=True)
    summary = summary_of(splits)
    assert list(summary) == [name for split in splits for name in figure_names(split, standardized=True)]
    assert len(set(summary)) == 2 * (14 + 12 + 12)
    assert summary["test/aurc_standardized"] == metrics_of(splits["test"], STANDARDIZED)["aurc"]
    assert summary["test/classwise_ece_standardized"] == splits["test"].readings[STANDARDIZED].classwise_ece


def test_conformal_sets_are_calibrated_on_validation_in_every_reading():
    validation, test = random_split(seed=0), random_split(seed=1)
    splits = validation_and_test_predictions(validation, test, standardized=True)
    temperature = splits["test"].temperature
    read = {RAW: lambda x: x, SCALED: lambda x: x / np.float32(temperature), STANDARDIZED: standardize}
    for reading, converted in read.items():
        first, second = ((softmax(converted(x.astype(np.float32)), axis=1), y) for x, y in (validation, test))
        for name, expected in (("validation", cross_conformal_sets(*first)), ("test", conformal_sets(first, second))):
            ours = splits[name].readings[reading]
            np.testing.assert_array_equal(ours.set_size, expected[0])
            np.testing.assert_array_equal(ours.in_set, expected[1])
    summary = summary_of(splits)
    assert summary["test/set_size_scaled"] == splits["test"].readings[SCALED].set_size.mean()
    assert summary["test/set_coverage"] == splits["test"].readings[RAW].in_set.mean()


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("kept", [True, False])
def test_predictions_survive_their_file(kept, every):
    logits, labels = random_split()
    predictions = predictions_of(logits, labels, temperature=1.7, keep_logits=kept, standardized=every, classwise=every)
    content = predictions_to_bytes(predictions)
    assert content == predictions_to_bytes(predictions)
    light, whole = predictions_from_bytes(content), predictions_from_bytes(content, with_logits=True)
    for again in (light, whole):
        assert equal(again, predictions)
        assert again.temperature == 1.7
    assert light.logits is None
    if kept:
        np.testing.assert_array_equal(whole.logits, logits)
    else:
        assert whole.logits is None


def test_a_file_of_before_or_after_these_figures_can_be_read():
    predictions = predictions_of(*random_split(), temperature=1.7, classwise=True)
    with np.load(BytesIO(predictions_to_bytes(predictions))) as arrays:
        content = dict(arrays)
    before, after = BytesIO(), BytesIO()
    np.savez(before, **{name: value for name, value in content.items() if "classwise" not in name})
    np.savez(after, **content, **{"raw/of_another_day": np.zeros(200)})
    without = {name: replace(reading, classwise_ece=None) for name, reading in predictions.readings.items()}
    assert equal(predictions_from_bytes(before.getvalue()), replace(predictions, readings=without))
    assert equal(predictions_from_bytes(after.getvalue()), predictions)


class _Cyclic:
    """Garbage whose finaliser runs Python, so that another thread gets its turn in the middle of anything."""

    def __init__(self):
        self.me = self

    def __del__(self):
        sum(range(300))


def _litter(*_):
    """Leave garbage behind each collection, for the next one."""
    for _ in range(3):
        _Cyclic()


def test_predictions_can_be_read_by_many_threads():
    """Python 3.11 raises SystemError if two threads parse at once, as numpy does to read the header of an array."""
    labels = np.arange(50) % 10
    content = predictions_to_bytes(predictions_of(np.eye(10)[labels], labels, temperature=1.3))
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    gc.callbacks.append(_litter)
    try:
        sys.setswitchinterval(1e-6)
        gc.set_threshold(20)
        with ThreadPoolExecutor(16) as threads:
            read = list(threads.map(predictions_from_bytes, [content] * 600))
    finally:
        gc.callbacks.remove(_litter)
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
    assert len(read) == 600
