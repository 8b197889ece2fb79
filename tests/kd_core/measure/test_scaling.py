import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from kd_core.measure.calibration import negative_log_likelihood
from kd_core.measure.scaling import PRIOR_IMAGES, TEMPERATURE_RANGE, fit_temperature, has_optimum


def random_logits(num: int = 500, scale: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits [N, 10] and labels [N] drawn from their softmax, so that they are calibrated at T = 1."""
    generator = np.random.default_rng(seed)
    logits = scale * generator.normal(size=(num, 10))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (cumulative < generator.random((num, 1))).sum(axis=1).clip(max=9)


def penalised(logits, labels, temperature, prior_images=PRIOR_IMAGES):
    """What the fit minimises, from its definition."""
    prior = 1 / temperature - 1 + np.log(temperature)
    return negative_log_likelihood(logits / temperature, labels).sum() + prior_images * prior


@pytest.mark.parametrize("prior_images", [0.0, PRIOR_IMAGES, 5.0])
@pytest.mark.parametrize(("num", "scale"), [(12, 0.3), (300, 1.0), (300, 4.0)])
def test_the_fitted_temperature_minimises_the_penalised_likelihood(num, scale, prior_images):
    logits, labels = random_logits(num=num, seed=3)
    fitted = fit_temperature(scale * logits, labels, prior_images)
    reference = minimize_scalar(
        lambda log_t: penalised(scale * logits, labels, np.exp(log_t), prior_images),
        bounds=np.log(TEMPERATURE_RANGE),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert np.log(fitted) == pytest.approx(reference.x, abs=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 8.0])
def test_scaling_calibrated_logits_is_undone_by_the_fitted_temperature(temperature):
    logits, labels = random_logits(num=20_000)
    likeliest = fit_temperature(logits, labels, prior_images=0)
    assert likeliest == pytest.approx(1, abs=0.03)
    assert fit_temperature(temperature * logits, labels, 0) == pytest.approx(temperature * likeliest, rel=1e-6)
    assert fit_temperature(temperature * logits, labels) == pytest.approx(temperature * likeliest, rel=1e-3)


@pytest.mark.parametrize("temperature", [1 / 3, 1.0, 3.0])
def test_the_prior_leaves_large_samples_alone(temperature):
    logits, labels = random_logits(num=5000, scale=4)
    likeliest = fit_temperature(temperature * logits, labels, prior_images=0)
    assert fit_temperature(temperature * logits, labels) == pytest.approx(likeliest, rel=5e-3)


def test_likelihood_alone_stops_at_the_nearer_end_where_it_has_no_optimum():
    logits, labels = random_logits(num=50)
    coldest, hottest = TEMPERATURE_RANGE
    for scale in (1, 1e3, 1e4):  # at 1e4 the likelihood is flat to the last bit
        assert fit_temperature(scale * np.eye(4), np.arange(4), 0) == coldest
    assert fit_temperature(logits, logits.argmax(axis=1), 0) == coldest
    assert fit_temperature(logits, logits.argmin(axis=1), 0) == hottest
    assert fit_temperature(1e3 * logits, labels) == hottest


def test_the_prior_stays_near_one_where_the_images_have_no_optimum():
    logits, _ = random_logits(num=60, scale=4)
    right, wrong = logits.argmax(axis=1), logits.argmin(axis=1)
    assert 0.15 < fit_temperature(logits, right) < 1
    assert 1 < fit_temperature(logits[:1], wrong[:1]) < TEMPERATURE_RANGE[1]
    assert fit_temperature(1e4 * np.eye(4), np.arange(4)) == pytest.approx(1, abs=1e-6)  # already sure of everything
    assert fit_temperature(np.zeros((5, 4)), np.zeros(5, dtype=int)) == pytest.approx(1, abs=1e-6)


def test_whether_there_is_an_optimum_is_told_from_logits_and_labels():
    logits, labels = random_logits(num=50)
    assert has_optimum(logits, labels)
    assert not has_optimum(logits, logits.argmax(axis=1))
    assert not has_optimum(logits, logits.argmin(axis=1))
    assert not has_optimum(np.zeros((5, 4)), np.zeros(5, dtype=int))
    ties = np.array([[1.0, 1.0, 0.0], [2.0, 0.0, 0.0]])
    assert not has_optimum(ties, np.array([1, 0]))  # the likelihood of a tie grows until T = 0, too
    for seed in range(20):  # the few images that are needed for both
        few, drawn = random_logits(num=4, scale=3, seed=seed)
        stops = fit_temperature(few, drawn, 0) in TEMPERATURE_RANGE
        assert stops == (not has_optimum(few, drawn))
