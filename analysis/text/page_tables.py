"""The tables of a report's page, as text."""

from collections.abc import Collection, Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import yaml

from analysis.findings import Findings
from analysis.objectives import figure_of
from analysis.paper import dataset_of, matching
from analysis.pareto import Front
from analysis.readings import Judgement
from analysis.statistics.bootstrap import Estimate
from analysis.statistics.cases import Claim
from analysis.statistics.evidence import Evidence, estimates_of
from analysis.statistics.judgement import likeliest
from analysis.text.names import estimate_text, title_of
from analysis.text.table import Table
from analysis.text.tables import decimal, percent
from kd_core.measure.names import ACCURACIES
from kd_core.measure.predictions import RAW, SUFFIXES

COMPARED_FIGURES = ("accuracy", "ece", "ece_scaled")
MOST_PLAUSIBLE = 50


def shown_figures(front: Front) -> list[str]:
    """The figures of tables and hovering: a front's objectives, then COMPARED_FIGURES."""
    return list(dict.fromkeys([*(figure_of(name) for name in front.objectives), *COMPARED_FIGURES]))


def front_table(judgement: Judgement, fresh: Collection[str] = ()) -> Table:
    """The plausible arms, the likeliest first: test estimates with their intervals, then what validation says.

    The figures of fresh arms are of seeds that had no part in selecting them.
    """
    front, ece = judgement.front, f"validation/ece{SUFFIXES[judgement.reading]}"
    plausible = likeliest(front.points.loc[front.points["plausible"]], MOST_PLAUSIBLE)
    points, figures = plausible.sort_values("front_probability", ascending=False, kind="stable"), shown_figures(front)
    columns: dict[str, list[str]] = {"Arm": points["arm"].tolist()}
    columns |= {header_of(figure): cells_of(points, judgement.test, figure) for figure in figures}
    standardized = points["test/ece_standardized"]
    if judgement.reading == RAW and bool(standardized.notna().any()):
        columns["ECE z/σ"] = [decimal(value) for value in standardized]
    columns |= {
        "Front probability": [f"{value:.2f}" for value in points["front_probability"]],
        "Val. acc. %": [percent(value) for value in points["validation/accuracy"]],
        "Val. ECE": [decimal(value) for value in points[ece]],
        "Seeds": [
            f"{number}{' fresh' * (arm in fresh)}"
            for arm, number in zip(points["arm"], points["num_seeds"], strict=True)
        ],
    }
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    return Table(list(columns), rows, [header != "Arm" for header in columns])


def header_of(figure: str) -> str:
    """The header of a figure's column, such as `Accuracy %`."""
    title = title_of(figure) + " %" * (figure in ACCURACIES)
    return title[:1].upper() + title[1:]


def cells_of(points: pd.DataFrame, test: Evidence | None, figure: str) -> list[str]:
    """A figure of each arm, with its interval in brackets if it has one; empty where the arm lacks it."""
    return [estimate_text(figure, estimate) for estimate in estimates_of(points, test, figure)]


def against_table(differences: pd.DataFrame | None) -> Table | None:
    """The differences to another sweep, a row a pair of arms."""
    if differences is None or differences.empty:
        return None
    rows: dict[tuple[str, str], list[str]] = {}
    for row in differences.to_dict("records"):
        estimate = Estimate(row["value"], row["low"], row["high"])
        rows.setdefault((row["arm"], row["other_arm"]), []).append(_signed(row["figure"], estimate))
    figures = list(dict.fromkeys(differences["figure"]))
    headers = ["Arm", "Less", *map(header_of, figures)]
    return Table(headers, [[*pair, *cells] for pair, cells in rows.items()], [False, False, *[True] * len(figures)])


def _signed(figure: str, estimate: Estimate) -> str:
    """A difference with its sign and its interval."""
    if np.isnan(estimate.value):
        return ""
    factor, digits = (100, 2) if figure in ACCURACIES else (1, 4)
    value, low, high = (f"{factor * end:+.{digits}f}" for end in vars(estimate).values())
    return f"{value} ({low} to {high})".replace("-", "−")


def claim_row(claim: Claim) -> dict[str, Any]:
    """A claim with its numbers as text; p is the p-value of its verdict over all statements of the page."""
    numbers = [] if claim.estimate is None or claim.interval is None else [claim.estimate, *claim.interval]
    value, *ends = [f"{number:+.4f}".replace("-", "−") for number in numbers] or [""]
    p_value = "" if claim.p_value is None else "< .001" if claim.p_value < 0.001 else f"{claim.p_value:.3f}"
    return {"claim": claim, "value": value, "interval": " to ".join(ends), "p_value": p_value.replace("0.", ".")}


def paper_table(findings: Findings) -> Table | None:
    """The paper's rows beside ours, if the sweep is on one of its data sets and has arms like the paper's."""
    spec = yaml.safe_load(findings.spec_yaml) if findings.spec_yaml else None
    data = spec.get("data") if isinstance(spec, dict) else None
    dataset = dataset_of(data) if isinstance(data, dict) else ""
    rows = matching(findings.points, dataset, findings.teachers) if dataset else pd.DataFrame()
    if rows.empty:
        return None
    figures = {"Acc. %": ("accuracy", percent), "Conf. %": ("confidence", percent), "ECE": ("ece", decimal)}
    cells = [
        [
            str(row["name"]),
            *(write(row[name]) for name, write in figures.values()),
            _paper_name(row),
            *(write(row[f"paper_{name}"]) for name, write in figures.values()),
            "impossible" if row["impossible"] else "",
        ]
        for row in rows.to_dict("records")
    ]
    headers = ["Ours", *figures, "The paper’s", *figures, ""]
    return Table(headers, cells, [header in figures for header in headers])


def _paper_name(row: Mapping[Hashable, Any]) -> str:
    temperature = f"T={row['temperature']}" if row["temperature"] else ""
    words = [f"Table {row['table']}:", row["method"], row["paper_teacher"], temperature.replace("sigma", "σ")]
    return " ".join(word for word in words if word)


def failures_of(findings: Findings) -> list[tuple[str, str]]:
    """What failed, is damaged or was stopped early, and why; also trials that wait for a teacher that failed."""
    teachers, runs = findings.teachers, findings.runs
    lost = teachers.loc[teachers["status"].isin(["failed", "damaged"])]
    failed = runs.loc[runs["status"].isin(["failed", "damaged", "stopped"])]
    waiting = runs.loc[(runs["status"] == "pending") & runs["teacher"].isin(lost["teacher"])]
    return [
        *((f"{teacher}, a teacher", error) for teacher, error in lost[["teacher", "error"]].to_numpy()),
        *((label, error) for label, error in failed[["label", "error"]].to_numpy()),
        *((label, f"its teacher, {teacher}, failed") for label, teacher in waiting[["label", "teacher"]].to_numpy()),
    ]
