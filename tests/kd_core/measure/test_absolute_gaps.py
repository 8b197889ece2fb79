import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics.bootstrap import Estimate
from kd_core.measure.absolute_gaps import _STEPS, _Shapes, absolute_gap_draws, ranks
from tests.benchmarks.coverage.seeds import seed_coverage
from tests.benchmarks.coverage.shapes import coverage

mathematics = settings(deadline=None, derandomize=True, max_examples=40)


def test_a_sample_with_hardly_a_gap_does_not_show_that_there_is_none():
    noise = 0.01 * np.random.default_rng(0).standard_normal((1000, 1, 15))
    observed = np.full((1, 15), 1e-4)  # a calibrated model would show a hundred times as much
    draws = absolute_gap_draws(observed, observed + noise)
    assert np.median(draws) == 0
    assert 0.01 < np.quantile(draws, 0.975) < 0.3


@mathematics
@given(st.integers(0, 10**6), st.floats(0, 0.1), st.integers(1, 4))
def test_draws_are_nonnegative_and_keep_the_order_of_the_resamples(seed, size, num_seeds):
    generator = np.random.default_rng(seed)
    observed = size * generator.normal(size=(num_seeds, 5))
    resampled = observed + 0.02 * generator.normal(size=(200, num_seeds, 5))
    draws = absolute_gap_draws(observed, resampled)
    assert (draws >= 0).all()
    order = np.argsort(np.abs(resampled).sum(axis=(1, 2)), kind="stable")
    assert (np.diff(draws[order]) >= -1e-12).all()


def test_where_gaps_are_large_draws_are_those_of_the_resamples():
    generator = np.random.default_rng(0)
    observed = np.array([[0.1, -0.2, 0.3]])
    resampled = observed + 0.01 * generator.normal(size=(2000, 1, 3))
    estimate = Estimate.of(absolute_gap_draws(observed, resampled))
    assert estimate.value == pytest.approx(0.6, abs=0.002)
    low, high = np.quantile(np.abs(resampled).sum(axis=(1, 2)), [0.025, 0.975])
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=0.003)


def test_without_any_gap_draws_are_zero():
    assert (absolute_gap_draws(np.zeros((1, 3)), np.zeros((10, 1, 3))) == 0).all()


def test_seeds_that_are_the_same_say_what_one_says():
    generator = np.random.default_rng(1)
    observed = 0.02 * generator.normal(size=(1, 5))
    resampled = observed + 0.01 * generator.normal(size=(300, 1, 5))
    thrice = absolute_gap_draws(np.repeat(observed, 3, axis=0), np.repeat(resampled, 3, axis=1))
    assert thrice == pytest.approx(absolute_gap_draws(observed, resampled), abs=1e-9)


@pytest.fixture
def shapes():
    """One certain gap, one that may be noise, a bin without any, and a certain one that differs between two seeds."""
    deviation = np.array([0.01, 0.01, 0.01, 0.01])
    noise = np.random.default_rng(0).normal(size=(4000, 2, 4)) * deviation
    return _Shapes.of(np.array([[0.1, 0.01, 0.0, 0.1], [0.1, 0.01, 0.0, -0.1]]), noise)


def test_shapes_have_the_assumed_sums(shapes):
    sums = np.array([0.0, 0.01, 0.1, 0.2, 0.5])
    for path in (shapes.uneven(_STEPS), shapes.even(_STEPS)):
        gaps = shapes.of_sums(path, sums)
        assert np.abs(gaps).sum(axis=2).mean(axis=1) == pytest.approx(sums)


def test_the_uneven_shape_removes_what_may_be_noise_and_leaves_what_is_certain(shapes):
    before, after = shapes.uneven(np.array([0.0, 3.0]))
    assert before[0] == pytest.approx([0.1, 0.01, 0.0, 0.1])
    assert (after[:, 1] == 0).all()
    assert after[:, 0] == pytest.approx(0.1, rel=0.01)
    assert after[:, 3] == pytest.approx([0.1, -0.1], rel=0.01)


def test_the_even_shape_spreads_gaps_within_a_deviation_of_the_observed(shapes):
    (gaps,) = shapes.even(np.array([1.0]))
    assert gaps.mean(axis=0) / shapes.deviation == pytest.approx([0.1 / shapes.deviation[0] - 1, 1, 1, 1], rel=0.01)


def test_ranks_are_those_of_sorted_values():
    assert ranks(np.array([3.0, 1.0, 2.0, 4.0])).tolist() == [0.625, 0.125, 0.375, 0.875]


@pytest.mark.parametrize("kinds", [("one bin",), ("certain",), ("overconfident",), ("one bin", "top bin")])
def test_intervals_cover_the_truth_however_miscalibration_is_shaped(kinds):
    """With shapes like the observed one alone, one bad bin is covered in 60 % of these samples."""
    covered, width = coverage(kinds, 0.02, 2000, num_simulations=60, num_resamples=200)
    assert covered > 0.85
    assert width < 0.08


@pytest.mark.parametrize("ece", [0.0, 0.02])
def test_intervals_of_many_seeds_cover_the_truth(ece):
    """Averaged draws of ten seeds cover an ECE of 0 in 2 %."""
    assert seed_coverage(ece, 2000, num_seeds=10, num_simulations=25, num_resamples=200) > 0.8
