"""Which trials of a rung go on: asynchronous successive halving (Li 2020) on the order of NSGA-II (Deb 2002).

A rung is an epoch at which trials are compared with those that came to it before. One goes on if it is among the best
`ceil(n / reduction_factor)` of these n, by non-dominated rank and then by crowding distance, or on the front of the
rung or within `tolerance` of it. A trial is known by the key of its record, and comes to a rung when the row of that
epoch was written to its journal: a decision follows from the journals, and is the same again after a restart.
"""

import bisect
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analysis.pareto import nondominated
from sweeps.spec.search_config import ParetoAshaConfig


@dataclass(frozen=True)
class Stop:
    """The rung (1, 2, …) at which a trial is stopped, its epoch, and why, in a few words."""

    rung: int
    epoch: int
    reason: str


@dataclass
class Rungs:
    """The rungs of a sweep: who came to each of them, when and with which figures, and what was decided."""

    rule: ParetoAshaConfig
    objectives: Mapping[str, str]
    _entered: dict[int, list[tuple[float, str, tuple[float, ...]]]] = field(default_factory=lambda: defaultdict(list))
    _goes_on: dict[tuple[str, int], bool | None] = field(default_factory=dict)

    def add(self, key: str, journal: Iterable[Mapping[str, Any]], num_epochs: int) -> None:
        """Let a trial come to those rungs of which its journal has the epoch; nothing is decided yet.

        num_epochs are those of the whole trial, of which the last is no rung.
        """
        rows = {row["epoch"]: row for row in journal}
        for epoch in rung_epochs(self.rule, num_epochs):
            if epoch in rows and (key, epoch) not in self._goes_on:
                self._goes_on[key, epoch] = None
                bisect.insort(self._entered[epoch], (rows[epoch].get("time", 0.0), key, self._values(rows[epoch])))

    def decide(self, key: str, journal: Iterable[Mapping[str, Any]], num_epochs: int) -> Stop | None:
        """The first rung at which a trial that trains is to be stopped, or None; a rung once decided stays as it is."""
        self.add(key, journal, num_epochs)
        for rung, epoch in enumerate(rung_epochs(self.rule, num_epochs), start=1):
            if (key, epoch) in self._goes_on and not self._decided(key, epoch):
                order = order_of(self._until(key, epoch)).tolist()
                place = f"number {order.index(len(order) - 1) + 1} of {len(order)}"
                return Stop(rung, epoch, f"{place} by rank and crowding at epoch {epoch}, and behind the front")
        return None

    def await_decision(self, key: str, epoch: int, num_epochs: int) -> bool:
        """Whether a trial that has finished an epoch has a rung until then where it was not yet let go on."""
        rungs = rung_epochs(self.rule, num_epochs)
        return any(not self._goes_on.get((key, rung)) for rung in rungs if rung <= epoch)

    def _decided(self, key: str, epoch: int) -> bool:
        if self._goes_on[key, epoch] is None:
            self._goes_on[key, epoch] = bool(goes_on(self._until(key, epoch), self.rule)[-1])
        return bool(self._goes_on[key, epoch])

    def _values(self, row: Mapping[str, Any]) -> tuple[float, ...]:
        signs = {"max": -1.0, "min": 1.0}
        found = ((signs[direction], _figure(row, name)) for name, direction in self.objectives.items())
        return tuple(sign * value if value is not None and math.isfinite(value) else math.inf for sign, value in found)

    def _until(self, key: str, epoch: int) -> np.ndarray:
        """The objectives of a trial and of those before it in a rung, [n, D], its own last; smaller is better."""
        entered = self._entered[epoch]
        place = next(index for index, each in enumerate(entered) if each[1] == key)
        return np.array([values for *_, values in entered[: place + 1]])


def _figure(row: Mapping[str, Any], name: str) -> float | None:
    """An objective from the row of an epoch, None if it has none; abs_gap is the size of the gap there."""
    if name == "validation/abs_gap" and "validation/gap" in row:
        return abs(row["validation/gap"])
    return row.get(name)


def rung_epochs(rule: ParetoAshaConfig, num_epochs: int) -> list[int]:
    """The epochs of the rungs of a trial: grace_epochs, that times reduction_factor, …, below its last epoch."""
    epochs: list[int] = []
    exact = float(rule.grace_epochs)
    while (epoch := math.floor(exact)) < num_epochs:
        epochs += [epoch] if epoch not in epochs[-1:] else []
        exact *= rule.reduction_factor
    return epochs


def goes_on(values: np.ndarray, rule: ParetoAshaConfig) -> np.ndarray:
    """Which points [n, D] of a rung go on, boolean [n]; smaller is better, and points not finite come after all others.

    "Within tolerance" of the front is a point that some point of it betters by no more than that in any objective, as a
    share of the objective's range in the rung.
    """
    going = np.zeros(len(values), dtype=bool)
    going[order_of(values)[: math.ceil(len(values) / rule.reduction_factor)]] = True
    known = np.isfinite(values).all(axis=1)
    if known.any():
        points = _normalized(values[known])
        front = points[nondominated(points)]
        behind = (points[:, None, :] - front[None, :, :]).max(axis=2).min(axis=1)
        going[known] |= behind <= rule.tolerance
    return going


def order_of(values: np.ndarray) -> np.ndarray:
    """The indices [n] of points [n, D] from best to worst: by rank, the loneliest of a rank first, then as they came.

    Equal points have the same rank and crowding distance.
    """
    known = np.flatnonzero(np.isfinite(values).all(axis=1))
    ranks = np.full(len(values), len(values))
    lonely = np.zeros(len(values))
    points, left = _normalized(values[known]), np.arange(len(known))
    for rank in range(len(known)):
        if not left.size:
            break
        front = nondominated(points[left])
        members = left[front]
        ranks[known[members]], lonely[known[members]] = rank, crowding_distances(points[members])
        left = left[~front]
    return np.lexsort((np.arange(len(values)), -lonely, ranks))


def crowding_distances(points: np.ndarray) -> np.ndarray:
    """How far the neighbours of each point [n, D] are apart, summed over objectives, [n]; infinite at the ends.

    Equal points count as one. Objectives are in units of their range.
    """
    unique, inverse = np.unique(points, axis=0, return_inverse=True)
    distances = np.zeros(len(unique))
    for column in unique.T:
        order = np.argsort(column, kind="stable")
        ahead = np.append(column[order][1:], np.inf)
        distances[order] += ahead - np.insert(column[order][:-1], 0, -np.inf)
    return distances[inverse.reshape(-1)]


def _normalized(values: np.ndarray) -> np.ndarray:
    """Points [n, D] with every objective in units of its range, from 0 to 1; one that does not vary is 0."""
    if not len(values):
        return values
    low, high = values.min(axis=0), values.max(axis=0)
    return (values - low) / np.where(high > low, high - low, 1.0)
