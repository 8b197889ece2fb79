"""Which trials of a rung go on: asynchronous successive halving (Li 2020) on the order of NSGA-II (Deb 2002).

A rung is an epoch at which trials are compared with those that came to it before. One goes on if it is among the best
`ceil(n / reduction_factor)` of these n, by non-dominated rank and then by crowding distance, or on the front of the
rung or within `tolerance` of it. A trial is known by the key of its record, and comes to a rung when the row of that
epoch was written to its journal: a decision follows from the journals, and is the same again after a restart.

Objectives are in units of their spread in the rung (`spreads`), which no diverged trial widens. (The range of the
rung's front would not do: a trial that predicts at chance has an ECE near 0, and is on it.)
"""

import bisect
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import moocore
import numpy as np

from sweeps.config.search import ParetoAshaConfig
from sweeps.config.sweep import objective_in

_RANGE_IN_DEVIATIONS = 4  # of evenly spread values, in median absolute deviations


@dataclass(frozen=True)
class Stop:
    """The rung (1, 2, …) at which a trial is stopped, its epoch, and why, in a few words."""

    rung: int
    epoch: int
    reason: str


class Standing(NamedTuple):
    """Where a point stands in a rung: how many points are better, and how far behind the front it is.

    Better is a lower non-dominated rank, then a larger crowding distance; points that are not finite are the worst. A
    point is `behind` by its largest lag over the objectives, in units of their spreads, on that point of the front for
    which this is least.
    """

    place: int
    behind: float


@dataclass
class Rungs:
    """The rungs of a sweep: who came to each of them, when and with which figures, and what was decided."""

    rule: ParetoAshaConfig
    objectives: Mapping[str, str]
    _entered: dict[int, list[tuple[float, str]]] = field(default_factory=dict)  # by epoch: times and keys, in order
    _values: dict[int, np.ndarray] = field(default_factory=dict)  # [n, D], in the same order; smaller is better
    _goes_on: dict[tuple[str, int], bool | None] = field(default_factory=dict)

    def add(self, key: str, journal: Iterable[Mapping[str, Any]], num_epochs: int) -> None:
        """Let a trial come to those rungs of which its journal has the figures; nothing is decided yet.

        num_epochs are those of the whole trial, of which the last is no rung.
        """
        rows = {row["epoch"]: row for row in journal}
        for epoch in rung_epochs(self.rule, num_epochs):
            if is_validated(rows.get(epoch, {})) and (key, epoch) not in self._goes_on:
                self._goes_on[key, epoch] = None
                self._enter(key, epoch, rows[epoch])

    def decide(self, key: str, journal: Iterable[Mapping[str, Any]], num_epochs: int) -> Stop | None:
        """The first rung at which a trial that trains is to be stopped, or None; a rung once decided stays as it is."""
        self.add(key, journal, num_epochs)
        for rung, epoch in enumerate(rung_epochs(self.rule, num_epochs), start=1):
            if (key, epoch) in self._goes_on and not self._decided(key, epoch):
                values = self._until(key, epoch)
                place = f"number {standing_of_last(values).place + 1} of {len(values)}"
                return Stop(rung, epoch, f"{place} by rank and crowding at epoch {epoch}, and behind the front")
        return None

    def awaits_decision(self, key: str, epoch: int, num_epochs: int) -> bool:
        """Whether a trial that has finished an epoch has a rung until then where it was not yet let go on."""
        rungs = rung_epochs(self.rule, num_epochs)
        return any(not self._goes_on.get((key, rung)) for rung in rungs if rung <= epoch)

    def _decided(self, key: str, epoch: int) -> bool:
        if self._goes_on[key, epoch] is None:
            values = self._until(key, epoch)
            place, behind = standing_of_last(values)
            is_among_best = place < math.ceil(len(values) / self.rule.reduction_factor)
            self._goes_on[key, epoch] = is_among_best or behind <= self.rule.tolerance
        return bool(self._goes_on[key, epoch])

    def _enter(self, key: str, epoch: int, row: Mapping[str, Any]) -> None:
        entry, entered = (row.get("time", 0.0), key), self._entered.setdefault(epoch, [])
        place = bisect.bisect(entered, entry)
        entered.insert(place, entry)
        before = self._values.get(epoch, np.empty((0, len(self.objectives))))
        self._values[epoch] = np.insert(before, place, self._values_of(row), axis=0)

    def _values_of(self, row: Mapping[str, Any]) -> tuple[float, ...]:
        signs = {"max": -1.0, "min": 1.0}
        found = ((signs[direction], objective_in(row, name)) for name, direction in self.objectives.items())
        return tuple(sign * value if value is not None and math.isfinite(value) else math.inf for sign, value in found)

    def _until(self, key: str, epoch: int) -> np.ndarray:
        """The objectives of a trial and of those before it in a rung, [n, D], its own last."""
        place = next(index for index, (_, each) in enumerate(self._entered[epoch]) if each == key)
        return self._values[epoch][: place + 1]


def is_validated(row: Mapping[str, Any]) -> bool:
    """Whether the row of an epoch has validation figures."""
    return any(name.startswith("validation/") for name in row)


def rung_epochs(rule: ParetoAshaConfig, num_epochs: int) -> list[int]:
    """The epochs of the rungs of a trial: grace_epochs, that times reduction_factor, …, below its last epoch."""
    epochs: list[int] = []
    exact = float(rule.grace_epochs)
    while (epoch := math.floor(exact)) < num_epochs:
        epochs += [epoch] if epoch not in epochs[-1:] else []
        exact *= rule.reduction_factor
    return epochs


def standing_of_last(values: np.ndarray) -> Standing:
    """Where the last of some points [n, D] stands; smaller is better, and of equals, the first to come."""
    if not np.isfinite(values[-1]).all():
        return Standing(len(values) - 1, math.inf)
    known = values[np.isfinite(values).all(axis=1)]
    points = known / spreads(known)
    ranks = moocore.pareto_rank(points)
    peers = points[ranks == ranks[-1]]
    lonely = crowding_distances(peers)
    place = (ranks < ranks[-1]).sum() + (lonely[:-1] >= lonely[-1]).sum()
    behind = (points[-1] - points[ranks == 0]).max(axis=1).min()
    return Standing(int(place), float(behind))


def crowding_distances(points: np.ndarray) -> np.ndarray:
    """How far the neighbours of each point [n, D] are apart, summed over objectives, [n]; infinite at the ends.

    Equal points count as one.
    """
    unique, inverse = np.unique(points, axis=0, return_inverse=True)
    distances = np.zeros(len(unique))
    for column in unique.T:
        order = np.argsort(column, kind="stable")
        ahead = np.append(column[order][1:], np.inf)
        distances[order] += ahead - np.insert(column[order][:-1], 0, -np.inf)
    return distances[inverse.reshape(-1)]


def spreads(values: np.ndarray) -> np.ndarray:
    """The spread of each objective of points [n, D], [D]: four times the median absolute deviation.

    Of evenly spread values this is the range, and it is never more; values that a minority of the trials is far off do
    not widen it. Where most values are equal it is the range, and 1 where all are.
    """
    ranges = np.ptp(values, axis=0)
    robust = _RANGE_IN_DEVIATIONS * np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    found = np.where(robust > 0, np.minimum(robust, ranges), ranges)
    return np.where(found > 0, found, 1.0)
