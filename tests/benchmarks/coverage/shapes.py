"""How often 95 % intervals of ECE, and of differences of ECE, contain the truth, however miscalibration is shaped.

A population has few distinct confidences, so that a sample and its resamples are multinomial counts, of any size.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from analysis.statistics.bootstrap import Estimate
from kd_core.measure.absolute_gaps import absolute_gap_draws
from kd_core.measure.calibration import NUM_BINS, bin_index
from tests.benchmarks.coverage.population import miscalibrated

_QUANTILES = (np.arange(100) + 0.5) / 100
_CERTAIN = 0.7  # of the images have a confidence of exactly 1
SMOOTH = {"overconfident": (0.0, "overconfident"), "both signs": (0.0, "both signs")}
ROUGH = {
    "one bin": (0.0, "one bin"),
    "top bin": (0.0, "top bin"),
    "certain": (_CERTAIN, "certain"),
    "rest of certain": (_CERTAIN, "overconfident"),
}
KINDS = SMOOTH | ROUGH  # the share of confidences that are 1, and where the gaps are
PAIRS = (("overconfident", "one bin"), ("overconfident", "top bin"), ("both signs", "certain"), ("one bin", "top bin"))
NUM_IMAGES = (200, 2000, 10_000, 50_000)
TRUE_ECES = (0.005, 0.02, 0.05)


def measure(num_simulations: int = 400) -> dict[str, Any]:
    """The coverage by shape, true ECE and number of images; of differences, between arms of equal ECE."""
    figures: dict[str, Any] = {}
    for num_images in NUM_IMAGES:
        for ece in TRUE_ECES:
            for kinds in [(kind,) for kind in KINDS] + list(PAIRS):
                name = " minus ".join(kinds)
                figures[f"shape_{name}_ece_{ece:g}_n_{num_images}"] = coverage(kinds, ece, num_images, num_simulations)[
                    0
                ]
    return figures


def coverage(
    kinds: tuple[str, ...], ece: float, num_images: int, num_simulations: int, num_resamples: int = 400
) -> tuple[float, float]:
    """The share of intervals that contain the true ECE, or, of two kinds, their true difference, and the mean width."""
    covered, widths = [], []
    for models in samples(kinds, ece, num_images, num_simulations, num_resamples):
        draws = [absolute_gap_draws(observed[None], resampled[:, None]) for observed, resampled, _ in models]
        truths = [truth for _, _, truth in models]
        if len(models) > 1:
            estimate, truth = Estimate.of(draws[0] - draws[1]), truths[0] - truths[1]
        else:
            estimate, truth = Estimate.of(draws[0]), truths[0]
        covered.append(estimate.low <= truth <= estimate.high)
        widths.append(estimate.high - estimate.low)
    return float(np.mean(covered)), float(np.mean(widths))


def samples(
    kinds: tuple[str, ...], ece: float, num_images: int, num_simulations: int, num_resamples: int
) -> Iterator[list[tuple[np.ndarray, np.ndarray, float]]]:
    """Gaps by bin of samples [M] and of their resamples [R, M], and the true ECE, of models that see the same images.

    An image is one of 100 confidences; two models err on it together, or by themselves, with equal probability.
    """
    generator, models = np.random.default_rng(0), [_population(kind, ece) for kind in kinds]
    chances = [probability for _, probability, _ in models]
    both = [np.stack([each, 1 - each]) for each in chances]  # [2, 100]: right, wrong
    if len(models) > 1:
        level = np.minimum(*chances)
        together = np.array([[level, chances[0] - level], [chances[1] - level, 1 - np.maximum(*chances)]])
        joint = (together + both[0][:, None] * both[1][None]) / 2  # [2, 2, 100]
    else:
        joint = both[0]
    right = np.indices(joint.shape)[:-1] == 0
    values = [
        _by_bin(confidence, (each - confidence).reshape(-1, len(confidence)))
        for (confidence, _, _), each in zip(models, right, strict=True)
    ]
    for _ in range(num_simulations):
        sample = generator.multinomial(num_images, joint.ravel() / joint.sum()) / num_images
        again = generator.multinomial(num_images, sample, size=num_resamples) / num_images
        yield [(sample @ each, again @ each, truth) for each, (_, _, truth) in zip(values, models, strict=True)]


def _population(kind: str, ece: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Confidences, the probability of being right at each, and the true ECE."""
    certain, shape = KINDS[kind]
    confidence = expit(1.5 + 1.6 * norm.ppf(np.minimum(_QUANTILES / (1 - certain), 1 - 1e-3)) - certain)
    confidence = np.where(certain > 1 - _QUANTILES, 1.0, confidence)
    return confidence, *miscalibrated(confidence, ece, shape)


def _by_bin(confidence: np.ndarray, gaps: np.ndarray) -> np.ndarray:
    """Gaps [O, 100] of each outcome in the column of their bin, [O · 100, M]."""
    return (gaps[..., None] * np.eye(NUM_BINS)[bin_index(confidence)]).reshape(-1, NUM_BINS)
