"""All that a sweep's records say, from which its report is written: readings, evidence, claims and protocol."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.against import Against, against_of
from analysis.choices import baseline_of
from analysis.pareto import OBJECTIVES, Front, figure_of
from analysis.readings import READINGS, Judgement, front_in, judgement_of
from analysis.runs import journals_of, runs_of, teachers_of
from analysis.sanity import Sanity, sanity_of
from analysis.statistics.bootstrap import DRAWN, ON_DEMAND, num_resamples
from analysis.statistics.cases import Claim
from analysis.statistics.claims import claims_of
from analysis.statistics.evidence import Evidence, evidence_of
from analysis.statistics.importance import Importance, importances_of
from analysis.writing.protocol import protocol_of
from kd_core.measure.outcomes import RAW, SCALED, Outcomes
from kd_core.store.records import Store


@dataclass(frozen=True)
class Findings:
    """What is known of a sweep; see the modules of each part. Evidence is None, and names are "", without arms.

    readings are in the order of READINGS, and so is against, which is empty without another sweep.
    """

    name: str
    runs: pd.DataFrame
    teachers: pd.DataFrame
    journals: pd.DataFrame
    sanity: Sanity
    readings: dict[str, Judgement]
    validation: Evidence | None
    test: Evidence | None
    teacher_test: Evidence | None
    baseline: str
    importances: list[Importance]
    claims: list[Claim]
    against_name: str
    against: dict[str, Against]
    protocol: dict[str, str]
    spec_yaml: str

    @property
    def shipped(self) -> Judgement:
        """The reading that a report begins with, and that decides where only one can be shown."""
        return self.readings[SCALED]

    @property
    def points(self) -> pd.DataFrame:
        """All finished arms, judged as shipped."""
        return self.shipped.front.points


def findings_of(
    store: Store, name: str, objectives: Mapping[str, str] | None = None, against: str | None = None
) -> Findings:
    """The findings of a sweep, by its own objectives or others; against names another sweep of the store.

    Raises FileNotFoundError if the store has no such sweep, ValueError for an objective that is none or that no arm
    has, or if the other sweep was tested on other images.
    """
    sweep, runs = store.sweep(name), runs_of(store, name)
    members, teachers = sweep.members(), teachers_of(store, name)
    objectives_given = objectives is not None
    objectives = dict(objectives or members.get("objectives") or OBJECTIVES)
    size, figures = num_resamples(len(runs)), _figures(objectives)
    whole = "classwise_ece" in figures
    outcomes = {split: functools.partial(_outcomes, store, split, whole) for split in ("validation", "test")}
    validation = evidence_of(runs, "validation", outcomes["validation"], size, figures)
    test = evidence_of(runs, "test", outcomes["test"], size, figures)
    fronts = {reading: front_in(reading, runs, objectives, validation) for reading in READINGS}
    _check_known(fronts[RAW], asked=objectives_given)
    teacher_test = _evidence_of_teachers(store, teachers, size)
    baseline, journals = baseline_of(fronts[RAW]), journals_of(store, name)
    labels, ended = _labels(runs, outcomes), _of_finished(journals, runs)
    sanity = sanity_of(validation, test, teacher_test, baseline, labels, _num_classes(members, labels), ended)
    return Findings(
        name=name,
        runs=runs,
        teachers=teachers,
        journals=journals,
        sanity=sanity,
        readings={
            reading: judgement_of(name, reading, runs, front, validation, test, baseline, sanity.hopeless)
            for reading, front in fronts.items()
        },
        validation=validation,
        test=test,
        teacher_test=teacher_test,
        baseline=baseline,
        claims=claims_of(fronts[RAW].points, test, teacher_test) if test is not None else [],
        importances=importances_of(fronts[SCALED]),
        against_name=against or "",
        against=against_of(store, runs, against, objectives, size, figures) if against else {},
        protocol=protocol_of(store, name, runs, validation, test),
        spec_yaml="" if sweep.problems() else sweep.spec_yaml(),
    )


def _check_known(front: Front, asked: bool) -> None:
    """Raise ValueError if somebody asks for an objective that no finished arm has, such as a latency."""
    unknown = [name for name in front.objectives if bool(front.points[name].isna().all())]
    if asked and unknown and len(front.points):
        raise ValueError(f"objectives: {unknown[0]} is not known of any arm; run the sweep again, which measures it")


def _labels(runs: pd.DataFrame, outcomes: Mapping[str, Callable[[str], Outcomes]]) -> dict[str, np.ndarray]:
    """The labels [N] of each split, from the first finished trial; all have the same. Empty without one."""
    finished = runs.loc[runs["status"] == "finished", "trial"]
    return {split: read(finished.iloc[0]).label for split, read in outcomes.items()} if len(finished) else {}


def _num_classes(members: Mapping[str, Any], labels: Mapping[str, np.ndarray]) -> int:
    """The number of classes, as the sweep says, or, as an older one does not, as far as the labels show."""
    known = (members.get("data") or {}).get("num_classes")
    return known or 1 + max((int(each.max()) for each in labels.values()), default=0)


def _of_finished(journals: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The journals of finished trials."""
    return journals.merge(runs.loc[runs["status"] == "finished", ["arm", "seed"]])


def _figures(objectives: Mapping[str, str]) -> tuple[str, ...]:
    """The figures to draw: those of every report, and those of the objectives."""
    named = {figure_of(name).removesuffix("_scaled") for name in objectives}
    return (*DRAWN, *(name for name in ON_DEMAND if name in named))


def _outcomes(store: Store, split: str, with_logits: bool, key: str) -> Outcomes:
    return store.trial(key).outcomes(split, with_logits=with_logits)


def _evidence_of_teachers(store: Store, teachers: pd.DataFrame, size: int) -> Evidence | None:
    runs = teachers.assign(arm=teachers["teacher"], trial=teachers["key"])
    return evidence_of(runs, "test", lambda key: store.teacher(key).outcomes("test"), size)
