from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import linregress

from kd_core.measure.fidelity import agreement, log_odds, slope_and_correlation


def test_agreement_is_of_the_likeliest_classes():
    student = np.array([[[3, 1], [0, 1]], [[2, 1], [5, 4]]])
    teacher = np.array([[[9, 1], [1, 0]], [[1, 2], [5, 4]]])
    np.testing.assert_array_equal(agreement(student, teacher), [[True, False], [False, True]])


@given(seed=st.integers(0, 10**6), temperature=st.floats(0.3, 5), num_classes=st.integers(2, 8))
def test_log_odds_equal_their_definition(seed, temperature, num_classes):
    generator = np.random.default_rng(seed)
    logits, classes = generator.normal(size=(9, num_classes)), generator.integers(0, num_classes, 9)
    before = logits.copy()
    probability = softmax(logits / temperature, axis=1)[np.arange(9), classes]
    expected = np.log(probability) - np.log1p(-probability)
    np.testing.assert_allclose(log_odds(logits, classes, temperature), expected, atol=1e-9)
    np.testing.assert_array_equal(logits, before)


def test_log_odds_of_a_certain_prediction_are_exact():
    logits = np.array([[1e5, 0.0, 0.0]])
    assert log_odds(logits, np.array([0])) == pytest.approx(1e5 - np.log(2))


@given(seed=st.integers(0, 10**6))
def test_the_line_equals_scipy(seed):
    x, y = np.random.default_rng(seed).normal(size=(2, 12))
    theirs: Any = linregress(x, y)
    assert slope_and_correlation(x, y) == pytest.approx((theirs.slope, theirs.rvalue))
    assert slope_and_correlation(x, 3 - 2 * x) == pytest.approx((-2, -1))


def test_a_line_through_one_value_is_not_defined():
    x = np.arange(4.0)
    assert np.isnan(slope_and_correlation(np.ones(4), x)).all()
    slope, correlation = slope_and_correlation(x, np.ones(4))
    assert slope == 0
    assert np.isnan(correlation)
