"""All that a sweep's records say, from which its report is written: fronts, evidence, claims, answer and protocol."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.pareto import OBJECTIVES, Front, figure_of, front_of, scaled
from analysis.runs import journals_of, runs_of, teachers_of
from analysis.statistics.advice import decisions
from analysis.statistics.bootstrap import DRAWN, ON_DEMAND, num_resamples
from analysis.statistics.cases import Claim
from analysis.statistics.claims import claims_of
from analysis.statistics.evidence import Evidence, evidence_of
from analysis.statistics.judgement import judged, selected_on_test
from analysis.writing.answer import answer_of, baseline_of, recommended_of
from analysis.writing.protocol import protocol_of
from kd_core.measure.outcomes import RAW, SCALED, Outcomes
from kd_core.store.records import Store

COMPARED = ("accuracy", "ece", "ece_scaled")  # figures of a comparison with another sweep


@dataclass(frozen=True)
class Findings:
    """What is known of a sweep; see the modules of each part. Evidence is None, and names are "", without arms."""

    name: str
    runs: pd.DataFrame
    teachers: pd.DataFrame
    journals: pd.DataFrame
    fronts: dict[str, Front]
    validation: Evidence | None
    test: Evidence | None
    teacher_test: Evidence | None
    baseline: str
    recommended: str
    answer: list[str]
    advice: list[str]
    claims: list[Claim]
    selected: pd.DataFrame
    against_name: str
    against: pd.DataFrame | None
    against_points: pd.DataFrame | None
    protocol: dict[str, str]
    spec_yaml: str


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
    outcomes = {split: functools.partial(_outcomes, store, split) for split in ("validation", "test")}
    validation = evidence_of(runs, "validation", outcomes["validation"], size, figures)
    test = evidence_of(runs, "test", outcomes["test"], size, figures)
    fronts = {RAW: judged(front_of(runs, objectives), validation)}
    _check_known(fronts[RAW], asked=objectives_given)
    fronts[SCALED] = judged(front_of(runs, scaled(objectives)), validation)
    front = fronts[RAW]
    teacher_test = _evidence_of_teachers(store, teachers, size)
    baseline, recommended = baseline_of(front), recommended_of(front)
    comparison = _compared(store, runs, against, objectives, size) if against else (None, None)
    return Findings(
        name=name,
        runs=runs,
        teachers=teachers,
        journals=journals_of(store, name),
        fronts=fronts,
        validation=validation,
        test=test,
        teacher_test=teacher_test,
        baseline=baseline,
        recommended=recommended,
        answer=answer_of(front, test, baseline, recommended),
        advice=_advice(front, validation),
        claims=claims_of(front.points, test, teacher_test) if test is not None else [],
        selected=selected_on_test(front),
        against_name=against or "",
        against=comparison[0],
        against_points=comparison[1],
        protocol=protocol_of(store, name, runs, validation, test),
        spec_yaml="" if sweep.problems() else sweep.spec_yaml(),
    )


def _check_known(front: Front, asked: bool) -> None:
    """Raise ValueError if somebody asks for an objective that no finished arm has, such as a latency."""
    unknown = [name for name in front.objectives if bool(front.points[name].isna().all())]
    if asked and unknown and len(front.points):
        raise ValueError(f"objectives: {unknown[0]} is not known of any arm; run the sweep again, which measures it")


def _figures(objectives: Mapping[str, str]) -> tuple[str, ...]:
    """The figures to draw: those of every report, and those of the objectives."""
    named = {figure_of(name).removesuffix("_scaled") for name in objectives}
    return (*DRAWN, *(name for name in ON_DEMAND if name in named))


def _outcomes(store: Store, split: str, key: str) -> Outcomes:
    return store.trial(key).outcomes(split)


def _evidence_of_teachers(store: Store, teachers: pd.DataFrame, size: int) -> Evidence | None:
    runs = teachers.assign(arm=teachers["teacher"], trial=teachers["key"])
    return evidence_of(runs, "test", lambda key: store.teacher(key).outcomes("test"), size)


def _advice(front: Front, validation: Evidence | None) -> list[str]:
    if validation is None:
        return []
    made = decisions(front, validation)
    return [each.sentence(validation.num_images, validation.num_seeds[each.arm]) for each in made]


def _compared(
    store: Store, runs: pd.DataFrame, against: str, objectives: Mapping[str, str], size: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """On test, each arm less the other sweep's arm of that name, else less its recommended one; and its front."""
    others = runs_of(store, against)
    prefixed = {arm: f"{against}: {arm}" for arm in others["arm"]}
    everything = pd.concat([runs, others.assign(arm=[prefixed[arm] for arm in others["arm"]])], ignore_index=True)
    both = evidence_of(everything, "test", functools.partial(_outcomes, store, "test"), size)
    validation = functools.partial(_outcomes, store, "validation")
    front = judged(
        front_of(others, objectives), evidence_of(others, "validation", validation, size, _figures(objectives))
    )
    rows = []
    if both is not None and (default := recommended_of(front)):
        ours = [arm for arm in both.arms if arm not in prefixed.values()]
        pairs = [(arm, prefixed[arm if arm in front.points["arm"].tolist() else default]) for arm in ours]
        rows = [_difference(both, figure, *pair) for pair in pairs for figure in COMPARED]
    return pd.DataFrame(rows, columns=["arm", "other_arm", "figure", "value", "low", "high"]), front.members


def _difference(evidence: Evidence, figure: str, arm: str, other: str) -> dict[str, Any]:
    return {"arm": arm, "other_arm": other, "figure": figure} | vars(evidence.difference(figure, arm, other))
