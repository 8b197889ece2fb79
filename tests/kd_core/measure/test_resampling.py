import numpy as np
import pytest

from kd_core.measure.absolute_gaps import absolute_gap_draws
from kd_core.measure.calibration import expected_calibration_error
from kd_core.measure.resampling import gaps_by_bin, interval, resample_counts, resampled_means


def cells(num_cells: int = 4, num: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Confidence, some of it on the edges of bins, and correctness [C, N]."""
    generator = np.random.default_rng(seed)
    confidence = generator.random((num_cells, num))
    confidence[:, :3] = 0, 0.2, 1
    return confidence, generator.random((num_cells, num)) < confidence**2


@pytest.mark.parametrize("num", [1, 7, 1000])
def test_a_resample_has_as_many_samples_as_the_sample(num):
    counts = resample_counts(num, 30, seed=3)
    assert counts.shape == (30, num)
    assert (counts.sum(axis=1) == num).all()
    assert (counts == counts.astype(int)).all()


def test_counts_are_those_of_drawing_with_replacement():
    counts = resample_counts(20, 5000, seed=0)
    np.testing.assert_allclose(counts.mean(axis=0), 1, atol=0.06)
    np.testing.assert_allclose(counts.var(axis=0), 1 - 1 / 20, atol=0.08)
    assert np.corrcoef(counts[:, 0], counts[:, 1])[0, 1] == pytest.approx(-1 / 19, abs=0.05)


def test_the_seed_decides_all():
    first = resample_counts(9, 5, seed=2**62)
    np.testing.assert_array_equal(first, resample_counts(9, 5, seed=2**62))
    np.testing.assert_array_equal(first[:3], resample_counts(9, 3, seed=2**62))
    assert (first != resample_counts(9, 5, seed=1)).any()


def test_resampled_means_equal_a_loop():
    values, counts = np.random.default_rng(1).normal(size=(2, 3, 8)), resample_counts(8, 6, seed=0)
    ours = resampled_means(values, counts)
    for draw, count in zip(ours, counts, strict=True):
        rows = np.repeat(np.arange(8), count.astype(int))
        np.testing.assert_allclose(draw, values[..., rows].mean(axis=-1), atol=1e-12)
    np.testing.assert_allclose(resampled_means(values[0, 0], counts), ours[:, 0, 0])


def test_sums_of_gaps_are_the_ece_of_each_resample():
    confidence, correct = cells()
    gaps, counts = gaps_by_bin(confidence, correct), resample_counts(50, 5, seed=0)
    ece = [expected_calibration_error(*cell) for cell in zip(confidence, correct, strict=True)]
    np.testing.assert_allclose(np.abs(gaps.mean(axis=-1)).sum(axis=-1), ece, atol=1e-12)
    for draw, weights in zip(np.abs(resampled_means(gaps, counts)).sum(axis=-1), counts, strict=True):
        ece = [expected_calibration_error(*each, weights=weights) for each in zip(confidence, correct, strict=True)]
        np.testing.assert_allclose(draw, ece, atol=1e-12)


def test_an_interval_holds_the_middle_and_the_value():
    draws = np.stack([np.arange(1001.0), np.zeros(1001)], axis=1)
    low, high = interval(draws, np.array([990.0, 0.0]))
    np.testing.assert_allclose(low, [25, 0])
    np.testing.assert_allclose(high, [990, 0])


def test_intervals_of_a_mean_cover_it():
    covered, num, spread = 0, 60, []
    for seed in range(200):
        values = np.random.default_rng(seed).exponential(size=num)
        low, high = interval(resampled_means(values, resample_counts(num, 300, seed)), values.mean())
        covered += low <= 1 <= high
        spread.append(high - low)
    assert 0.87 < covered / 200 <= 1
    assert np.mean(spread) == pytest.approx(2 * 1.96 / num**0.5, rel=0.1)


def test_intervals_of_a_mean_ece_cover_it_where_percentiles_of_resamples_do_not():
    covered, percentiles = 0, 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        confidence = generator.uniform(0.5, 1, (6, 200))
        correct = generator.random((6, 200)) < confidence - 0.03  # an ECE of 0.03 in each set of images
        gaps, counts = gaps_by_bin(confidence, correct), resample_counts(200, 200, seed)
        means, resampled = gaps.mean(axis=-1), resampled_means(gaps, counts)
        plain = np.abs(resampled).sum(axis=-1).mean(axis=1)
        value = np.abs(means).sum(axis=-1).mean()
        low, high = interval(absolute_gap_draws(means, resampled), value)
        covered += low <= 0.03 <= high
        percentiles += np.quantile(plain, 0.025) <= 0.03 <= np.quantile(plain, 0.975)
    assert covered >= 36
    assert percentiles <= 8
