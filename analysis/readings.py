"""The two readings of a sweep's students, each whole: as shipped, and as trained.

As shipped is what `kdsweep promote` registers: the probabilities after the temperature that was fitted on validation.
As trained is before it, which is the paper's question. Calibration differs, so all that is judged by it does too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.choices import Choices, choices_of
from analysis.objectives import scaled
from analysis.pareto import Front, counted, front_of
from analysis.statistics.advice import decisions
from analysis.statistics.evidence import Evidence
from analysis.statistics.judgement import judged, selected_on_test
from analysis.statistics.selection import Selection, selection_of
from analysis.text.answer import NOTHING, answer_of
from analysis.text.provenance import fresh_arms, provenance_of
from kd_core.measure.predictions import RAW, SCALED, SUFFIXES

READINGS = (SCALED, RAW)  # what is shipped comes first


@dataclass(frozen=True)
class Judgement:
    """What one reading says of a sweep's arms, which are judged on validation.

    test: the evidence of test images, for the recommended arm without what being selected adds, where several seeds
    tell that. answer: what to take, and how sure that is. advice: what would decide what is open. selected: the
    plausible arms on test (`selected_on_test`).
    """

    reading: str
    front: Front
    choices: Choices
    test: Evidence | None
    answer: list[str]
    advice: list[str]
    selected: pd.DataFrame


def front_in(reading: str, runs: pd.DataFrame, objectives: Mapping[str, str], validation: Evidence | None) -> Front:
    """The judged front of a table of runs in one reading; an objective that names temperature scaling stays as it is.

    Raises ValueError for an objective that is not a validation figure.
    """
    return judged(front_of(runs, scaled(objectives) if reading == SCALED else objectives), validation)


def judgement_of(
    name: str,
    reading: str,
    runs: pd.DataFrame,
    front: Front,
    validation: Evidence | None,
    test: Evidence | None,
    baseline: str,
    hopeless: bool = False,
) -> Judgement:
    """The judgement of a front of the sweep of this name by its runs; evidence is None, baseline "", without arms.

    Where it is hopeless (`analysis.sanity`), the answer recommends nothing.
    """
    choices = choices_of(front, validation, baseline, SUFFIXES[reading])
    selection = _selection(runs, choices, validation, baseline)
    if test is not None and selection is not None:
        test = selection.corrected(test)
    answer = answer_of(name, reading, choices, validation, test, baseline)
    open_pairs = [] if validation is None else decisions(front, validation)
    images, seeds = (validation.num_images, validation.num_seeds) if validation is not None else (0, {})
    return Judgement(
        reading=reading,
        front=front,
        choices=choices,
        test=test,
        answer=[*([NOTHING] if hopeless else answer), *provenance_of(runs)],
        advice=[decision.sentence(images, seeds[decision.arm]) for decision in open_pairs],
        selected=selected_on_test(front),
    )


def _selection(runs: pd.DataFrame, choices: Choices, validation: Evidence | None, baseline: str) -> Selection | None:
    """How the recommended arm was selected; None where its figures on test are of seeds that had no part in it."""
    arm, front = choices.recommended, choices.front
    if validation is None or not arm or arm in fresh_arms(runs):
        return None
    return selection_of(counted(runs), front, validation, next(iter(front.objectives)), arm, baseline or arm)
