"""Whether intervals cover the truth and front probabilities are what they say, on models whose truth is known."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from analysis.pareto import nondominated
from analysis.statistics.bootstrap import Estimate, draws_of, resample
from analysis.statistics.judgement import PLAUSIBLE, domination, front_probability
from kd_core.measure.calibration import bin_index
from kd_core.measure.outcomes import RAW, SCALED, Outcomes, Reading

TRUE_ECES = (0.0, 0.005, 0.02, 0.05)
SHAPES = {  # how miscalibration depends on confidence, up to a factor
    "overconfident": lambda confidence: confidence * (1 - confidence),
    "both signs": lambda confidence: confidence * (1 - confidence) * (confidence - 0.6),
}
EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)  # of the classes of front probabilities
SPREADS = (0.1, 0.2, 0.3)  # standard deviations of the arms of a sweep, in logits: they differ little, or much
_QUANTILES = (np.arange(20_000) + 0.5) / 20_000  # a population of confidences, for exact truths


def measure(num_simulations: int = 1000, num_sweeps: int = 400) -> dict[str, Any]:
    """How often 95 % intervals contain the true ECE, by true ECE, number of images and shape of miscalibration: ours,
    and for comparison percentiles of resampled ECEs and the basic interval around 2·ECE − mean; how often arms of a
    simulated sweep of ten are truly on the front, by the probability they are given; and how many of the arms truly on
    the front are plausible."""
    figures: dict[str, Any] = {}
    for num_images in (1000, 10_000):
        for shape in SHAPES:
            for ece in TRUE_ECES:
                found = interval_coverage(ece, num_images, shape, num_simulations)
                figures |= {f"{name}_{shape}_ece_{ece:g}_n_{num_images}": value for name, value in found.items()}
    return figures | front_calibration(num_sweeps)


def interval_coverage(
    ece: float, num_images: int, shape: str, num_simulations: int, num_resamples: int = 1000
) -> dict[str, float]:
    """The share of intervals that contain the true ECE, and the mean width of ours."""
    generator, counts = np.random.default_rng(0), resample(num_images, num_resamples)
    draw = norm.ppf(_QUANTILES)
    population = expit(1.5 + 1.6 * draw)
    probability, truth = _miscalibrated(population, ece, shape)
    covered, width = {"ours": [], "percentile": [], "basic": []}, []
    for _ in range(num_simulations // 16 + 1):
        members = [generator.integers(len(population), size=num_images) for _ in range(16)]
        models = [model(population[each], generator.random(num_images) < probability[each]) for each in members]
        for outcomes, draws in zip(models, draws_of(models, counts), strict=True):
            ours = Estimate.of(draws["ece"])
            plain, again = plain_ece(outcomes), resampled_ece(outcomes, counts)
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


def _miscalibrated(confidence: np.ndarray, ece: float, shape: str) -> tuple[np.ndarray, float]:
    """The probability of being right at each confidence of the population, such that its ECE is ece; and its ECE."""
    gap = SHAPES[shape](confidence)
    for _ in range(20):  # clipping and binning change the factor a little
        probability = np.clip(confidence - gap, 0, 1)
        found = _true_ece(confidence, probability)
        gap = gap * (ece / found if found > 0 else 0)
    return np.clip(confidence - gap, 0, 1), _true_ece(confidence, np.clip(confidence - gap, 0, 1))


def _true_ece(confidence: np.ndarray, probability: np.ndarray) -> float:
    return float(np.abs(np.bincount(bin_index(confidence), probability - confidence)).sum() / len(confidence))


def model(confidence: np.ndarray, correct: np.ndarray) -> Outcomes:
    """Outcomes with these confidences [N] and, for label 0, predictions that are right or wrong."""
    zeros = np.zeros(len(confidence), dtype=np.float32)
    reading = Reading(confidence.astype(np.float32), zeros, zeros, zeros)
    label = np.zeros(len(confidence), dtype=np.int64)
    return Outcomes(label, (~correct).astype(np.int64), 1.0, {RAW: reading, SCALED: reading})


def plain_ece(outcomes: Outcomes) -> float:
    """The ECE of the sample."""
    confidence = outcomes.readings[RAW].confidence.astype(np.float64)
    return float(np.abs(np.bincount(bin_index(confidence), outcomes.correct - confidence)).sum() / len(confidence))


def resampled_ece(outcomes: Outcomes, counts: np.ndarray) -> np.ndarray:
    """The ECE of each resample, [R]."""
    confidence = outcomes.readings[RAW].confidence.astype(np.float64)
    columns = np.eye(15)[bin_index(confidence)] * (outcomes.correct - confidence)[:, None]
    return np.abs(counts @ columns).sum(axis=1) / len(confidence)


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
    generator, normal = np.random.default_rng(1), norm.ppf(_QUANTILES)
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
            truth.append([1 - probability.mean(), _true_ece(confidence, probability)])
        draws = draws_of(models, counts, ("accuracy", "ece"))
        yield np.stack([np.stack([-each["accuracy"], each["ece"]], axis=1) for each in draws], axis=1), np.array(truth)
