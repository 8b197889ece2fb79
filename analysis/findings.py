"""All that a sweep's records say, from which its report is written: readings, evidence, claims and protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.against import Against, against_of
from analysis.choices import baseline_of
from analysis.evaluations import evaluated_of
from analysis.objectives import EVALUATED, OBJECTIVES, figure_of
from analysis.pareto import Front
from analysis.readings import READINGS, Judgement, front_in, judgement_of
from analysis.runs import journals_of, runs_of, teachers_of
from analysis.sanity import Sanity, sanity_of
from analysis.snapshot import Snapshot, reader_of
from analysis.statistics.beyond import Evaluated
from analysis.statistics.bootstrap import DRAWN, ON_DEMAND, num_resamples
from analysis.statistics.cases import Claim
from analysis.statistics.claims import claims_of
from analysis.statistics.evidence import Evidence, evidence_of, with_figures
from analysis.statistics.importance import Importance, importances_of
from analysis.text.protocol import protocol_of
from kd_core.config.errors import DamagedError
from kd_core.measure.predictions import RAW, SCALED, Predictions
from kd_core.store.files import read_ahead
from kd_core.store.index import Index

MOST_DIAGRAMS, MOST_TEACHERS = 24, 8  # of arms, and of teachers, whose reliability is drawn
PredictionsOf = Callable[[str], Predictions]


@dataclass(frozen=True)
class Findings:
    """What is known of a sweep; see the modules of each part. Evidence is None, and names are "", without arms.

    readings are in the order of READINGS, and so is against, which is empty without another sweep. predictions:
    those on test, by the key of a trial or teacher, whose reliability is drawn. corrupted_here: whether the corrupted
    images of evaluations were made here, and are not the published ones.
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
    predictions: dict[str, Predictions]
    baseline: str
    importances: list[Importance]
    claims: list[Claim]
    evaluated: list[Evaluated]
    corrupted_here: bool
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
    snapshot: Snapshot, objectives: Mapping[str, str] | None = None, against: Snapshot | None = None
) -> Findings:
    """The findings of a sweep, by its own objectives or others, and against another one.

    Predictions are checked where they are read, each once; if some are damaged, all are checked first, and then read
    again. Raises ValueError for an objective that is none or that no arm has, or if the other sweep was tested on other
    images.
    """
    try:
        return _findings_of(snapshot, objectives, against)
    except DamagedError:
        return _findings_of(snapshot.checked(), objectives, against and against.checked())


def _findings_of(snapshot: Snapshot, asked: Mapping[str, str] | None, against: Snapshot | None) -> Findings:
    index, runs, teachers = snapshot.index, runs_of(snapshot), teachers_of(snapshot)
    evaluated = evaluated_of(snapshot)
    objectives = dict(asked or index.objectives or OBJECTIVES)
    size, figures = num_resamples(len(runs)), _figures(objectives)
    read = {split: reader_of(snapshot.trials, split, "classwise_ece" in figures) for split in ("validation", "test")}
    validation = evidence_of(runs, "validation", read["validation"], size, figures)
    validation = _with_evaluated(validation, runs, objectives, evaluated)
    fronts = {reading: front_in(reading, runs, objectives, validation) for reading in READINGS}
    if asked is not None:
        _check_measured(fronts[RAW])
    drawn, read_test = _kept(read["test"], _diagrammed(fronts))
    test = _with_evaluated(evidence_of(runs, "test", read_test, size, figures), runs, objectives, evaluated)
    finished = teachers.loc[teachers["status"] == "finished", "key"]
    taught, read_teacher = _kept(reader_of(snapshot.all_teachers, "test"), finished.tolist()[:MOST_TEACHERS])
    teacher_runs = teachers.assign(arm=teachers["teacher"], trial=teachers["key"])
    teacher_test = evidence_of(teacher_runs, "test", read_teacher, size)
    baseline, journals = baseline_of(fronts[RAW]), journals_of(snapshot)
    labels = {evidence.split: evidence.label for evidence in (validation, test) if evidence is not None}
    ended = journals.merge(runs.loc[runs["status"] == "finished", ["arm", "seed"]])
    sanity = sanity_of(validation, test, teacher_test, baseline, labels, _num_classes(index, labels), ended)
    name = snapshot.sweep.name
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
        predictions=drawn | taught,
        baseline=baseline,
        claims=claims_of(fronts[RAW].points, test, teacher_test, evaluated) if test is not None else [],
        evaluated=evaluated,
        corrupted_here=_corrupted_here(snapshot),
        importances=importances_of(fronts[SCALED]),
        against_name=against.sweep.name if against else "",
        against=against_of(snapshot, against, objectives, size, figures) if against else {},
        protocol=protocol_of(snapshot, runs, validation, test) | _caveat(objectives),
        spec_yaml=snapshot.spec_yaml,
    )


def _corrupted_here(snapshot: Snapshot) -> bool:
    """Whether corrupted images of evaluations were made here, and are not the published ones."""
    index = snapshot.evaluation_index
    return index is None or index.config.corruptions is None


def _with_evaluated(
    evidence: Evidence | None, runs: pd.DataFrame, objectives: Mapping[str, str], models: Sequence[Evaluated]
) -> Evidence | None:
    """The evidence with the figures of corrupted images, in both readings, if one of them is an objective."""
    if evidence is None or not EVALUATED.keys() & objectives.keys():
        return evidence
    figures = {}
    for name, figure in EVALUATED.items():
        draws = {each.key: each.array("corruption", f"{name.split('/')[-1]}_draws") for each in models}
        figures[figure] = {key: array for key, array in draws.items() if array is not None}
    return with_figures(evidence, runs, figures)


def _caveat(objectives: Mapping[str, str]) -> dict[str, str]:
    """What is to be known of a front by figures of corrupted images, which are made from test images."""
    if not EVALUATED.keys() & objectives.keys():
        return {}
    images = "arms are judged by corrupted test images, so their figures there are of the images that selected them"
    return {"Selection on corrupted images": images}


def _check_measured(front: Front) -> None:
    """Raise ValueError for an objective that no finished arm has, such as a latency."""
    for name in front.objectives:
        if len(front.points) and (name not in front.points or bool(front.points[name].isna().all())):
            remedy = "evaluate the sweep" if name in EVALUATED else "run the sweep again"
            raise ValueError(f"objectives: {name} is not known of any arm; {remedy}, which measures it")


def _num_classes(index: Index, labels: Mapping[str, np.ndarray]) -> int:
    """The number of classes, as the sweep states it, or as far as the labels show."""
    return (
        index.data.num_classes
        if index.data
        else 1 + max((int(classes.max()) for classes in labels.values()), default=0)
    )


def _figures(objectives: Mapping[str, str]) -> tuple[str, ...]:
    """The figures to draw: those of every report, and those of the objectives."""
    named = {figure_of(name).removesuffix("_scaled") for name in objectives}
    return (*DRAWN, *(name for name in ON_DEMAND if name in named))


def _diagrammed(fronts: Mapping[str, Front]) -> list[str]:
    """The best trials of those arms that are plausible in either reading, the likeliest as shipped."""
    plausible = fronts[SCALED].points["plausible"] | fronts[RAW].points["plausible"]
    points = fronts[SCALED].points.loc[plausible].sort_values("front_probability", ascending=False, kind="stable")
    return points["trial"].iloc[:MOST_DIAGRAMS].tolist()


def _kept(read: PredictionsOf, keys: Sequence[str]) -> tuple[dict[str, Predictions], PredictionsOf]:
    """The predictions of some keys, and a function that reads those of any other key."""
    kept = dict(zip(keys, read_ahead(read, keys), strict=True))
    return kept, lambda key: kept.get(key) or read(key)
