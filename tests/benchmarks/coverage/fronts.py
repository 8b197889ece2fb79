"""Whether front probabilities are what they say, and how many of the arms truly on the front are plausible."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from analysis.pareto import nondominated
from analysis.statistics.bootstrap import draws_of, resample
from analysis.statistics.judgement import PLAUSIBLE, domination, front_probability, leads_of, p_values
from tests.benchmarks.coverage.population import QUANTILES, model, true_ece

EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # of the classes of front probabilities
SPREADS = (0.1, 0.2, 0.3)  # standard deviations of the arms of a sweep, in logits: they differ little, or much
LEVEL_ARMS = {2: 1.0, 10: 0.5, 20: 0.25, 50: 0.05}  # numbers of arms that are all the same, and of their simulations


def measure(num_sweeps: int = 400) -> dict[str, float]:
    """How often arms of a simulated sweep of ten are truly on the front, by the probability they are given; how many of
    the arms truly on the front are plausible, and in how many sweeps all are: also where all arms are the same."""
    figures = front_calibration(num_sweeps)
    for num_arms, share in LEVEL_ARMS.items():
        found = front_calibration(int(share * num_sweeps), 2000, spreads=(0.0,), num_arms=num_arms)
        for name in ("all_truly_on_front_plausible", "all_kept_one_by_one"):
            figures[f"{name}_of_{num_arms}_level"] = found[name]
    return figures


def front_calibration(
    num_sweeps: int,
    num_images: int = 5000,
    num_resamples: int = 400,
    spreads: Sequence[float] = SPREADS,
    num_arms: int = 10,
) -> dict[str, float]:
    """Arms that are truly on the front: their share by the probability they are given, and how many are plausible.

    For comparison, `one_by_one`: arms that no single other arm dominates in 95 % of resamples.
    """
    given, true, kept, single, counts = [], [], [], [], resample(num_images, num_resamples)
    for values, truth in simulated_sweeps(num_sweeps, num_images, counts, spreads, num_arms):
        leads, noise = leads_of(values)
        given.append(front_probability(values))
        true.append(nondominated(truth))
        kept.append(p_values(leads.max(axis=1), noise) > 1 - PLAUSIBLE)
        single.append(domination(values).max(axis=0) < PLAUSIBLE)
    missed = [
        np.array([(on_front & ~each).any() for on_front, each in zip(true, way, strict=True)]) for way in (kept, single)
    ]
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
        "dominated_plausible": float(plausible[~on_front].mean()) if not on_front.all() else float("nan"),
        "all_truly_on_front_plausible": float(1 - missed[0].mean()),
        "all_kept_one_by_one": float(1 - missed[1].mean()),
        "num_plausible": float(np.sum(kept) / num_sweeps),
        "num_kept_one_by_one": float(np.sum(single) / num_sweeps),
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
