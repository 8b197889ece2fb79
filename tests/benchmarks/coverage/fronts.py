"""Whether front probabilities are what they say, and how many of the arms truly on the front are plausible."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from analysis.pareto import nondominated
from analysis.statistics.bootstrap import draws_of, resample
from analysis.statistics.judgement import PLAUSIBLE, domination, front_probability
from tests.benchmarks.coverage.population import QUANTILES, model, true_ece

EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # of the classes of front probabilities
SPREADS = (0.1, 0.2, 0.3)  # standard deviations of the arms of a sweep, in logits: they differ little, or much


def measure(num_sweeps: int = 400) -> dict[str, float]:
    """How often arms of a simulated sweep of ten are truly on the front, by the probability they are given; and how
    many of the arms truly on the front are plausible."""
    return front_calibration(num_sweeps)


def front_calibration(
    num_sweeps: int, num_images: int = 5000, num_resamples: int = 400, spreads: Sequence[float] = SPREADS
) -> dict[str, float]:
    """Arms that are truly on the front: their share by the probability they are given, and how many are plausible."""
    given, true, kept, counts = [], [], [], resample(num_images, num_resamples)
    for values, truth in simulated_sweeps(num_sweeps, num_images, counts, spreads):
        on_front = nondominated(truth)
        given.append(front_probability(values))
        true.append(on_front)
        kept.append(domination(values).max(axis=0) < PLAUSIBLE)
    probability, on_front, plausible = (np.concatenate(each) for each in (given, true, kept))
    figures = {}
    for low, high in itertools.pairwise(EDGES):
        inside = (probability >= low) & ((probability < high) | (high == EDGES[-1]))
        name = f"said_{low:g}_to_{high:g}"
        figures[f"{name}_mean"] = float(probability[inside].mean()) if inside.any() else float("nan")
        figures[f"{name}_truly"] = float(on_front[inside].mean()) if inside.any() else float("nan")
        figures[f"{name}_arms"] = int(inside.sum())
    return figures | {
        "truly_on_front_plausible": float(plausible[on_front].mean()),
        "dominated_plausible": float(plausible[~on_front].mean()),
    }


def simulated_sweeps(
    num_sweeps: int, num_images: int, counts: np.ndarray, spreads: Sequence[float] = SPREADS, num_arms: int = 10
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draws [R, A, 2] and truths [A, 2] of error and ECE of sweeps whose arms see the same, equally hard images."""
    generator, normal = np.random.default_rng(1), norm.ppf(QUANTILES)
    for number in range(num_sweeps):
        spread = spreads[number % len(spreads)]
        shift = spread * generator.normal(size=num_arms)
        overconfidence = 0.15 + 0.5 * shift + 0.5 * spread * generator.normal(size=num_arms)
        hardness, luck = generator.normal(size=num_images), generator.normal(size=num_images)
        models, truth = [], []
        for own_shift, own_overconfidence in zip(shift, overconfidence, strict=True):
            share = 0.9 * hardness + np.sqrt(1 - 0.81) * generator.normal(size=num_images)
            level = 1 + own_shift + 1.6 * share
            chance = norm.cdf(0.8 * luck + 0.6 * generator.normal(size=num_images))
            models.append(model(expit(level + own_overconfidence), chance < expit(level)))
            population = 1 + own_shift + 1.6 * normal
            confidence, probability = expit(population + own_overconfidence), expit(population)
            truth.append([1 - probability.mean(), true_ece(confidence, probability)])
        draws = draws_of(models, counts, ("accuracy", "ece"))
        yield np.stack([np.stack([-each["accuracy"], each["ece"]], axis=1) for each in draws], axis=1), np.array(truth)
