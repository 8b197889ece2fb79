"""How much of the front a search finds in so many trials, by sampler and as a grid, on a surrogate of `cifar100`."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import moocore
import numpy as np

from sweeps.config.space import Settings, Space
from sweeps.config.sweep import SweepSpec
from sweeps.search.study import Study

# Validation accuracy and confidence - accuracy, means over two seeds of `kdsweep run cifar100` (16 epochs, README).
WITHOUT_TEACHER = {"kd": (0.4076, -0.0020), "kd_mixup": (0.3217, -0.0488)}  # classic and mixup: alpha = 1
AT_TEMPERATURES = {
    2: (0.4285, 0.0877),
    4: (0.4348, 0.0944),
    6: (0.4400, 0.0764),
    8: (0.4341, 0.0761),
    10: (0.4331, 0.0711),
}
KD_AT_2 = (
    0.4746,
    0.0731,
)  # kd was run at T = 2 only: other temperatures are taken to change it as they change kd_mixup
DEVIATIONS = (0.0069, 0.0031)  # of the two figures, from seed to seed
BEST_RATE, COST_OF_A_DECADE = 0.003, 0.06  # not from records: a learning rate that matters
RATES = {"two_keys": [BEST_RATE], "three_keys": [0.0001, 0.1]}
SMALLEST_ECE = 0.015  # what is left of an ECE where confidence = accuracy
REFERENCE = (-0.3, 0.1)  # accuracy, negative, and ECE
NUM_SEEDS = {"random": 40, "nsga2": 40, "tpe": 20, "gp": 3}
NUM_TRIALS = (30, 60, 120, 240)
MOST_GP_TRIALS = 60  # its time grows fast


def measure() -> dict[str, Any]:
    """By sampler and number of trials, the hypervolume that their true figures attain, of the best possible, as a mean
    over seeds of the search, and its standard error; with temperature and alpha alone, and with a learning rate."""
    figures: dict[str, Any] = {f"seeds_{name}": number for name, number in NUM_SEEDS.items()}
    for space, rates in RATES.items():
        best = volume_of([true_figures(point) for point in dense(81, 81, [BEST_RATE])])
        for num_trials in NUM_TRIALS:
            found = {"grid": [volume_of([true_figures(point) for point in grid_of(num_trials, rates)]) / best]}
            for sampler, num_seeds in NUM_SEEDS.items():
                if sampler != "gp" or num_trials <= MOST_GP_TRIALS:
                    seeds = range(num_seeds)
                    found[sampler] = [searched_volume(sampler, num_trials, rates, seed) / best for seed in seeds]
            for name, shares in found.items():
                figures[f"{space}_{num_trials}_{name}"] = round(float(np.mean(shares)), 3)
                if len(shares) > 1:
                    error = float(np.std(shares) / math.sqrt(len(shares)))
                    figures[f"{space}_{num_trials}_{name}_error"] = round(error, 3)
    return figures


def grid_of(num_trials: int, rates: list[float]) -> list[Settings]:
    """About so many trials: both methods, and temperatures, alphas and learning rates that share the rest evenly."""
    num_rates = round((num_trials / 2) ** (1 / 3)) if len(rates) > 1 else 1
    num_temperatures = round(math.sqrt(num_trials / 2 / num_rates * 1.2))
    num_alphas = round(num_trials / 2 / num_rates / num_temperatures)
    spread = np.geomspace(*rates, num_rates + 2)[1:-1] if len(rates) > 1 else rates
    return list(dense(num_temperatures, num_alphas, [float(rate) for rate in spread]))


def dense(num_temperatures: int, num_alphas: int, rates: list[float]) -> Iterator[Settings]:
    """Every point of an even grid."""
    temperatures, alphas = np.linspace(2, 10, num_temperatures), np.linspace(0, 1, num_alphas)
    for method, temperature, alpha, rate in itertools.product(WITHOUT_TEACHER, temperatures, alphas, rates):
        yield {"method": method, "temperature": float(temperature), "alpha": float(alpha), "train.learning_rate": rate}


def true_figures(point: Settings) -> tuple[float, float]:
    """Negative accuracy and ECE of a point: figures between two temperatures, and between alpha = 0 and 1, are on the
    line between them, and a learning rate costs accuracy by the square of its distance from the best, in decades."""
    columns = zip(*AT_TEMPERATURES.values(), strict=True)
    at = [float(np.interp(point["temperature"], list(AT_TEMPERATURES), column)) for column in columns]
    if point["method"] == "kd":
        at = [value + kd - other for value, kd, other in zip(at, KD_AT_2, AT_TEMPERATURES[2], strict=True)]
    alpha, hard = point["alpha"], WITHOUT_TEACHER[point["method"]]
    accuracy, gap = (alpha * without + (1 - alpha) * taught for without, taught in zip(hard, at, strict=True))
    lost = COST_OF_A_DECADE * math.log10(point["train.learning_rate"] / BEST_RATE) ** 2
    return lost - accuracy, math.hypot(gap, SMALLEST_ECE)


def volume_of(values: list[tuple[float, float]]) -> float:
    """The hypervolume of points [N, 2]."""
    return float(moocore.hypervolume(np.array(values), ref=REFERENCE))


def searched_volume(sampler: str, num_trials: int, rates: list[float], seed: int) -> float:
    """The hypervolume that a search attains by the true figures of its points; it sees those of single trials."""
    study, rng = Study(Space(spec_of(sampler, num_trials, rates, seed)), 0), np.random.default_rng(seed)
    found = []
    for _ in range(num_trials):
        trial, settings = study.ask()
        found.append(true_figures(settings))
        seen = np.array(found[-1]) + np.array(DEVIATIONS) * rng.normal(size=2)
        study.tell(trial, [-seen[0], max(SMALLEST_ECE, seen[1])])
    return volume_of(found)


def spec_of(sampler: str, num_trials: int, rates: list[float], seed: int) -> SweepSpec:
    """A spec of the surrogate's space."""
    arm = {"method": list(WITHOUT_TEACHER), "teacher": "large"}
    arm |= {"temperature": {"low": 2, "high": 10}, "alpha": {"low": 0, "high": 1}}
    arm |= {"train.learning_rate": {"low": rates[0], "high": rates[-1], "log": True} if len(rates) > 1 else rates[0]}
    return SweepSpec.model_validate(
        {
            "name": "surrogate",
            "data": {"source": "digits"},
            "teachers": {"large": {"model": "test_resnet", "finetune": {"epochs": 1}}},
            "student": {"model": "test_efficientnet"},
            "train": {"epochs": 1},
            "arms": [arm],
            "search": {"sampler": sampler, "trials": num_trials, "seed": seed},
        }
    )
