import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, logsumexp
from scipy.stats import entropy

from kd_core.measure.linearity import (
    between,
    both_orders,
    divergence,
    dominance,
    figures_of,
    information_bound,
    uniform_nonlinearity,
)

GRID = np.linspace(0, 1, 5)


def log_probabilities(seed: int = 0, pairs: int = 6, classes: int = 4, scale: float = 2.0, grid=GRID) -> np.ndarray:
    """Random log-probabilities [L, P, K]."""
    logits = scale * np.random.default_rng(seed).normal(size=(len(grid), pairs, classes))
    return log_softmax(logits, axis=-1)


def linear(corners: np.ndarray, grid=GRID) -> np.ndarray:
    """log(λ·p_i + (1 − λ)·p_j) [L, P, K], from log p_j and log p_i [2, P, K]."""
    share = grid[:, None, None]
    return np.log(share * np.exp(corners[1]) + (1 - share) * np.exp(corners[0]))


@given(seed=st.integers(0, 10**6), scale=st.floats(0, 20))
def test_every_value_equals_its_definition(seed, scale):
    spoken = log_probabilities(seed, scale=scale)
    ours = between(spoken, GRID)
    probabilities, straight = np.exp(spoken), np.exp(linear(spoken[[0, -1]]))
    middle = (probabilities + straight) / 2
    expected = {
        "nonlinearity": entropy(straight, probabilities, axis=-1),
        "jensen_shannon": (entropy(straight, middle, axis=-1) + entropy(probabilities, middle, axis=-1)) / 2,
        "entropy": entropy(probabilities, axis=-1),
        "linear_entropy": entropy(straight, axis=-1),
    }
    for name, values in expected.items():
        both = (values + values[::-1]) / 2
        np.testing.assert_allclose(getattr(ours, name), both, atol=1e-9)


def test_the_second_order_of_a_pair_is_the_mean_with_it():
    spoken = log_probabilities()
    swapped = spoken[::-1]  # at λ the other order mixes λ·x_j + (1 − λ)·x_i
    for name, values in vars(between(spoken, GRID)).items():
        np.testing.assert_array_equal(values, getattr(between(swapped, GRID), name))
        np.testing.assert_array_equal(values, values[::-1])
    np.testing.assert_array_equal(both_orders(np.array([1.0, 5.0, 2.0])), [1.5, 5.0, 1.5])


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_a_model_linear_in_probability_has_no_residual(scale):
    corners = log_softmax(scale * np.random.default_rng(1).normal(size=(2, 50, 10)), axis=-1)
    ours = between(linear(corners), GRID)
    np.testing.assert_allclose(ours.nonlinearity, 0, atol=1e-12)
    np.testing.assert_allclose(ours.jensen_shannon, 0, atol=1e-12)
    np.testing.assert_allclose(ours.entropy, ours.linear_entropy, atol=1e-12)


def test_a_constant_model_has_no_residual_either():
    spoken = np.broadcast_to(log_probabilities(pairs=1)[:1], (5, 7, 4))
    np.testing.assert_allclose(between(spoken, GRID).nonlinearity, 0, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_knowing_nothing_between_certain_corners_has_ln_k_less_ln_2(classes):
    certain = log_softmax(1e3 * np.eye(classes)[[0, 1]], axis=-1)
    spoken = np.full((5, 1, classes), -np.log(classes))
    spoken[0], spoken[-1] = certain[:1], certain[1:]
    ours = between(spoken, GRID)
    assert ours.nonlinearity[2, 0] == pytest.approx(np.log(classes) - np.log(2))
    reference = uniform_nonlinearity(ours.linear_entropy, classes)
    np.testing.assert_allclose(ours.nonlinearity[1:-1], reference[1:-1], atol=1e-12)
    assert ours.entropy[2, 0] == pytest.approx(np.log(classes))


def test_dominance_is_a_ratio_of_means():
    residual, entropies = np.array([1.0, 2.0, 3.0]), np.array([0.01, 1.0, 1.99])
    by_hand = (1 + 2 + 3) / (0.01 + 1 + 1.99)
    assert dominance(residual.mean(), entropies.mean()) == pytest.approx(by_hand) == pytest.approx(2)
    assert (residual / entropies).mean() > 30


def test_dominance_of_a_model_without_entropy_is_finite():
    assert np.isfinite(dominance(np.array([0.0, 1e4]), np.zeros(2))).all()
    assert dominance(np.zeros(1), np.zeros(1)) == 0


def test_divergence_equals_its_definition_and_is_none_of_a_model_from_itself():
    teacher, student = log_probabilities(1), log_probabilities(2)
    expected = entropy(np.exp(teacher), np.exp(student), axis=-1)
    np.testing.assert_allclose(divergence(teacher, student), (expected + expected[::-1]) / 2)
    assert (divergence(teacher, teacher) == 0).all()


@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6))
def test_the_bound_is_below_the_information_that_the_teacher_has(seed, classes):
    teacher, student = log_probabilities(seed, classes=classes), log_probabilities(seed + 1, classes=classes)
    bound = information_bound(teacher, student)
    both = np.concatenate([np.exp(teacher), np.exp(teacher[::-1])], axis=1)
    of_teacher = entropy(both.mean(axis=1), axis=-1) - entropy(both, axis=-1).mean(axis=1)
    np.testing.assert_allclose(bound, of_teacher - divergence(teacher, student).mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(information_bound(teacher, teacher), of_teacher, atol=1e-12)
    assert (bound <= np.log(classes) + 1e-12).all()


def test_figures_are_means_between_the_corners_and_peaks_over_all():
    curve = {
        "nonlinearity": [0, 1, 3, 1, 0],
        "entropy": [1, 2, 1, 2, 1],
        "linear_entropy": [1, 4, 4, 4, 1],
        "jensen_shannon": [0, 0.1, 0.4, 0.1, 0],
        "gain": [0, 1, 2, 1, 0],
        "kl": [0.5, 2, 5, 2, 0.5],
    }
    figures = figures_of({name: np.array(values, dtype=float) for name, values in curve.items()})
    expected = {
        "nonlinearity": 5 / 3,
        "nonlinearity_peak": 3,
        "jensen_shannon": 0.2,
        "entropy": 5 / 3,
        "information": 4 - 5 / 3,
        "dominance": 1,
        "dominance_peak": 3,
        "gain": 4 / 3,
        "gain_peak": 2,
        "kl_real": 0.5,
        "kl_mixed": 3,
        "independence": 2.5,
    }
    assert figures == pytest.approx(expected)


def test_figures_of_resamples_are_those_of_each():
    generator = np.random.default_rng(0)
    names = ("nonlinearity", "entropy", "linear_entropy", "jensen_shannon")
    curves = {name: generator.random((3, 5)) for name in names}
    together = figures_of(curves)
    for row in range(3):
        alone = figures_of({name: curve[row] for name, curve in curves.items()})
        assert {name: draws[row] for name, draws in together.items()} == pytest.approx(alone)


def test_huge_log_probabilities_give_finite_values():
    spoken = log_probabilities(scale=1e5)
    for values in vars(between(spoken, GRID)).values():
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    assert np.isfinite(information_bound(spoken, log_probabilities(1, scale=1e5))).all()
    assert (between(spoken, GRID).jensen_shannon <= np.log(2) + 1e-12).all()


def test_half_precision_of_logits_changes_the_mean_by_less_than_a_thousandth():
    logits = 8 * np.random.default_rng(3).standard_normal((21, 400, 20))
    grid = np.linspace(0, 1, 21)
    means = [
        between(stored - logsumexp(stored, axis=-1, keepdims=True), grid).nonlinearity.mean(axis=1)
        for stored in (logits, logits.astype(np.float16).astype(np.float64))
    ]
    assert means[0].max() > 1
    np.testing.assert_allclose(*means, atol=1e-3)


def test_a_grid_that_is_not_symmetric_is_refused():
    with pytest.raises(AssertionError, match="symmetric"):
        between(log_probabilities(), GRID**2)
