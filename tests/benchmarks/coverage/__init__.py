"""Whether what a report says of its uncertainty holds, on models whose truth is known: one module for each promise."""

from typing import Any

from tests.benchmarks.coverage import fronts, intervals, scaling, selection

PARTS = (fronts, intervals, scaling, selection)


def measure() -> dict[str, Any]:
    """How often what a report says holds on simulated sweeps: its intervals, front probabilities, plausible arms and
    the arm that it recommends."""
    return {name: value for part in PARTS for name, value in part.measure().items()}
