"""Whether what a report says of the arm that it recommends holds: networks that were chosen are the ones measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from analysis.choices import worth_naming
from analysis.pareto import Front, front_of
from analysis.statistics.bootstrap import Estimate
from analysis.statistics.evidence import Evidence, evidence_of
from analysis.statistics.judgement import judged
from analysis.statistics.selection import selection_of
from kd_core.measure.predictions import Predictions, summary_of
from tests.benchmarks.coverage.population import QUANTILES, model, true_ece

TRUTHS = {  # how much more accurate each arm truly is than the first, classic training, in points
    "level": lambda num_arms: np.zeros(num_arms),
    "one_better": lambda num_arms: np.eye(num_arms)[-1],
    "slope": lambda num_arms: np.linspace(0, 2, num_arms),
}
SETTINGS = [  # truths, arms, seeds and images of each split
    ("level", 9, 2, 2000),
    ("level", 5, 3, 2000),
    ("one_better", 10, 2, 2000),
    ("slope", 10, 2, 2000),
]
SEED_DEVIATION = 0.75  # points of accuracy
SEED_OVERCONFIDENCE = 0.05  # in logits, which is about .006 of ECE
LEVEL, OVERCONFIDENCE, SPREAD = 1.0, 0.15, 1.6  # of the population's logits
FIGURES = ("accuracy", "ece")
PER_POINT = 0.01 / np.mean(expit(LEVEL + SPREAD * norm.ppf(QUANTILES)) * expit(-LEVEL - SPREAD * norm.ppf(QUANTILES)))


@dataclass(frozen=True)
class Sweep:
    """A simulated sweep: runs and evidence of both splits, the recommended arm, and what is true of each arm.

    networks: the true figures of the networks themselves by arm, means over seeds; what they exceed the arm's by is
    luck of seeds. Truths and networks are [A] by figure.
    """

    runs: pd.DataFrame
    front: Front
    validation: Evidence
    test: Evidence
    truth: dict[str, np.ndarray]
    networks: dict[str, np.ndarray]


def measure(num_sweeps: int = 400) -> dict[str, Any]:
    """The bias of what is said of recommended arms, how often intervals contain the truth, and how often an arm is
    said to be more accurate than classic training though it is not: as measured, and without the luck of selection."""
    figures: dict[str, Any] = {}
    for truths, num_arms, num_seeds, num_images in SETTINGS:
        found = of_recommended(truths, num_arms, num_seeds, num_images, num_sweeps)
        figures |= {f"{name}_{truths}_{num_arms}_arms_{num_seeds}_seeds": value for name, value in found.items()}
    return figures


def of_recommended(
    truths: str, num_arms: int, num_seeds: int, num_images: int, num_sweeps: int, num_resamples: int = 200
) -> dict[str, float]:
    """Biases are in points of accuracy, and in hundredths of ECE; classic training where it is recommended is left out.

    The error of accuracy that test images make is known here, and taken off before errors are averaged: it is zero on
    average.
    """
    rows = []
    for sweep in simulated_sweeps(truths, num_arms, num_seeds, num_images, num_sweeps, num_resamples):
        arm, classic = worth_naming(sweep.front, sweep.validation, sweep.test.arms[0])[0], sweep.test.arms[0]
        if arm == classic:
            continue
        selection = selection_of(sweep.runs, sweep.front, sweep.validation, "validation/accuracy", arm, classic)
        assert selection is not None
        place, corrected = sweep.test.arms.index(arm), selection.corrected(sweep.test)
        for figure in FIGURES:
            said = {
                name: (evidence.estimate(figure, arm), evidence.difference(figure, arm, classic))
                for name, evidence in (("measured", sweep.test), ("corrected", corrected))
            }
            by_images = (sweep.test.plain[figure] - sweep.networks[figure]) * (figure == "accuracy")
            for name, (level, difference) in said.items():
                rows += [
                    _row(f"{figure}_{name}", level, sweep.truth[figure][place], by_images[place]),
                    _row(
                        f"{figure}_difference_{name}",
                        difference,
                        sweep.truth[figure][place] - sweep.truth[figure][0],
                        by_images[place] - by_images[0],
                    ),
                ]
    figures = {}
    for name, group in pd.DataFrame(rows).groupby("name", sort=False):
        figures[f"bias_{name}"] = float(100 * group["error"].mean())
        figures[f"coverage_{name}"] = float(group["covered"].mean())
        if str(name).startswith("accuracy_difference"):
            figures[f"said_more_accurate_{name}"] = float(group["above_zero"].sum() / num_sweeps)
    return figures


def _row(name: str, said: Estimate, truth: float, by_images: float) -> dict[str, Any]:
    covered = said.low <= truth <= said.high
    return {"name": name, "error": said.value - truth - by_images, "covered": covered, "above_zero": said.low > 0}


def simulated_sweeps(
    truths: str, num_arms: int, num_seeds: int, num_images: int, num_sweeps: int, num_resamples: int
) -> Iterator[Sweep]:
    """Sweeps whose networks see the same, equally hard images; each seed shifts a network's accuracy and confidence."""
    generator = np.random.default_rng(3)
    shifts, arms = TRUTHS[truths](num_arms) * PER_POINT, [f"arm {number}" for number in range(num_arms)]
    truth = _figures(shifts, np.full(num_arms, OVERCONFIDENCE))
    for _ in range(num_sweeps):
        images = {split: generator.normal(size=(2, num_images)) for split in ("validation", "test")}
        shift = shifts[:, None] + SEED_DEVIATION * PER_POINT * generator.normal(size=(num_arms, num_seeds))
        overconfidence = OVERCONFIDENCE + SEED_OVERCONFIDENCE * generator.normal(size=(num_arms, num_seeds))
        rows, predictions = [], {split: {} for split in images}
        for arm, own_shift, own_overconfidence in zip(arms, shift, overconfidence, strict=True):
            for seed in range(num_seeds):
                key = f"{arm}-{seed}"
                for split, of_split in images.items():
                    predictions[split][key] = _network(own_shift[seed], own_overconfidence[seed], of_split, generator)
                rows.append(_run(arm, key, seed, {split: predictions[split][key] for split in images}))
        runs = pd.DataFrame(rows)
        validation, test = (
            evidence_of(runs, split, of_split.__getitem__, num_resamples, FIGURES)
            for split, of_split in predictions.items()
        )
        assert validation is not None
        assert test is not None
        networks = _figures(shift.ravel(), overconfidence.ravel())
        means = {name: values.reshape(shift.shape).mean(axis=1) for name, values in networks.items()}
        yield Sweep(runs, judged(front_of(runs), validation), validation, test, truth, means)


def _figures(shifts: np.ndarray, overconfidence: np.ndarray) -> dict[str, np.ndarray]:
    """The true figures of networks with these shifts and overconfidences, in logits."""
    levels = [LEVEL + shift + SPREAD * norm.ppf(QUANTILES) for shift in shifts]
    eces = [true_ece(expit(level + own), expit(level)) for level, own in zip(levels, overconfidence, strict=True)]
    return {"accuracy": np.array([expit(level).mean() for level in levels]), "ece": np.array(eces)}


def _network(shift: float, overconfidence: float, images: np.ndarray, generator: np.random.Generator) -> Predictions:
    """Predictions of one network on images of these hardnesses and lucks [2, N], on which it errs much as others do."""
    hardness, luck = images
    share = 0.9 * hardness + np.sqrt(1 - 0.81) * generator.normal(size=len(hardness))
    level = LEVEL + shift + SPREAD * share
    chance = norm.cdf(0.8 * luck + 0.6 * generator.normal(size=len(hardness)))
    return model(expit(level + overconfidence), chance < expit(level))


def _run(arm: str, key: str, seed: int, splits: dict[str, Predictions]) -> dict[str, Any]:
    """A row of the table of runs."""
    texts = dict.fromkeys(("teacher", "temperature", "student", "error"), "")
    identity = {"arm": arm, "trial": key, "label": key, "method": "kd", "alpha": 0.0, "seed": seed}
    return identity | texts | {"status": "finished"} | summary_of(splits)
