from dataclasses import fields

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from kd_core.calibration import expected_calibration_error, fit_temperature
from kd_core.outcomes import (
    RAW,
    SCALED,
    Outcomes,
    Reading,
    figure_names,
    metrics_of,
    outcomes_from_bytes,
    outcomes_of,
    outcomes_to_bytes,
    read_logits,
    summary_of,
    validation_and_test_outcomes,
)


def random_split(num: int = 200, scale: float = 4.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(5, size=num)
    logits = scale * (generator.normal(size=(num, 5)) + np.eye(5)[labels])
    return logits.astype(np.float32), labels


def equal(first: Outcomes, second: Outcomes) -> bool:
    readings = all(
        np.array_equal(getattr(first.readings[name], field.name), getattr(second.readings[name], field.name))
        for name in first.readings
        for field in fields(Reading)
    )
    arrays = np.array_equal(first.label, second.label) and np.array_equal(first.prediction, second.prediction)
    return arrays and readings and first.readings.keys() == second.readings.keys()


@pytest.mark.parametrize(("reading", "temperature"), [(RAW, 1.0), (SCALED, 2.5)])
def test_stored_outcomes_give_the_figures_of_the_logits(reading, temperature):
    logits, labels = random_split()
    outcomes = outcomes_from_bytes(outcomes_to_bytes(outcomes_of(logits, labels, temperature=2.5)))
    scaled = logits.astype(np.float64) / temperature
    probabilities = softmax(scaled, axis=1)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    expected = {
        "accuracy": correct.mean(),
        "confidence": confidence.mean(),
        "gap": confidence.mean() - correct.mean(),
        "ece": expected_calibration_error(confidence, correct),
        "nll": -log_softmax(scaled, axis=1)[np.arange(200), labels].mean(),
        "brier": ((probabilities - np.eye(5)[labels]) ** 2).sum(axis=1).mean(),
    }
    assert metrics_of(outcomes, reading) == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(
        outcomes.readings[reading].label_probability, probabilities[np.arange(200), labels], atol=1e-6
    )


def test_integer_weights_equal_repetition_for_every_figure():
    logits, labels = random_split()
    counts = np.random.default_rng(1).integers(0, 4, 200)
    rows = np.random.default_rng(2).permutation(np.repeat(np.arange(200), counts))
    weighted = metrics_of(outcomes_of(logits, labels, 1.0), weights=counts)
    assert weighted == pytest.approx(metrics_of(outcomes_of(logits[rows], labels[rows], 1.0)), abs=1e-9)


def test_the_scaled_reading_is_that_of_the_divided_logits():
    logits, labels = random_split()
    outcomes = outcomes_of(logits, labels, temperature=4.0)
    expected = read_logits(logits / 4, labels)
    for field in fields(Reading):
        np.testing.assert_array_equal(getattr(outcomes.readings[SCALED], field.name), getattr(expected, field.name))


def test_reading_a_large_split_in_pieces_changes_nothing():
    logits, labels = random_split(num=5000)
    whole, tail = read_logits(logits, labels), read_logits(logits[4000:], labels[4000:])
    for field in fields(Reading):
        np.testing.assert_array_equal(getattr(whole, field.name)[4000:], getattr(tail, field.name))
        assert getattr(whole, field.name).shape == (5000,)


def test_the_test_split_never_touches_the_temperature():
    validation, first, second = random_split(seed=0), random_split(seed=1), random_split(scale=9, seed=2)
    temperature = fit_temperature(*validation)
    assert temperature > 1.5
    for test in (first, second):
        splits = validation_and_test_outcomes(validation, test)
        assert splits["validation"].temperature == splits["test"].temperature == temperature
    assert metrics_of(splits["validation"], SCALED)["nll"] < metrics_of(splits["validation"], RAW)["nll"]


def test_a_summary_has_the_figures_it_names():
    splits = validation_and_test_outcomes(random_split(seed=0), random_split(seed=1))
    summary = summary_of(splits)
    assert list(summary) == figure_names("validation") + figure_names("test")
    assert len(set(summary)) == 22
    assert summary["test/ece"] == metrics_of(splits["test"], RAW)["ece"]
    assert summary["test/ece_scaled"] == metrics_of(splits["test"], SCALED)["ece"]


@pytest.mark.parametrize("kept", [True, False])
def test_outcomes_survive_their_file(kept):
    logits, labels = random_split()
    outcomes = outcomes_of(logits, labels, temperature=1.7, keep_logits=kept)
    content = outcomes_to_bytes(outcomes)
    assert content == outcomes_to_bytes(outcomes)
    light, whole = outcomes_from_bytes(content), outcomes_from_bytes(content, with_logits=True)
    for again in (light, whole):
        assert equal(again, outcomes)
        assert again.temperature == 1.7
    assert light.logits is None
    if kept:
        np.testing.assert_array_equal(whole.logits, logits)
    else:
        assert whole.logits is None
