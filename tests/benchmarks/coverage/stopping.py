"""Whether figures hold that early stopping has selected by: arms of equal truth, whose seeds differ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import norm

from analysis.readings import front_in, judgement_of
from analysis.statistics.evidence import Evidence, evidence_of
from kd_core.measure.predictions import RAW, Predictions
from tests.benchmarks.coverage.population import QUANTILES, model
from tests.benchmarks.early_stopping import ACCURACY, run, rungs_of

NUM_ARMS, NUM_SEEDS, NUM_FRESH, SEED_DEVIATION = 10, 3, 3, 0.0075
NUM_EPOCHS, NUM_IMAGES, NUM_RESAMPLES = 27, 5000, 200
TRUTH = float(expit(1.5 + 1.6 * norm.ppf(QUANTILES)).mean())  # the accuracy of every arm
EPOCH_NOISE = 0.003  # of an epoch's accuracy, beside the noise of seed and images that all epochs share


@dataclass(frozen=True)
class Network:
    """One simulated trial: its arm, its seed, its true accuracy, and its predictions on both splits."""

    arm: str
    seed: int
    truth: float
    predictions: dict[str, Predictions]

    @property
    def key(self) -> str:
        """The key of its record."""
        return f"{self.arm} {self.seed}"

    def accuracy(self, split: str) -> float:
        """The accuracy of the sample."""
        return float(self.predictions[split].correct.mean())


def measure(num_sweeps: int = 400) -> dict[str, Any]:
    """Bias in points, and coverage of 95 %, of the accuracy of arms of equal truth after early stopping.

    `alone`: every seed is judged by itself, and the survivors are averaged. `scouts`: the first seed of an arm is
    judged, and the others are averaged. Each for all arms that are left, and for the recommended one, `measured` and as
    the report tells it; `confirmed` is the recommended one on fresh seeds.
    """
    found: dict[str, list[tuple[float, bool]]] = {}
    for number in range(num_sweeps):
        for name, errors in sweep(np.random.default_rng(number)).items():
            found.setdefault(name, []).extend(errors)
    figures: dict[str, Any] = {}
    for name, errors in found.items():
        error, covered = zip(*errors, strict=True)
        figures[f"stopping_{name}_bias_points"] = 100 * float(np.mean(error))
        figures[f"stopping_{name}_coverage"] = float(np.mean(covered))
    return figures


def sweep(random: np.random.Generator) -> dict[str, list[tuple[float, bool]]]:
    """The errors of estimated accuracies, and whether their intervals hold the truth, of one simulated sweep."""
    make = maker(random)
    networks = [[make(f"arm {arm}", seed) for seed in range(NUM_SEEDS)] for arm in range(NUM_ARMS)]
    everyone = [network for seeds in networks for network in seeds]
    alone = [network for network, left in zip(everyone, survivors(everyone, random), strict=True) if left]
    scouted = survivors([seeds[0] for seeds in networks], random)
    roles = {network.key: "follower" if network.seed else "scout" for network in everyone}
    left = [network for seeds, finished in zip(networks, scouted, strict=True) if finished for network in seeds]
    found = {}
    for name, finished, of in (("alone", alone, {}), ("scouts", left, roles)):
        recommended, measured, corrected = reported(finished, of)
        counted = [network for network in finished if of.get(network.key) != "scout"]
        found[name] = [error_of(measured, arm, counted) for arm in measured.arms]
        found[f"{name}_measured"] = [error_of(measured, recommended, counted)]
        found[f"{name}_recommended"] = [error_of(corrected, recommended, counted)]
    fresh = [make(recommended, NUM_SEEDS + number) for number in range(NUM_FRESH)]
    _, _, test = reported(left + fresh, roles | {network.key: "confirmation" for network in fresh})
    return found | {"confirmed": [error_of(test, recommended, fresh)]}


def maker(random: np.random.Generator) -> Callable[[str, int], Network]:
    """Makes networks that see the same images and are equally good but for their seeds."""
    hardness = {split: random.normal(size=NUM_IMAGES) for split in ("validation", "test")}

    def make(arm: str, seed: int) -> Network:
        """A network whose accuracy its seed has moved, by as much on both splits."""
        shift, predictions = SEED_DEVIATION * random.normal(), {}
        for split, hard in hardness.items():
            confidence = expit(1.5 + 1.6 * hard)
            predictions[split] = model(confidence, random.random(NUM_IMAGES) < confidence + shift)
        return Network(arm, seed, TRUTH + shift, predictions)

    return make


def survivors(networks: list[Network], random: np.random.Generator) -> np.ndarray:
    """Which of some networks [n] the rungs let go on to the end, by curves that end near their validation accuracy."""
    ends = np.array([network.accuracy("validation") for network in networks])
    left = 0.4 * np.exp(-np.arange(1, NUM_EPOCHS + 1) / 5)
    accuracy = ends[:, None] - left + random.normal(0, EPOCH_NOISE, size=(len(networks), NUM_EPOCHS))
    return run(np.stack([accuracy, np.zeros_like(accuracy)], axis=-1), rungs_of(0.0, ACCURACY), random)[0]


def reported(networks: list[Network], roles: dict[str, str]) -> tuple[str, Evidence, Evidence]:
    """The arm that a report recommends, and the evidence of test images: as measured, and without the arm's luck."""
    predictions = {network.key: network.predictions for network in networks}
    blank = dict.fromkeys(("method", "teacher", "temperature", "student"), "") | {"alpha": np.nan}
    rows = [
        {"trial": network.key, "label": network.key, "arm": network.arm, "seed": network.seed, "status": "finished"}
        | {"role": roles.get(network.key, "")}
        | blank
        | {
            f"{split}/{figure}": network.accuracy(split)
            for split in network.predictions
            for figure in ("accuracy", "ece")
        }
        for network in networks
    ]
    runs = pd.DataFrame(rows)
    validation, test = (
        evidence_of(runs, split, lambda key, split=split: predictions[key][split], NUM_RESAMPLES, ("accuracy",))
        for split in ("validation", "test")
    )
    assert test is not None
    said = judgement_of("", RAW, runs, front_in(RAW, runs, ACCURACY, validation), validation, test, baseline="")
    assert said.test is not None
    return said.choices.recommended, test, said.test


def error_of(test: Evidence, arm: str, networks: list[Network]) -> tuple[float, bool]:
    """How much too good an arm's accuracy is estimated, and whether its interval holds the truth.

    The error that test images make is known of its networks, and left out: it is zero on average.
    """
    estimate, own = test.estimate("accuracy", arm), [network for network in networks if network.arm == arm]
    by_images = np.mean([network.accuracy("test") - network.truth for network in own])
    return estimate.value - by_images - TRUTH, estimate.low <= TRUTH <= estimate.high
