"""How often 95 % intervals of accuracy, and of its paired differences, contain the truth near 100 %."""

from typing import Any

import numpy as np
from scipy.stats import binom

from analysis.statistics.bootstrap import Estimate, accuracy_draws

ACCURACIES = (0.95, 0.98, 0.99, 0.995, 0.998, 0.999)
NUM_IMAGES = (60, 450, 2000, 10_000)
_COMMON = 0.5  # of the errors of two models, on images that both get wrong


def measure(num_simulations: int = 1000) -> dict[str, Any]:
    """The coverage by number of images, on average over accuracies and at the worst; of differences, simulated."""
    figures: dict[str, Any] = {}
    for num_images in NUM_IMAGES:
        single = [coverage(accuracy, num_images) for accuracy in ACCURACIES]
        paired = [difference_coverage(accuracy, num_images, num_simulations) for accuracy in ACCURACIES]
        for name, found in (("accuracy", single), ("accuracy_difference", paired)):
            figures[f"{name}_mean_n_{num_images}"] = float(np.mean(found))
            figures[f"{name}_least_n_{num_images}"] = float(np.min(found))
    return figures


def coverage(accuracy: float, num_images: int, num_resamples: int = 1000) -> float:
    """The probability that the interval of one model contains its true accuracy, by the binomial distribution."""
    generator, covered = np.random.default_rng(0), 0.0
    for wrong in range(num_images + 1):
        chance = float(binom.pmf(wrong, num_images, 1 - accuracy))
        if chance > 1e-6:
            right = np.array([1 - wrong / num_images])
            again = 1 - generator.binomial(num_images, wrong / num_images, size=(num_resamples, 1)) / num_images
            estimate = Estimate.of(accuracy_draws(right, again, num_images, right), float(right[0]))
            covered += chance * (estimate.low <= accuracy <= estimate.high)
    return covered


def difference_coverage(accuracy: float, num_images: int, num_simulations: int, num_resamples: int = 400) -> float:
    """The share of intervals that contain 0, the true difference of two equally accurate models on the same images."""
    generator, covered = np.random.default_rng(0), []
    wrong = 1 - accuracy
    chances = [wrong * _COMMON, wrong * (1 - _COMMON), wrong * (1 - _COMMON)]  # both err, the first, the second
    chances.append(1 - sum(chances))
    right = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    for number in range(num_simulations):
        sample = generator.multinomial(num_images, chances) / num_images
        again = generator.multinomial(num_images, sample, size=num_resamples) / num_images
        first, second = (
            accuracy_draws(sample @ each, again @ each, num_images, np.array([number, each[1, 0]]))
            for each in (right[:, :1], right[:, 1:])
        )
        estimate = Estimate.of(first - second, float(sample @ (right[:, 0] - right[:, 1])))
        covered.append(estimate.low <= 0 <= estimate.high)
    return float(np.mean(covered))
