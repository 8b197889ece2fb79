"""Whether the number of images or seeds that is advised shows a difference in 80 % of repetitions."""

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from analysis.pareto import Front
from analysis.statistics.advice import decisions
from analysis.statistics.evidence import Evidence, evidence_of
from tests.benchmarks.coverage.population import QUANTILES, model

NUM_ARMS = 5  # two that are compared, and others of the same recipe, so that seeds can be told from images
NUM_IMAGES, NUM_RESAMPLES = 300, 400
SEED_DEVIATION = 0.1  # of logits: about 1.4 points of accuracy


def measure(num_repetitions: int = 300) -> dict[str, float]:
    """In how many repetitions what was advised shows a difference as large as it seemed: images, and seeds."""
    return {
        "advice_shows_by_images_seeds_1": seen(num_repetitions, 1, "more_images"),
        "advice_shows_by_images_seeds_3": seen(num_repetitions, 3, "more_images"),
        "advice_shows_by_seeds": seen(num_repetitions, 3, "more_seeds"),
    }


def seen(num_repetitions: int, num_seeds: int, way: str) -> float:
    """The share of repetitions in which the interval of the difference leaves out zero, on the side of the truth.

    In each, other arms are compared first, and advice taken; then the population gets the difference that they showed.
    """
    generator, shown = np.random.default_rng(0), []
    deviation = SEED_DEVIATION if num_seeds > 1 else 0.0
    while len(shown) < num_repetitions:
        present = _evidence(generator, NUM_IMAGES, num_seeds, 0.3, deviation)
        seems = present.difference("accuracy", "0", "1").value
        times = _advised(present, way) if seems < 0 else np.inf
        if not np.isfinite(times):
            continue
        num_images = int(np.ceil(NUM_IMAGES * times)) if way == "more_images" else NUM_IMAGES
        again = int(np.ceil(num_seeds * times)) if way == "more_seeds" else num_seeds
        found = _evidence(generator, num_images, again, _shift(-seems), deviation)
        shown.append(found.difference("accuracy", "0", "1").high < 0)
    return float(np.mean(shown))


def _advised(evidence: Evidence, way: str) -> float:
    points = pd.DataFrame({"arm": ["0"], "rival": ["1"], "plausible": [True], "front_probability": [0.5]})
    (decision,) = decisions(Front(points, {"validation/accuracy": "max"}, {}, 0.0), evidence)
    return getattr(decision, way)


def _evidence(
    generator: np.random.Generator, num_images: int, num_seeds: int, shift: float, deviation: float
) -> Evidence:
    """Evidence of NUM_ARMS arms, of which the one named 1 has its logits higher by shift than all others."""
    hardness, luck = generator.normal(size=num_images), generator.normal(size=num_images)
    predictions, runs = {}, []
    for arm in range(NUM_ARMS):
        for seed in range(num_seeds):
            level = 1 + shift * (arm == 1) + deviation * generator.normal()
            own = 0.9 * hardness + np.sqrt(1 - 0.81) * generator.normal(size=num_images)
            chance = norm.cdf(0.8 * luck + 0.6 * generator.normal(size=num_images))
            probability = expit(level + 1.6 * own)
            trial = f"{arm} {seed}"
            predictions[trial] = model(probability, chance < probability)
            runs.append({"arm": str(arm), "trial": trial, "status": "finished"})
            runs[-1]["validation/accuracy"] = float(predictions[trial].correct.mean())
    made = evidence_of(pd.DataFrame(runs), "validation", predictions.__getitem__, NUM_RESAMPLES, ("accuracy",))
    assert made is not None
    return made


def _shift(difference: float) -> float:
    """How much higher logits make the accuracy of the population higher by a difference."""
    shifts = np.linspace(0, 3, 301)
    accuracy = [expit(1 + shift + 1.6 * norm.ppf(QUANTILES[::20])).mean() for shift in shifts]
    return float(np.interp(difference, np.array(accuracy) - accuracy[0], shifts))
