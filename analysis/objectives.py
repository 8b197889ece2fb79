"""What a front is judged by: the figures that selection may see, their names, and whether an objective is one."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Literal

from kd_core.measure.names import ACCURACIES

Objectives = dict[str, Literal["max", "min"]]
OBJECTIVES: Objectives = {"validation/accuracy": "max", "validation/ece": "min"}  # of a sweep that names none
# Figures that temperature scaling changes
SCALABLE = ("ece", "ece_debiased", "classwise_ece", "nll", "brier", "abs_gap", "aurc", "augrc", "set_size")
EVALUATED = {  # figures of `kdsweep evaluate`, on corrupted test images, by the objectives that they are in a report
    "corruption/accuracy": "corruption_accuracy",
    "corruption/ece": "corruption_ece",
    "corruption/ece_scaled": "corruption_ece_scaled",
}
LATE = ("classwise_ece", "set_size")  # figures that are not measured after every epoch
SIZES = ("num_parameters", "latency_ms_1", "latency_ms_64")  # figures of a student, whatever its weights
OBJECTIVE_FIGURES = (
    *(f"validation/{name}" for name in ACCURACIES),
    *(f"validation/{name}{suffix}" for name in SCALABLE for suffix in ("", "_scaled")),
    *SIZES,
)
FITTED = "validation/abs_gap_scaled"  # near 0 for every arm: its temperature was fitted on the same images
MOST_OBJECTIVES = 3


def figure_of(objective: str) -> str:
    """The name of an objective's figure on any split: `ece_scaled` for `validation/ece_scaled`."""
    return EVALUATED.get(objective) or objective.split("/")[-1]


def scaled(objectives: Mapping[str, str]) -> dict[str, str]:
    """The same objectives after temperature scaling: ece becomes ece_scaled, accuracy stays."""
    return {name + "_scaled" * (name.split("/")[-1] in SCALABLE): way for name, way in objectives.items()}


def objectives_named(names: Iterable[str]) -> dict[str, str]:
    """Objectives of a report from their names, with or without `validation/`, each with its direction.

    Raises ValueError for what is none.
    """
    full = [name if "/" in name or name in SIZES else f"validation/{name}" for name in names]
    objectives = {name: "max" if name.split("/")[-1] in ACCURACIES else "min" for name in full}
    check_objectives(objectives)
    return objectives


def check_selecting(objectives: Mapping[str, str]) -> None:
    """Raise ValueError unless a sweep can be selected by these: as check_objectives, and all known while it runs."""
    for name in EVALUATED.keys() & objectives.keys():
        remedy = "give it to kdsweep report --objectives"
        raise ValueError(f"objectives: {name} is known once a sweep was evaluated; {remedy}")
    check_objectives(objectives)


def check_objectives(objectives: Mapping[str, str]) -> None:
    """Raise ValueError unless there are one to three of OBJECTIVE_FIGURES but FITTED, each with max or min."""
    if FITTED in objectives:
        why = "its temperature was fitted on the same images, so it is near 0 for every arm and says nothing"
        raise ValueError(f"objectives: {FITTED}: {why}; take validation/ece_scaled, or validation/abs_gap")
    check_names(objectives)


def check_names(objectives: Mapping[str, str]) -> None:
    """Raise ValueError unless there are one to three of OBJECTIVE_FIGURES, each with max or min."""
    if not 1 <= len(objectives) <= MOST_OBJECTIVES:
        raise ValueError("objectives: name one to three, such as validation/accuracy: max")
    for name, direction in objectives.items():
        if name not in OBJECTIVE_FIGURES and name not in EVALUATED:
            sensible = [figure for figure in OBJECTIVE_FIGURES if figure != FITTED]
            (nearest,) = get_close_matches(name, sensible, n=1, cutoff=0)
            raise ValueError(f"objectives: {name[:80]} is no figure that selection may see; did you mean {nearest}?")
        if direction not in ("max", "min"):
            raise ValueError(f"objectives: {name}: {direction!r} is no direction; use max or min")
