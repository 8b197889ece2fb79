"""Whether the shares of variance that keys are said to explain hold, on designs whose truth is known."""

from typing import Any

import numpy as np
import pandas as pd

from analysis.pareto import Front
from analysis.statistics.importance import MATTERS, importances_of

GRIDS = {"grid_30": (3, 5, 2), "grid_48": (4, 4, 3)}  # the values of each key; of fewer arms nothing is said
SEARCHES = {"search_30": 30, "search_60": 60, "search_200": 200}  # arms
NOISE = 0.3  # of seeds and images
OBJECTIVE = "validation/accuracy"


def measure(num_sweeps: int = 400) -> dict[str, Any]:
    """By design and key: the true share, the mean of what is said, its coverage, and how often it is said to matter."""
    figures: dict[str, Any] = {}
    for design in (*GRIDS, *SEARCHES):
        for key, row in of_design(design, num_sweeps).iterrows():
            figures |= {f"{name}_{design}_{key}": float(value) for name, value in row.items()}
    return figures


def of_design(design: str, num_sweeps: int) -> pd.DataFrame:
    """One row a key, means over simulated sweeps: first has an effect, second one with an optimum, third none."""
    generator, rows = np.random.default_rng(0), []
    for _ in range(num_sweeps):
        front, truth = simulated(design, generator)
        for found in importances_of(front):
            true = truth[found.key]
            rows.append(
                {
                    "key": found.key,
                    "true": true,
                    "said": found.share,
                    "covered": found.low <= true <= found.high,
                    "matters": found.verdict == MATTERS,
                    "width": found.high - found.low,
                }
            )
    return pd.DataFrame(rows).groupby("key").mean()


def simulated(design: str, generator: np.random.Generator) -> tuple[Front, dict[str, float]]:
    """A sweep of arms with three keys, and the true share of each; the first two also have an effect together."""
    if design in GRIDS:
        axes = [np.arange(size, dtype=float) for size in GRIDS[design]]
        keys = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
        population = keys
    else:
        keys, population = generator.random((SEARCHES[design], 3)), np.random.default_rng(1).random((20_000, 3))
    effects, together = _effects(keys)
    values = effects.sum(axis=1) + together + NOISE * generator.normal(size=len(keys))
    parts, joint = _effects(population)
    whole = parts.var(axis=0).sum() + joint.var() + NOISE**2
    names = ("first", "second", "third")
    points = pd.DataFrame(
        dict.fromkeys(("method", "teacher", "temperature", "student"), "same"), index=range(len(keys))
    )
    settings = [dict(zip(names, row, strict=True)) for row in keys.tolist()]
    points = points.assign(alpha=0.0, settings=settings, **{OBJECTIVE: values})
    return Front(points, {OBJECTIVE: "max"}, {}, 0.0), dict(zip(names, parts.var(axis=0) / whole, strict=True))


def _effects(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The effect of each key alone, [A, 3], and what the first two add together, [A]."""
    scaled = keys / np.maximum(1e-9, keys.max(axis=0))
    first, second = scaled[:, 0] - scaled[:, 0].mean(), scaled[:, 1] - 0.5
    return np.stack([2 * first, 4 * second**2, 0 * first], axis=1), first * second
