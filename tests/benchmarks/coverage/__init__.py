"""Whether what a report says of its uncertainty holds, on models whose truth is known: one module for each promise."""

from typing import Any

from tests.benchmarks.coverage import (
    accuracies,
    advice,
    claims,
    fronts,
    importance,
    intervals,
    scaling,
    seeds,
    selection,
    shapes,
    stopping,
)

PARTS = (accuracies, advice, claims, fronts, importance, intervals, scaling, seeds, selection, shapes, stopping)


def measure() -> dict[str, Any]:
    """How often what a report says holds in simulated sweeps whose truth is known: intervals, differences, verdicts on
    claims, plausible arms, advice, the arm that is recommended, early stopping and temperature scaling."""
    return {name: value for part in PARTS for name, value in part.measure().items()}
