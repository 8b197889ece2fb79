"""What temperature scaling costs or gains, on models whose true calibration is known, with and without its prior."""

from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax

from kd_core.measure.scaling import PRIOR_IMAGES, fit_temperature

ACCURACIES = (0.5, 0.9, 0.989, 0.999)
SIZES = (60, 500, 5000, 10_000)  # validation images
TRUE_TEMPERATURES = {"under": 1 / 3, "slightly_under": 1 / 1.5, "calibrated": 1.0, "slightly_over": 1.5, "over": 3.0}
NUM_CLASSES, POPULATION = 5, 4000


def measure(num_simulations: int = 200) -> dict[str, Any]:
    """The change of test NLL by scaling, in thousandths of a nat, by accuracy, images and confidence of the logits.

    `nll_change_n_60_accuracy_0.5` is the mean over under-confident, calibrated and over-confident logits, `…_worst`
    that of the worst of them, and `…_without_prior` is what maximum likelihood would cost on average.
    `temperature_change_n_5000_…` is how much the prior moves T, in per cent, in the worst case.
    """
    figures: dict[str, Any] = {}
    for accuracy in ACCURACIES:
        logits = population(accuracy)
        for num_images in SIZES:
            number = max(20, num_simulations * 60 // num_images) if num_images > 60 else num_simulations
            found = [scaled(logits, true, num_images, number) for true in TRUE_TEMPERATURES.values()]
            change, without, moved = np.array(found).T
            name = f"n_{num_images}_accuracy_{accuracy:g}"
            figures[f"nll_change_{name}"] = 1e3 * float(change.mean())
            figures[f"nll_change_{name}_worst"] = 1e3 * float(change.max())
            figures[f"nll_change_{name}_without_prior"] = 1e3 * float(without.mean())
            figures[f"temperature_change_{name}"] = 100 * float(np.abs(moved).max())
    return figures


def population(accuracy: float) -> np.ndarray:
    """Logits [P, K] that are calibrated at T = 1, with this mean confidence, and so this accuracy."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(POPULATION, NUM_CLASSES))
    logits[:, 0] += 2 + generator.gamma(2.0, 2.0, POPULATION)
    low, high = 0.01, 60.0
    for _ in range(50):
        scale = np.sqrt(low * high)
        sure = softmax(scale * logits, axis=1).max(axis=1).mean() > accuracy
        low, high = (low, scale) if sure else (scale, high)
    return scale * logits


def scaled(calibrated: np.ndarray, temperature: float, num_images: int, number: int) -> tuple[float, float, float]:
    """Mean change of the population's NLL by scaling with the prior and without it, and mean change of log T by it.

    The model's logits are the calibrated ones times a temperature.
    """
    generator = np.random.default_rng(1)
    probabilities = softmax(calibrated, axis=1)
    logits = temperature * calibrated
    raw = expected_nll(logits, probabilities)
    changes = []
    for _ in range(number):
        chosen = generator.integers(len(logits), size=num_images)
        labels = (probabilities[chosen].cumsum(axis=1) < generator.random((num_images, 1))).sum(axis=1)
        labels = labels.clip(max=NUM_CLASSES - 1)
        ours, likeliest = (fit_temperature(logits[chosen], labels, images) for images in (PRIOR_IMAGES, 0.0))
        nll = [expected_nll(logits / each, probabilities) - raw for each in (ours, likeliest)]
        changes.append((*nll, np.log(ours / likeliest)))
    return tuple(np.mean(changes, axis=0))


def expected_nll(logits: np.ndarray, probabilities: np.ndarray) -> float:
    """The NLL of a population of logits [P, K] whose labels have these probabilities."""
    return -float((probabilities * log_softmax(logits, axis=1)).sum(axis=1).mean())
