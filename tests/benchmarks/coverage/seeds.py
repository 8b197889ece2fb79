"""How often 95 % intervals contain the truth where an arm has several seeds: of its ECE, and of its accuracy."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from analysis.statistics.bootstrap import Estimate, resample
from analysis.statistics.evidence import evidence_of
from kd_core.measure.absolute_gaps import absolute_gap_draws
from kd_core.measure.calibration import NUM_BINS, bin_index
from tests.benchmarks.coverage.population import QUANTILES, miscalibrated, model

TRUE_ECES = (0.0, 0.005, 0.02, 0.05)
NUM_SEEDS = (1, 2, 3, 5, 10)


def measure(num_simulations: int = 400) -> dict[str, Any]:
    """The coverage of the mean ECE over seeds, by true ECE, number of seeds and number of images; and of accuracy, with
    ten arms of which the seeds of one differ five times as much."""
    figures: dict[str, Any] = {}
    for num_seeds in (2, 3, 5):
        found = one_unstable_arm(num_seeds, num_simulations)
        figures |= {f"one_unstable_arm_seeds_{num_seeds}_{name}": value for name, value in found.items()}
    return figures | {
        f"seeds_{num_seeds}_ece_{ece:g}_n_{num_images}": seed_coverage(ece, num_images, num_seeds, num_simulations)
        for ece in TRUE_ECES
        for num_seeds in NUM_SEEDS
        for num_images in (2000, 10_000)
    }


def seed_coverage(
    ece: float,
    num_images: int,
    num_seeds: int,
    num_simulations: int,
    shape: str = "overconfident",
    num_resamples: int = 400,
) -> float:
    """The share of intervals that contain the true mean ECE of seeds that see the same images.

    Seeds are equally miscalibrated, and half of what makes them err on an image is common to them.
    """
    generator, counts = np.random.default_rng(0), resample(num_images, num_resamples)
    population = expit(1.5 + 1.6 * norm.ppf(QUANTILES))
    probability, truth = miscalibrated(population, ece, shape)
    covered = []
    for _ in range(num_simulations):
        members = generator.integers(len(population), size=num_images)
        luck = generator.normal(size=(num_images, 1)) + generator.normal(size=(num_images, num_seeds))
        gaps = (norm.cdf(luck / np.sqrt(2)) < probability[members, None]) - population[members, None]
        columns = gaps[:, :, None] * np.eye(NUM_BINS)[bin_index(population[members])][:, None]
        again = (counts @ columns.reshape(num_images, -1)).reshape(num_resamples, num_seeds, NUM_BINS) / num_images
        estimate = Estimate.of(absolute_gap_draws(columns.mean(axis=0), again))
        covered.append(estimate.low <= truth <= estimate.high)
    return float(np.mean(covered))


def one_unstable_arm(
    num_seeds: int, num_sweeps: int, num_arms: int = 10, num_images: int = 1000, ratio: float = 5.0
) -> dict[str, float]:
    """The coverage of accuracy of the arm whose seeds differ by ratio times as much, and of the others; how many of
    each are called unstable."""
    generator = np.random.default_rng(0)
    deviation, level = np.full(num_arms, 0.015), 0.75
    deviation[0] *= ratio
    confidence = np.full(num_images, level)
    covered, unstable = [], []
    for sweep in range(num_sweeps):
        effects = deviation[:, None] * generator.normal(size=(num_arms, num_seeds))
        rows, predictions = [], {}
        for arm, seed in np.ndindex(effects.shape):
            correct = generator.random(num_images) < level + effects[arm, seed]
            trial = f"{sweep} {arm} {seed}"
            predictions[trial] = model(confidence, correct)
            rows.append({"arm": str(arm), "trial": trial, "status": "finished", "test/accuracy": correct.mean()})
        evidence = evidence_of(pd.DataFrame(rows), "test", predictions.__getitem__, 400, ("accuracy",))
        assert evidence is not None, "all trials are finished"
        estimates = [evidence.estimate("accuracy", str(arm)) for arm in range(num_arms)]
        covered.append([each.low <= level <= each.high for each in estimates])
        unstable.append([str(arm) in evidence.unstable["accuracy"] for arm in range(num_arms)])
    return {
        f"{name}_{what}": float(np.mean(np.array(values)[:, part]))
        for name, values in (("covered", covered), ("called_unstable", unstable))
        for what, part in (("unstable", slice(0, 1)), ("stable", slice(1, None)))
    }
