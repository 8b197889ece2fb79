"""Fronts and runs as rows for JSON, CSV and the page; every row is checked against the bounds of ECE."""

import json
import math
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.pareto import Front
from kd_core.measure.calibration import obeys_ece_bounds
from kd_core.measure.outcomes import RAW, SCALED, STANDARDIZED, SUFFIXES

TEST_FIGURES = [
    *("accuracy", "confidence", "confidence_scaled", "ece", "ece_scaled", "ece_debiased", "classwise_ece"),
    *("nll", "nll_scaled", "brier", "aurc"),
]
STANDARDIZED_FIGURES = [name + SUFFIXES[STANDARDIZED] for name in ("confidence", "ece")]
ARM_COLUMNS = ["trial", "trials", "label", "arm", "method", "teacher", "temperature", "alpha", "student", "num_seeds"]


def front_rows(front: Front) -> list[dict[str, Any]]:
    """The arms on a front as JSON values, the best by the first objective first.

    Figures are those of test, averaged over num_seeds replicates (trials); `trial` and `label` name the best replicate
    by the first objective, and `validation` holds the figures used for selection. Only students with a standardized
    reading have ece_standardized and its confidence; a figure that an older record lacks is None.
    """
    return [_front_row(point) for point in front.members.to_dict("records")]


def front_json(front: Front, scaled_front: Front) -> str:
    """Both fronts, raw and temperature-scaled, as indented JSON with their objectives, reference and hypervolume."""
    value = {
        name: {
            "objectives": each.objectives,
            "reference": each.reference,
            "hypervolume": each.hypervolume,
            "front": front_rows(each),
        }
        for name, each in ((RAW, front), (SCALED, scaled_front))
    }
    return json.dumps(_json_value(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def front_csv(front: Front) -> str:
    """The arms on a front as CSV, the columns of `front_rows` with validation figures under flat names."""
    columns = [*ARM_COLUMNS, *TEST_FIGURES, *STANDARDIZED_FIGURES, "validation_accuracy", "validation_ece"]
    rows = [
        row
        | {"trials": " ".join(row["trials"])}
        | {f"validation_{name}": row["validation"][name] for name in row["validation"]}
        for row in front_rows(front)
    ]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n")


def check_rows(rows: Iterable[Mapping[Any, Any]], prefix: str = "") -> None:
    """Assert |accuracy − confidence| ≤ ECE ≤ (1 − accuracy) + (1 − confidence) on every row, in every reading.

    It holds for one model and for means over models; a reading without an ECE (an unfinished trial) is skipped.
    """
    for row in rows:
        for suffix in SUFFIXES.values():
            names = ("accuracy", f"confidence{suffix}", f"ece{suffix}")
            accuracy, confidence, ece = (row.get(prefix + name, math.nan) for name in names)
            if ece is None or math.isnan(ece):
                continue
            assert obeys_ece_bounds(accuracy, confidence, ece), (
                f"internal error: {row.get('label', row)}: ECE {ece} is impossible at accuracy {accuracy} "
                f"and confidence {confidence} ({prefix}*{suffix})"
            )


def _front_row(point: Mapping[Hashable, Any]) -> dict[str, Any]:
    standardized = [name for name in STANDARDIZED_FIGURES if math.isfinite(point[f"test/{name}"])]
    figures = {name: point[f"test/{name}"] for name in (*TEST_FIGURES, *standardized)}
    row = {name: point[name] for name in ARM_COLUMNS} | figures
    check_rows([row])
    return _json_value(row | {"validation": {name: point[f"validation/{name}"] for name in ("accuracy", "ece")}})


def _json_value(value: Any) -> Any:
    """The value with None in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {key: _json_value(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_json_value(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class Table:
    """A table of a page: headers, which columns are numeric, and rows of text cells."""

    headers: list[str]
    numeric: list[bool]
    rows: list[list[str]]


Column = tuple[str, Callable[[Any], str]]


def percent(fraction: float) -> str:
    """A fraction as a percentage with two decimals, without the percent sign."""
    return "" if math.isnan(fraction) else f"{100 * fraction:.2f}"


def decimal(value: float) -> str:
    """A number with four decimals."""
    return "" if math.isnan(value) else f"{value:.4f}"


def general(value: float) -> str:
    """A number in as few digits as it needs, four at most."""
    return "" if math.isnan(value) else f"{value:.4g}"


def count(value: float) -> str:
    """An integer with thousands separators."""
    return "" if math.isnan(value) else f"{value:,.0f}"


TEST_COLUMNS: dict[str, Column] = {
    "Accuracy %": ("test/accuracy", percent),
    "Confidence %": ("test/confidence", percent),
    "ECE": ("test/ece", decimal),
    "ECE scaled": ("test/ece_scaled", decimal),
    "NLL": ("test/nll", decimal),
    "Brier": ("test/brier", decimal),
}
VALIDATION_COLUMNS: dict[str, Column] = {
    "Val. acc. %": ("validation/accuracy", percent),
    "Val. ECE": ("validation/ece", decimal),
}
FRONT_TABLE: dict[str, Column] = (
    {"Arm": ("arm", str)}
    | TEST_COLUMNS
    | {"AURC": ("test/aurc", decimal), "ECE debiased": ("test/ece_debiased", decimal)}
    | {"ECE z/σ": ("test/ece_standardized", decimal)}
    | VALIDATION_COLUMNS
    | {"Val. ECE scaled": ("validation/ece_scaled", decimal), "Seeds": ("num_seeds", count)}
)
TEACHER_TABLE: dict[str, Column] = (
    {"Teacher": ("teacher", str), "Model": ("model", str), "Status": ("status", str)}
    | TEST_COLUMNS
    | VALIDATION_COLUMNS
    | {"Fitted T": ("scaling_temperature", general), "Parameters": ("num_parameters", count)}
)
RUNS_TABLE: dict[str, Column] = (
    {"Trial": ("label", str), "Status": ("status", str), "T": ("temperature", str), "α": ("alpha", general)}
    | TEST_COLUMNS
    | VALIDATION_COLUMNS
    | {"Fitted T": ("scaling_temperature", general), "Seconds": ("wall_s", general), "Key": ("trial", str)}
)


def table_of(frame: pd.DataFrame, columns: Mapping[str, Column]) -> Table:
    """A frame as a table of text; asserts that every row obeys the bounds of ECE on test and on validation."""
    records = frame.to_dict("records")
    for split in ("test/", "validation/"):
        check_rows(records, split)
    numeric = [write is not str for _, write in columns.values()]
    return Table(list(columns), numeric, [[write(row[name]) for name, write in columns.values()] for row in records])


def front_table(front: Front) -> Table:
    """The arms on a front as a table of text; the z/σ column is included if any arm has that reading."""
    members = front.members
    standardized = bool(members["test/ece_standardized"].notna().any())
    columns = {title: column for title, column in FRONT_TABLE.items() if standardized or title != "ECE z/σ"}
    return table_of(members, columns)
