import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from kd_core.calibration import (
    TEMPERATURE_RANGE,
    brier_score,
    ece_bounds,
    expected_calibration_error,
    fit_temperature,
    mean,
    negative_log_likelihood,
    obeys_ece_bounds,
    reliability_bins,
)

SAMPLES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def random_logits(
    num: int = 500, classes: int = 10, scale: float = 2.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, K] and labels [N] drawn from their softmax, so that they are calibrated at T = 1."""
    generator = np.random.default_rng(seed)
    logits = scale * generator.normal(size=(num, classes))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (cumulative < generator.random((num, 1))).sum(axis=1).clip(max=classes - 1)


def brute_force_ece(confidence: np.ndarray, correct: np.ndarray, num_bins: int) -> float:
    total = 0.0
    for bin_index in range(num_bins):
        lower, upper = np.linspace(0, 1, num_bins + 1)[bin_index : bin_index + 2]
        chosen = (confidence >= lower) & ((confidence < upper) | (bin_index == num_bins - 1))
        if chosen.any():
            total += chosen.mean() * abs(correct[chosen].mean() - confidence[chosen].mean())
    return total


@pytest.mark.parametrize("num_bins", [1, 10, 15, 50])
@given(samples=SAMPLES)
def test_ece_equals_a_loop_over_its_bins(samples, num_bins):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    ours = expected_calibration_error(confidence, correct, num_bins)
    assert ours == pytest.approx(brute_force_ece(confidence, correct, num_bins), abs=1e-12)


@pytest.mark.parametrize("num_bins", [10, 15])
def test_ece_equals_torchmetrics_below_certainty(num_bins):
    logits, labels = random_logits()
    probabilities = softmax(logits, axis=1)
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 10, num_bins)
    ours = expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, num_bins)
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_ece_of_the_positive_class_equals_torchmetrics():
    generator = np.random.default_rng(1)
    probability, target = generator.uniform(0.01, 0.99, 300), generator.integers(0, 2, 300)
    theirs = binary_calibration_error(torch.tensor(probability), torch.tensor(target), n_bins=15)
    ours = expected_calibration_error(probability, target == 1)
    assert ours == pytest.approx(float(theirs), abs=1e-6)


def test_certainty_shares_the_last_bin():
    bins = reliability_bins(np.array([1.0, 0.95]), np.array([False, True]))
    assert bins.share[-1] == 1
    assert bins.share.size == 15
    ours = expected_calibration_error(np.array([1.0, 0.95]), np.array([False, True]))
    assert ours == pytest.approx(0.475)  # two bins, as in torchmetrics, would give 0.525


@given(samples=SAMPLES)
def test_ece_lies_within_its_bounds(samples):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    accuracy, confidence_mean = mean(correct), mean(confidence)
    ece = expected_calibration_error(confidence, correct)
    assert abs(accuracy - confidence_mean) - 1e-9 <= ece <= (1 - accuracy) + (1 - confidence_mean) + 1e-9
    assert obeys_ece_bounds(accuracy, confidence_mean, ece)


def test_an_ece_outside_its_bounds_is_noticed():
    least, greatest = ece_bounds(0.7, 0.9)
    assert (least, greatest) == (pytest.approx(0.2), pytest.approx(0.4))
    assert not obeys_ece_bounds(0.7, 0.9, least - 0.01)
    assert not obeys_ece_bounds(0.7, 0.9, greatest + 0.01)


@given(samples=SAMPLES, data=st.data())
def test_integer_weights_equal_repetition_and_order_does_not_matter(samples, data):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    counts = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(samples), max_size=len(samples))))
    counts[0] += 1
    repeated = np.random.default_rng(0).permutation(np.repeat(np.arange(len(samples)), counts))
    weighted = expected_calibration_error(confidence, correct, weights=counts)
    assert weighted == pytest.approx(expected_calibration_error(confidence[repeated], correct[repeated]), abs=1e-12)
    assert mean(confidence, counts) == pytest.approx(confidence[repeated].mean())
    diagram, expected = (
        reliability_bins(confidence, correct, weights=counts),
        reliability_bins(confidence[repeated], correct[repeated]),
    )
    for name in ("share", "confidence", "accuracy"):
        np.testing.assert_allclose(getattr(diagram, name), getattr(expected, name), atol=1e-12)


def test_an_empty_bin_has_no_share_and_no_mean():
    bins = reliability_bins(np.array([0.05]), np.array([True]), num_bins=2)
    np.testing.assert_array_equal(bins.share, [1, 0])
    np.testing.assert_array_equal(bins.accuracy, [1, np.nan])


@pytest.mark.parametrize(
    ("confidence", "correct"),
    [([], []), ([0.5, 0.5], [True]), ([1.1], [True]), ([-0.1], [True]), ([float("nan")], [True])],
)
def test_what_is_no_confidence_is_refused(confidence, correct):
    with pytest.raises(ValueError, match="confidence"):
        expected_calibration_error(np.array(confidence), np.array(correct))


def test_nll_and_brier_equal_their_definitions():
    logits, labels = random_logits(scale=5)
    expected = cross_entropy(torch.tensor(logits), torch.tensor(labels), reduction="none").numpy()
    np.testing.assert_allclose(negative_log_likelihood(logits, labels), expected, rtol=1e-9)
    squares = ((softmax(logits, axis=1) - np.eye(10)[labels]) ** 2).sum(axis=1)
    np.testing.assert_allclose(brier_score(logits, labels), squares, atol=1e-12)


def test_huge_logits_give_finite_figures():
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]], dtype=np.float32)
    labels = np.array([0, 0])
    np.testing.assert_allclose(negative_log_likelihood(logits, labels), [0, 2e4])
    np.testing.assert_allclose(brier_score(logits, labels), [0, 2])
    assert np.isfinite(fit_temperature(logits, labels))


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_the_fitted_temperature_beats_a_grid(scale):
    logits, labels = random_logits(num=300, seed=3)
    fitted = fit_temperature(scale * logits, labels)
    grid = np.geomspace(*TEMPERATURE_RANGE, 400)
    least = min(negative_log_likelihood(scale * logits / each, labels).mean() for each in grid)
    assert negative_log_likelihood(scale * logits / fitted, labels).mean() <= least + 1e-12


@pytest.mark.parametrize("temperature", [0.5, 2.0, 8.0])
def test_scaling_calibrated_logits_is_undone_by_the_fitted_temperature(temperature):
    logits, labels = random_logits(num=20_000)
    assert fit_temperature(logits, labels) == pytest.approx(1, abs=0.03)
    assert fit_temperature(temperature * logits, labels) == pytest.approx(
        temperature * fit_temperature(logits, labels), rel=1e-6
    )


def test_a_temperature_without_optimum_stops_at_the_nearer_end():
    logits, labels = random_logits(num=50)
    coldest, hottest = TEMPERATURE_RANGE
    for scale in (1, 1e3, 1e4):  # at 1e4 the likelihood is flat to the last bit
        assert fit_temperature(scale * np.eye(4), np.arange(4)) == coldest
    assert fit_temperature(logits, logits.argmax(axis=1)) == coldest
    assert fit_temperature(logits, logits.argmin(axis=1)) == hottest
    assert fit_temperature(1e3 * logits, labels) == hottest
