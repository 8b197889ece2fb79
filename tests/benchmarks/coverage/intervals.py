"""How often 95 % intervals contain the truth."""

from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from analysis.statistics.bootstrap import Estimate, draws_of, resample
from kd_core.measure.calibration import bin_index
from kd_core.measure.predictions import RAW, Predictions
from tests.benchmarks.coverage.population import QUANTILES, SHAPES, miscalibrated, model

TRUE_ECES = (0.0, 0.005, 0.02, 0.05)
NUM_IMAGES = 1000  # other numbers are those of `shapes`


def measure(num_simulations: int = 1000) -> dict[str, Any]:
    """How often 95 % intervals contain the true ECE, by true ECE and shape of miscalibration: ours, and
    for comparison percentiles of resampled ECEs and the basic interval around 2·ECE − mean."""
    figures: dict[str, Any] = {}
    for shape in SHAPES:
        for ece in TRUE_ECES:
            found = interval_coverage(ece, NUM_IMAGES, shape, num_simulations)
            figures |= {f"{name}_{shape}_ece_{ece:g}_n_{NUM_IMAGES}": value for name, value in found.items()}
    return figures


def interval_coverage(
    ece: float, num_images: int, shape: str, num_simulations: int, num_resamples: int = 1000
) -> dict[str, float]:
    """The share of intervals that contain the true ECE, and the mean width of ours."""
    generator, counts = np.random.default_rng(0), resample(num_images, num_resamples)
    draw = norm.ppf(QUANTILES)
    population = expit(1.5 + 1.6 * draw)
    probability, truth = miscalibrated(population, ece, shape)
    covered, width = {"ours": [], "percentile": [], "basic": []}, []
    for _ in range(num_simulations // 16 + 1):
        members = [generator.integers(len(population), size=num_images) for _ in range(16)]
        models = [model(population[each], generator.random(num_images) < probability[each]) for each in members]
        for predictions, draws in zip(models, draws_of(models, counts), strict=True):
            ours = Estimate.of(draws["ece"])
            plain, again = plain_ece(predictions), resampled_ece(predictions, counts)
            low, high = np.quantile(again, [0.025, 0.975])
            shift = plain - again.mean()
            ends = {"ours": (ours.low, ours.high), "percentile": (low, high)}
            ends["basic"] = (2 * plain - high + shift, 2 * plain - low + shift)
            width.append(ours.high - ours.low)
            for name, (least, most) in ends.items():
                covered[name].append(least <= truth <= most)
    return {f"coverage_{name}": float(np.mean(each)) for name, each in covered.items()} | {
        "width_ours": float(np.mean(width))
    }


def plain_ece(predictions: Predictions) -> float:
    """The ECE of the sample."""
    confidence = predictions.readings[RAW].confidence.astype(np.float64)
    return float(np.abs(np.bincount(bin_index(confidence), predictions.correct - confidence)).sum() / len(confidence))


def resampled_ece(predictions: Predictions, counts: np.ndarray) -> np.ndarray:
    """The ECE of each resample, [R]."""
    confidence = predictions.readings[RAW].confidence.astype(np.float64)
    columns = np.eye(15)[bin_index(confidence)] * (predictions.correct - confidence)[:, None]
    return np.abs(counts @ columns).sum(axis=1) / len(confidence)
