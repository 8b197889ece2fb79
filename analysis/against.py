"""A sweep against another one of the store, on the same test images."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.choices import baseline_of, worth_naming
from analysis.readings import READINGS, front_in
from analysis.runs import runs_of
from analysis.snapshot import Snapshot, reader_of
from analysis.statistics.evidence import evidence_of

COMPARED = ("accuracy", "ece", "ece_scaled")


@dataclass(frozen=True)
class Against:
    """What one reading says of another sweep beside ours.

    differences (columns arm, other_arm, figure, value, low, high): each of our arms less the other sweep's arm of that
    name, else less its recommended one. members: the arms on the other sweep's front.
    """

    differences: pd.DataFrame
    members: pd.DataFrame


def against_of(
    ours: Snapshot, other: Snapshot, objectives: Mapping[str, str], num_resamples: int, figures: tuple[str, ...]
) -> dict[str, Against]:
    """A sweep beside another one, by reading; figures are those that the objectives need.

    Raises ValueError if it was tested on other images.
    """
    runs, others = runs_of(ours), runs_of(other)
    prefixed = {arm: f"{other.sweep.name}: {arm}" for arm in others["arm"]}
    everything = pd.concat([runs, others.assign(arm=[prefixed[arm] for arm in others["arm"]])], ignore_index=True)
    both = evidence_of(everything, "test", reader_of([*ours.trials, *other.trials], "test"), num_resamples)
    read = reader_of(other.trials, "validation", with_logits="classwise_ece" in figures)
    validation = evidence_of(others, "validation", read, num_resamples, figures)
    made = {}
    for reading in READINGS:
        front, rows = front_in(reading, others, objectives, validation), []
        named = worth_naming(front, validation, baseline_of(front))
        if both is not None and named:
            arms, theirs = [arm for arm in both.arms if arm not in prefixed.values()], front.points["arm"].tolist()
            pairs = [(arm, prefixed[arm if arm in theirs else named[0]]) for arm in arms]
            rows = [
                [*pair, figure, *vars(both.difference(figure, *pair)).values()] for pair in pairs for figure in COMPARED
            ]
        columns = ["arm", "other_arm", "figure", "value", "low", "high"]
        made[reading] = Against(pd.DataFrame(rows, columns=columns), front.members)
    return made
