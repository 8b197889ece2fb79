import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from kd_core.measure.calibration import (
    area_under_risk_coverage,
    brier_score,
    classwise_ece,
    ece_bounds,
    equal_mass_calibration_error,
    expected_calibration_error,
    maximum_calibration_error,
    mean,
    negative_log_likelihood,
    obeys_ece_bounds,
    reliability_bins,
)

CONFIDENCE = st.floats(0, 1) | st.sampled_from([0.2, 0.5, 0.9, 1.0])  # ties among them
SAMPLES = st.lists(st.tuples(CONFIDENCE, st.booleans()), min_size=1, max_size=40)
RESAMPLED = (
    expected_calibration_error,
    maximum_calibration_error,
    equal_mass_calibration_error,
    area_under_risk_coverage,
)


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


@pytest.mark.parametrize("num_bins", [1, 10, 15])
@given(samples=SAMPLES)
def test_mce_equals_a_loop_over_its_bins(samples, num_bins):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    gaps = []
    for lower, upper in itertools.pairwise(np.linspace(0, 1, num_bins + 1)):
        chosen = (confidence >= lower) & ((confidence < upper) | (upper == 1))
        gaps += [abs(correct[chosen].mean() - confidence[chosen].mean())] if chosen.any() else []
    assert maximum_calibration_error(confidence, correct, num_bins) == pytest.approx(max(gaps), abs=1e-12)


@pytest.mark.parametrize("num_bins", [10, 15])
def test_mce_equals_torchmetrics_below_certainty(num_bins):
    logits, labels = random_logits()
    probabilities = softmax(logits, axis=1)
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    theirs = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(labels), 10, num_bins, norm="max")
    assert maximum_calibration_error(confidence, correct, num_bins) == pytest.approx(float(theirs), abs=1e-6)


def brute_force_debiased(confidence: np.ndarray, correct: np.ndarray, num_bins: int) -> float:
    """Bin by bin in whole numbers: a sample's bin is that of the middle of its ties."""
    bins: dict[int, list[int]] = {}
    for sample, value in enumerate(confidence):
        twice_middle = 2 * int((confidence < value).sum()) + int((confidence == value).sum())
        bins.setdefault(num_bins * twice_middle // (2 * len(confidence)), []).append(sample)
    assert all(0 <= index < num_bins for index in bins)
    total = 0.0
    for members in bins.values():
        accuracy, size = correct[members].mean(), len(members)
        if size > 1:
            square = (accuracy - confidence[members].mean()) ** 2 - accuracy * (1 - accuracy) / (size - 1)
            total += size / len(confidence) * square
    return max(0.0, total) ** 0.5


@pytest.mark.parametrize("num_bins", [1, 2, 4, 15])
@given(samples=SAMPLES)
def test_the_debiased_error_equals_a_loop_over_its_bins(samples, num_bins):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    ours = equal_mass_calibration_error(confidence, correct, num_bins)
    assert ours**2 == pytest.approx(brute_force_debiased(confidence, correct, num_bins) ** 2, abs=1e-12)


@pytest.mark.parametrize("num", [150, 157, 1003])
def test_bins_of_equal_mass_are_the_sorted_samples_cut_into_even_parts(num):
    generator = np.random.default_rng(2)
    confidence, correct = generator.random(num), generator.random(num) < 0.3
    total, order = 0.0, np.argsort(confidence)
    cut = np.floor((np.arange(num) + 0.5) * 15 / num).astype(int)
    parts = [order[cut == index] for index in range(15)]
    assert {len(part) for part in parts} <= {num // 15, num // 15 + 1}
    for part in parts:
        accuracy, size = correct[part].mean(), len(part)
        total += size / num * ((accuracy - confidence[part].mean()) ** 2 - accuracy * (1 - accuracy) / (size - 1))
    assert equal_mass_calibration_error(confidence, correct) == pytest.approx(np.sqrt(total), abs=1e-12)


def test_a_calibrated_model_has_no_debiased_error_but_a_plug_in_one():
    generator = np.random.default_rng(0)
    confidence = generator.beta(5, 1.2, size=(50, 1000))
    correct = generator.random(confidence.shape) < confidence
    debiased = np.mean([equal_mass_calibration_error(*model) for model in zip(confidence, correct, strict=True)])
    plug_in = np.mean([expected_calibration_error(*model) for model in zip(confidence, correct, strict=True)])
    assert plug_in > 0.025
    assert debiased < plug_in / 2


def test_the_debiased_error_finds_a_known_error():
    generator = np.random.default_rng(1)
    confidence = generator.uniform(0.5, 1, 200_000)
    correct = generator.random(confidence.size) < confidence - 0.1
    assert equal_mass_calibration_error(confidence, correct) == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("num_bins", [5, 15])
def test_classwise_ece_equals_the_mean_of_torchmetrics_over_classes(num_bins):
    logits, labels = random_logits()
    probabilities = softmax(logits, axis=1)
    theirs = [
        float(binary_calibration_error(torch.tensor(probabilities[:, k]), torch.tensor(labels == k).long(), num_bins))
        for k in range(10)
    ]
    assert classwise_ece(probabilities, labels, num_bins) == pytest.approx(np.mean(theirs), abs=1e-6)
    loop = [brute_force_ece(probabilities[:, k], labels == k, num_bins) for k in range(10)]
    assert classwise_ece(probabilities, labels, num_bins) == pytest.approx(np.mean(loop), abs=1e-12)


def test_integer_weights_equal_repetition_for_classwise_ece():
    logits, labels = random_logits(num=200, classes=4)
    probabilities, counts = softmax(logits, axis=1), np.random.default_rng(5).integers(0, 4, 200)
    rows = np.random.default_rng(6).permutation(np.repeat(np.arange(200), counts))
    expected = classwise_ece(probabilities[rows], labels[rows])
    assert classwise_ece(probabilities, labels, weights=counts) == pytest.approx(expected, abs=1e-12)
    certain = np.eye(4)[labels]
    assert classwise_ece(certain, labels) == 0
    assert classwise_ece(certain[:, [1, 2, 3, 0]], labels) == pytest.approx(2 / 4)  # two classes wrong a sample


def area_in_this_order(confidence: np.ndarray, correct: np.ndarray) -> float:
    order = np.argsort(-confidence, kind="stable")
    return float(np.mean([1 - correct[order[:kept]].mean() for kept in range(1, len(order) + 1)]))


@given(
    samples=st.lists(
        st.tuples(st.sampled_from([0.1, 0.4, 0.8]) | st.floats(0, 1), st.booleans()), min_size=1, max_size=6
    )
)
def test_aurc_is_the_mean_over_every_order_of_the_ties(samples):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    orders = [list(order) for order in itertools.permutations(range(len(samples)))]
    areas = [area_in_this_order(confidence[order], correct[order]) for order in orders]
    assert area_under_risk_coverage(confidence, correct) == pytest.approx(np.mean(areas), abs=1e-12)


def test_aurc_of_many_samples_equals_the_loop():
    generator = np.random.default_rng(4)
    confidence = generator.random(2000)
    correct = generator.random(2000) < confidence
    ours = area_under_risk_coverage(confidence, correct)
    assert ours == pytest.approx(area_in_this_order(confidence, correct), abs=1e-10)
    assert ours < area_under_risk_coverage(np.full(2000, 0.5), correct) == pytest.approx(1 - correct.mean(), abs=1e-10)


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


@given(samples=SAMPLES)
def test_every_error_is_a_fraction_and_the_worst_bin_is_no_better_than_the_mean(samples):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    errors = [figure(confidence, correct) for figure in RESAMPLED]
    assert all(0 <= error <= 1 + 1e-12 for error in errors)
    assert maximum_calibration_error(confidence, correct) >= expected_calibration_error(confidence, correct) - 1e-12


@given(samples=SAMPLES, data=st.data())
def test_integer_weights_equal_repetition_and_order_does_not_matter(samples, data):
    confidence, correct = (np.array(column) for column in zip(*samples, strict=True))
    counts = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(samples), max_size=len(samples))))
    counts[0] += 1
    repeated = np.random.default_rng(0).permutation(np.repeat(np.arange(len(samples)), counts))
    for figure in RESAMPLED:
        expected = figure(confidence[repeated], correct[repeated])
        # the square, because a root magnifies the last bit beside 0
        assert figure(confidence, correct, weights=counts) ** 2 == pytest.approx(expected**2, abs=1e-12)
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
@pytest.mark.parametrize("figure", RESAMPLED)
def test_what_is_no_confidence_is_refused(figure, confidence, correct):
    with pytest.raises(ValueError, match="confidence"):
        figure(np.array(confidence), np.array(correct))


@pytest.mark.parametrize("weights", [[0, 0], [1, -1], [1], [1, float("nan")]])
@pytest.mark.parametrize("figure", RESAMPLED)
def test_weights_that_count_nothing_are_refused(figure, weights):
    with pytest.raises(ValueError, match="weight"):
        figure(np.array([0.5, 0.6]), np.array([True, False]), weights=np.array(weights))


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
