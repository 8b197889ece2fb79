"""Which trial is promoted: one that is named, or that of an arm on the sweep's front."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.pareto import OBJECTIVES, SCALABLE, Front, figure_of, front_of
from analysis.runs import runs_of
from kd_core.store.record import SPLITS, Record, outcomes_name
from kd_core.store.records import Store
from sweeps.spec.mistakes import SpecError

BY_FRONT = ("knee", "most-accurate", "best-calibrated")


@dataclass(frozen=True)
class Choice:
    """A finished trial, its row in the table of runs, the front that it is judged by, and why it is this one."""

    record: Record
    run: dict[str, Any]
    front: Front
    reason: str


def chosen(store: Store, name: str, wanted: str) -> Choice:
    """The trial that is wanted: one of BY_FRONT, or a label or key, or the beginning of just one; raises SpecError.

    Of an arm with several seeds it is the best by the sweep's first objective, as in the report: on validation.
    """
    runs, objectives = runs_of(store, name), store.sweep(name).members().get("objectives")
    front = front_of(runs, objectives or OBJECTIVES)
    if wanted in BY_FRONT:
        if front.members.empty:
            raise SpecError(f"{name}: no trial has finished that could be promoted; run its spec first")
        point = arm_of(front, wanted)
        seeds = f", of {point['num_seeds']} seeds the best by {next(iter(front.objectives))}"
        key, reason = point["trial"], f"{wanted} of the front{seeds if point['num_seeds'] > 1 else ''}"
    else:
        key, reason = _named(runs, name, wanted), "as named"
    run = _row(runs, runs["trial"].tolist().index(key))
    return Choice(_whole(store.trial(key), run), run, front, reason)


def arm_of(front: Front, wanted: str) -> dict[str, Any]:
    """The arm on the front that is wanted, of equal ones the best by the first objective."""
    members = front.members
    if wanted == "knee":
        place = knee_of(front)
    elif wanted == "most-accurate":
        place = members["validation/accuracy"].to_numpy().argmax()
    else:
        name = next((each for each in front.objectives if _is_calibration(each)), "validation/ece")
        place = members[name].to_numpy().argmin()
    return _row(members, int(place))


def knee_of(front: Front) -> int:
    """The place among the front's members of the one that is farthest from the line between the extremes (Das 1999).

    Objectives are scaled to the range that they have on the front.
    """
    signs = np.array([-1.0 if direction == "max" else 1.0 for direction in front.objectives.values()])
    values = front.members[list(front.objectives)].to_numpy(dtype=float) * signs
    ranges = np.ptp(values, axis=0)
    return int(((values - values.min(axis=0)) / np.where(ranges > 0, ranges, 1.0)).sum(axis=1).argmin())


def _is_calibration(objective: str) -> bool:
    return figure_of(objective).removesuffix("_scaled") in SCALABLE


def _named(runs: pd.DataFrame, name: str, wanted: str) -> str:
    """The key of the one trial with this label or key, or else with this beginning."""
    known = [(str(row["trial"]), str(row["label"])) for _, row in runs.iterrows()]
    found = [names for names in known if wanted and wanted in names]
    found = found or [names for names in known if wanted and any(each.startswith(wanted) for each in names)]
    if not found:
        raise SpecError(f"{wanted}: {name} has no such trial; `kdsweep status {name}` lists their labels and keys")
    if len(found) > 1:
        labels = " and ".join(repr(label) for _, label in found[:2])
        raise SpecError(f"{wanted}: {len(found)} trials begin so, such as {labels}; give more of its label or key")
    ((key, label),) = found
    if not key:
        raise SpecError(f"{label}: waits for its teacher; run its spec first")
    return key


def _row(table: pd.DataFrame, place: int) -> dict[str, Any]:
    """A row of a table by the names of its columns."""
    return {str(name): value for name, value in table.iloc[place].items()}


def _whole(record: Record, run: dict[str, Any]) -> Record:
    """The record, of which everything that is promoted is whole."""
    if run["status"] != "finished":
        error = f" ({run['error']})" if run["error"] else ""
        raise SpecError(f"{run['label']}: is {run['status']}, not finished{error}; run its spec again, or name another")
    for problem in record.check(record.weights_name, *map(outcomes_name, SPLITS)):
        raise SpecError(f"{problem}; run its spec again to make it anew")
    return record
