"""Fronts and runs as rows for JSON, CSV and the page; every row is checked against the bounds of ECE."""

import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.findings import Findings
from analysis.readings import Judgement
from analysis.statistics.evidence import Evidence
from analysis.text.key_sentences import key_sentences
from analysis.text.table import Table
from analysis.text.trust import trust_sentences
from kd_core.measure.calibration import obeys_ece_bounds
from kd_core.measure.predictions import SCALED, STANDARDIZED, SUFFIXES

TEST_FIGURES = [
    *("accuracy", "confidence", "confidence_scaled", "ece", "ece_scaled", "ece_debiased", "classwise_ece"),
    *("nll", "nll_scaled", "brier", "aurc", "augrc", "set_size", "set_coverage"),
]
STANDARDIZED_FIGURES = [name + SUFFIXES[STANDARDIZED] for name in ("confidence", "ece")]
INTERVALS = ("accuracy", "ece", "ece_scaled", "nll_scaled")
JUDGED_COLUMNS = ("on_front", "front_probability", "plausible")
VALIDATION_FIGURES = ("accuracy", "ece", "ece_scaled")  # by which arms are selected
ARM_COLUMNS = ["trial", "trials", "label", "arm", "method", "teacher", "temperature", "alpha", "student", "num_seeds"]
CSV_COLUMNS = [
    *ARM_COLUMNS,
    *TEST_FIGURES,
    *STANDARDIZED_FIGURES,
    *(f"{name}_{part}" for name in INTERVALS for part in ("estimate", "low", "high")),
    *JUDGED_COLUMNS,
    *(f"validation_{name}" for name in VALIDATION_FIGURES),
]


def content_of(findings: Findings) -> dict[str, Any]:
    """The content of front.json: what each reading says under its name, every arm as shipped, and the claims.

    answer, advice and selected_on_test are those of what is shipped, too. What is doubted comes first in an answer.
    Numbers that are NaN or infinite are None.
    """
    readings = {name: _reading_content(findings, judgement) for name, judgement in findings.readings.items()}
    return _json_value(
        readings
        | {
            "arms": arm_rows(findings.points, findings.shipped.test),
            "claims": [claim.as_json() for claim in findings.claims],
            "trust": trust_sentences(findings.evaluated, findings.shipped.choices.recommended),
            "evaluated": [vars(each) | {"arrays": None} for each in findings.evaluated],
            "importances": [vars(importance) for importance in findings.importances],
            "keys": key_sentences(findings.importances, len(findings.points)),
            "baseline": findings.baseline,
            "sanity": findings.sanity.sentences,
            "protocol": findings.protocol,
        }
        | {name: readings[SCALED][name] for name in ("answer", "advice", "selected_on_test")}
    )


def _without_luck(judgement: Judgement, baseline: str) -> dict[str, list[float]]:
    """Test figures of the recommended arm, and their differences to the baseline, less what being selected adds.

    Each is [estimate, low, high]; none with one seed, or with fresh seeds, which had no part in the selection.
    """
    test, arm, made = judgement.test, judgement.choices.recommended, {}
    if test is not None and test.selected:
        for name in INTERVALS:
            made[name] = [*vars(test.estimate(name, arm)).values()]
            made[f"{name}_difference"] = [*vars(test.difference(name, arm, baseline or arm)).values()]
    return made


def _reading_content(findings: Findings, judgement: Judgement) -> dict[str, Any]:
    """The front with its rows, how every arm is judged, and the answer, in one reading."""
    front = judgement.front
    described = {name: getattr(front, name) for name in ("objectives", "reference", "hypervolume", "attainment")}
    return described | {
        "front": arm_rows(front.members, judgement.test),
        "judged": front.points.filter(["arm", *JUDGED_COLUMNS]).to_dict("records"),
        "recommended": judgement.choices.recommended,
        "without_luck": _without_luck(judgement, findings.baseline),
        "choices": judgement.choices.by_word,
        "answer": [*findings.sanity.sentences, *judgement.answer],
        "advice": judgement.advice,
        "selected_on_test": judgement.selected.to_dict("records"),
    }


def arm_rows(points: pd.DataFrame, test: Evidence | None, imported: bool = False) -> list[dict[str, Any]]:
    """Judged arms as JSON values; imported rows get a sentence under `impossible` if they break the bounds of ECE.

    Figures are those of the sample of test images, averaged over num_seeds replicates (trials); `trial` and `label`
    name the best replicate by the first objective, and `validation` holds the figures used for selection.
    `<figure>_estimate` and `<figure>_interval` (95 %) are what is reported everywhere: without the bias of a finite
    sample and, of the recommended arm, without the luck of its selection. Only that arm has `measured`, [estimate, low,
    high] of these figures with that luck. Only students with a standardized reading have ece_standardized and its
    confidence; a figure that a record lacks is None.
    """
    return [_arm_row(point, test, imported) for point in points.to_dict("records")]


def front_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows of a front as CSV, with validation figures and the ends of intervals under flat names."""
    return pd.DataFrame([_flat(row) for row in rows], columns=CSV_COLUMNS).to_csv(index=False, lineterminator="\n")


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    ends = {
        f"{figure}_{end}": row[f"{figure}_interval"][index]
        for figure in INTERVALS
        for index, end in enumerate(("low", "high"))
        if row[f"{figure}_interval"]
    }
    validation = {f"validation_{name}": value for name, value in row["validation"].items()}
    return {**row, "trials": " ".join(row["trials"])} | ends | validation


def check_rows(rows: Iterable[Mapping[Any, Any]], prefix: str = "") -> None:
    """Assert |accuracy − confidence| ≤ ECE ≤ (1 − accuracy) + (1 − confidence) on every row, in every reading.

    It holds for one model and for means over models; a reading without an ECE (an unfinished trial) is skipped.
    """
    for row in rows:
        problem = impossibility(row, prefix)
        assert not problem, f"internal error: {row.get('label', row)}: {problem}"


def impossibility(row: Mapping[Any, Any], prefix: str = "") -> str:
    """Which reading of a row breaks the bounds of ECE, in words; "" if none does."""
    for suffix in SUFFIXES.values():
        names = ("accuracy", f"confidence{suffix}", f"ece{suffix}")
        accuracy, confidence, ece = (row.get(prefix + name, math.nan) for name in names)
        if None in (accuracy, confidence, ece) or math.isnan(accuracy + confidence + ece):
            continue
        if not obeys_ece_bounds(accuracy, confidence, ece):
            figures = f"at accuracy {accuracy} and confidence {confidence}"
            return f"ECE {ece} is impossible {figures} ({prefix}*{suffix})"
    return ""


def _arm_row(point: Mapping[Hashable, Any], test: Evidence | None, imported: bool) -> dict[str, Any]:
    standardized = [name for name in STANDARDIZED_FIGURES if math.isfinite(point[f"test/{name}"])]
    figures = {name: point[f"test/{name}"] for name in (*TEST_FIGURES, *standardized)}
    row = {name: point[name] for name in ARM_COLUMNS} | figures
    if not imported:
        check_rows([row])
    elif problem := impossibility(row):
        row["impossible"] = problem
    for name in INTERVALS:
        estimate = test.estimate(name, point["arm"]) if test is not None else None
        row[f"{name}_interval"] = [estimate.low, estimate.high] if estimate else None
        row[f"{name}_estimate"] = estimate.value if estimate else None
    if test is not None and test.selected == point["arm"]:
        row["measured"] = {name: [*vars(test.measured(name, point["arm"])).values()] for name in INTERVALS}
    row |= {name: point[name] for name in JUDGED_COLUMNS}
    return _json_value(row | {"validation": {name: point[f"validation/{name}"] for name in VALIDATION_FIGURES}})


def _json_value(value: Any) -> Any:
    """The value with None in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {key: _json_value(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_json_value(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return bool(value) if isinstance(value, np.bool_) else value


Column = tuple[str, Callable[[Any], str]]


def _number(form: str, factor: float = 1) -> Callable[[float], str]:
    """Writes numbers, times factor, in a form; nothing for NaN."""
    return lambda value: "" if math.isnan(value) else format(factor * value, form)


percent, decimal, general, rounded, count = map(_number, (".2f", ".4f", ".4g", ",.2f", ",.0f"), (100, 1, 1, 1, 1))
TEST_COLUMNS: dict[str, Column] = {
    "Accuracy %": ("test/accuracy", percent),
    "Confidence %": ("test/confidence", percent),
    "ECE": ("test/ece", decimal),
    "ECE as shipped": ("test/ece_scaled", decimal),
    "NLL": ("test/nll", decimal),
    "Brier": ("test/brier", decimal),
    "AUGRC": ("test/augrc", decimal),
    "Class-wise ECE": ("test/classwise_ece", decimal),
    "90 % set": ("test/set_size", rounded),
    "covers %": ("test/set_coverage", percent),
}
VALIDATION_COLUMNS: dict[str, Column] = {
    "Val. acc. %": ("validation/accuracy", percent),
    "Val. ECE": ("validation/ece", decimal),
}
TEACHER_TABLE: dict[str, Column] = (
    {"Teacher": ("teacher", str), "Model": ("model", str), "Status": ("status", str)}
    | TEST_COLUMNS
    | VALIDATION_COLUMNS
    | {"Fitted T": ("scaling_temperature", rounded), "Parameters": ("num_parameters", count)}
)
RUNS_TABLE: dict[str, Column] = (
    {"Trial": ("label", str), "Status": ("status", str), "T": ("temperature", str), "α": ("alpha", general)}
    | TEST_COLUMNS
    | VALIDATION_COLUMNS
    | {"Fitted T": ("scaling_temperature", rounded), "Seconds": ("wall_s", rounded), "Key": ("trial", str)}
)


def table_of(frame: pd.DataFrame, columns: Mapping[str, Column]) -> Table:
    """A frame as a table of text; asserts that every row obeys the bounds of ECE on test and on validation."""
    records = frame.to_dict("records")
    for split in ("test/", "validation/"):
        check_rows(records, split)
    numeric = [write is not str for _, write in columns.values()]
    return Table(list(columns), [[write(row[name]) for name, write in columns.values()] for row in records], numeric)
