"""Epochs spent and front kept under early stopping, on simulated learning curves that cross or do not."""

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Any

import moocore
import numpy as np

from analysis.pareto import nondominated
from sweeps.config.search import ParetoAshaConfig
from sweeps.search.pareto_asha import Rungs

NUM_ARMS, NUM_EPOCHS, NUM_SEEDS, NUM_WORKERS = 54, 27, 40, 8
GRACE, FACTOR, TOLERANCES = 3, 3.0, (0.0, 0.1, 0.2, 0.3)
ACCURACY = {"validation/accuracy": "max"}
BOTH = ACCURACY | {"validation/ece": "min"}
CURVES = {"steady": 0.1, "crossing": 0.5}  # how much arms differ in speed, and in where they begin


def measure() -> dict[str, Any]:
    """By kind of curves and rule, means over seeds: the share of the front, its hypervolume and the epochs."""
    rules: dict[str, Callable[[], Rungs] | None] = {"none": None, "accuracy": lambda: rungs_of(0.0, ACCURACY)}
    rules |= {f"pareto_{each:g}": lambda each=each: rungs_of(each, BOTH) for each in TOLERANCES}
    figures: dict[str, Any] = {"arms": NUM_ARMS, "epochs": NUM_EPOCHS, "seeds": NUM_SEEDS, "workers": NUM_WORKERS}
    for kind, spread in CURVES.items():
        for name, make in rules.items():
            predictions = np.array([outcome_of(seed, spread, make) for seed in range(NUM_SEEDS)]).mean(axis=0)
            for figure, value in zip(("front_kept", "hypervolume_kept", "epochs_spent"), predictions, strict=True):
                figures[f"{kind}_{name}_{figure}"] = round(float(value), 3)
    return figures


def rungs_of(tolerance: float, objectives: dict[str, str]) -> Rungs:
    """The rungs of a new sweep; on accuracy alone they are those of plain ASHA."""
    rule = ParetoAshaConfig(grace_epochs=GRACE, reduction_factor=FACTOR, tolerance=tolerance)
    return Rungs(rule, objectives)


def outcome_of(seed: int, spread: float, make: Callable[[], Rungs] | None) -> tuple[float, float, float]:
    """The shares of the true front, and of its hypervolume, among the arms trained to the end, and of the epochs."""
    curves = curves_of(np.random.default_rng(seed), spread)
    last = curves[:, -1] * [-1, 1]
    front, corner = nondominated(last), last.max(axis=0)
    finished, spent = run(curves, make() if make else None, np.random.default_rng(seed + 1000))
    volume = moocore.hypervolume(last[finished], ref=corner) / moocore.hypervolume(last, ref=corner)
    return float(finished[front].mean()), float(volume), spent / (NUM_ARMS * NUM_EPOCHS)


def curves_of(random: np.random.Generator, spread: float) -> np.ndarray:
    """Accuracy and ECE of every arm after every epoch, [A, E, 2].

    The better an arm ends in accuracy, the worse in ECE, but for what lies behind the front. Arms differ in speed, and
    in the ECE with which they begin, by `spread`: with a large one, slow arms of high accuracy cross fast ones, and
    some begin well calibrated and grow overconfident, while others recover. Both figures scatter like those of a finite
    validation split.
    """
    along, behind = random.uniform(size=NUM_ARMS), random.exponential(0.3, size=NUM_ARMS)
    last_accuracy, last_ece = 0.5 + 0.2 * along - 0.08 * behind, 0.02 + 0.1 * along**2 + 0.03 * behind
    speed, begin = random.lognormal(np.log(5), spread, size=NUM_ARMS), random.uniform(-1, 1, size=NUM_ARMS)
    left = np.exp(-np.arange(1, NUM_EPOCHS + 1) / speed[:, None])
    accuracy = last_accuracy[:, None] * (1 - left)
    ece = last_ece[:, None] * (1 + (0.5 + 1.5 * spread * begin)[:, None] * left)
    noise = random.normal(0, [0.005, 0.003], size=(NUM_ARMS, NUM_EPOCHS, 2))
    return np.stack([accuracy, ece], axis=-1) + noise


def run(curves: np.ndarray, rungs: Rungs | None, random: np.random.Generator) -> tuple[np.ndarray, int]:
    """Which arms [A] ran to the end, and the epochs spent, by workers that take the arms in turn, each at its pace."""
    finished, spent, waiting = np.zeros(len(curves), dtype=bool), 0, list(range(len(curves)))
    pace = random.uniform(0.7, 1.3, size=len(curves))
    at_work = [(pace[arm], arm, 1) for arm in waiting[:NUM_WORKERS]]
    del waiting[:NUM_WORKERS]
    heapify(at_work)
    journals: list[list[dict[str, Any]]] = [[] for _ in curves]
    while at_work:
        now, arm, epoch = heappop(at_work)
        spent += 1
        accuracy, ece = curves[arm, epoch - 1]
        journals[arm].append({"epoch": epoch, "time": now, "validation/accuracy": accuracy, "validation/ece": ece})
        finished[arm] = epoch == curves.shape[1]
        stopped = rungs is not None and rungs.decide(str(arm), journals[arm], curves.shape[1]) is not None
        if not finished[arm] and not stopped:
            heappush(at_work, (now + pace[arm], arm, epoch + 1))
        elif waiting:
            heappush(at_work, (now + pace[waiting[0]], waiting.pop(0), 1))
    return finished, spent
