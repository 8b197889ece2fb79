"""The page of a report: all figures and tables of a sweep in one self-contained HTML file."""

from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.chart import chart_of, vega_bundle
from analysis.figures import draw_curves, draw_front, draw_reliability, reliability_panel, svg_of
from analysis.pareto import Front
from analysis.runs import journals_of, recycled_of, teachers_of
from analysis.tables import RUNS_TABLE, TEACHER_TABLE, front_table, table_of
from kd_core.measure.calibration import NUM_BINS
from kd_core.measure.outcomes import RAW, SCALED, STANDARDIZED
from kd_core.store.records import Record, Store

TEMPLATES = Environment(
    loader=PackageLoader("analysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
READING_TITLES = {RAW: "as trained", SCALED: "temperature-scaled", STANDARDIZED: "z/σ"}


def page_of(store: Store, name: str, runs: pd.DataFrame, front: Front, scaled_front: Front) -> str:
    """The page of a sweep as HTML, from its table of runs and both fronts; equal records give equal text."""
    return TEMPLATES.get_template("report.html.j2").render(_content(store, name, runs, front, scaled_front))


def front_svg(front: Front) -> str:
    """The front as a standalone SVG figure."""
    return svg_of(draw_front(front), "The front")


def summary(front: Front, scaled_front: Front) -> str:
    """A summary of the results in a few sentences."""
    members = front.members
    if members.empty:
        return "No trial has finished yet, so there is no front to show."
    accurate = members.sort_values("test/accuracy", kind="stable").iloc[-1]
    calibrated = members.sort_values("test/ece", kind="stable").iloc[0]
    extremes = f"the most accurate is {_described(accurate)} and the best calibrated {_described(calibrated)}"
    if accurate["arm"] == calibrated["arm"]:
        extremes = f"{_described(accurate)} is the most accurate of them and the best calibrated"
    return (
        f"The front holds {len(members)} of {len(front.points)} finished arms: no other arm does at least as well "
        f"as one of them on every objective and better on some. On test, {extremes}. With every student "
        f"temperature-scaled, the front holds {len(scaled_front.members)}."
    )


def _described(arm: pd.Series) -> str:
    return f"{arm['arm']} ({arm['test/accuracy']:.1%} accurate, ECE {arm['test/ece']:.3f})"


def _content(store: Store, name: str, runs: pd.DataFrame, front: Front, scaled_front: Front) -> dict[str, Any]:
    teachers, drawable = teachers_of(store, name), len(front.points) > 0
    return {
        "name": name,
        "summary": summary(front, scaled_front),
        "tiles": _tiles(runs, front),
        "num_seeds": runs["seed"].nunique(),
        "num_bins": NUM_BINS,
        "recycled": recycled_of(store, name),
        "standardized": bool(runs["test/ece_standardized"].notna().any()),
        "fronts": [_front("As trained", front), _front("Temperature-scaled", scaled_front)],
        "chart": chart_of(front, scaled_front) if drawable else None,
        "vega": Markup(vega_bundle()) if drawable else "",
        "teachers": table_of(teachers, TEACHER_TABLE),
        "reliability": _reliability(store, teachers, front),
        "curves": _curves(store, name, front),
        "runs": table_of(runs, RUNS_TABLE),
        "failed": runs.loc[runs["status"] == "failed", ["label", "error"]].to_dict("records"),
    }


def _tiles(runs: pd.DataFrame, front: Front) -> dict[str, int]:
    """The counts at the top of the page: trials by status, arms, arms on the front."""
    by_status = {str(status): int(number) for status, number in runs["status"].value_counts().sort_index().items()}
    return (
        {"trials": len(runs), "finished": 0}
        | by_status
        | {"arms": runs["arm"].nunique(), "on the front": len(front.members)}
    )


def _front(title: str, front: Front) -> dict[str, Any]:
    return {
        "title": title,
        "figure": _inline(draw_front(front), f"{title}: the front") if len(front.points) else "",
        "table": front_table(front),
        "objectives": front.objectives,
        "reference": front.reference,
        "hypervolume": front.hypervolume,
    }


def _reliability(store: Store, teachers: pd.DataFrame, front: Front) -> dict[str, dict[str, Markup]]:
    """Reliability diagrams by title: of the finished teachers, and of each front arm's best replicate."""
    finished = teachers.loc[teachers["status"] == "finished"]
    groups = {
        "Teachers": {name: store.teacher(key) for name, key in finished[["teacher", "key"]].to_numpy()},
        "Students on the front": {
            label: store.trial(key) for label, key in front.members[["label", "trial"]].to_numpy()
        },
    }
    return {
        group: {title: _diagram(title, record) for title, record in records.items()}
        for group, records in groups.items()
        if records
    }


def _diagram(title: str, record: Record) -> Markup:
    outcomes = record.outcomes("test")
    panels = [reliability_panel(READING_TITLES[reading], outcomes, reading) for reading in outcomes.readings]
    return _inline(draw_reliability(panels), f"Reliability of {title}")


def _curves(store: Store, name: str, front: Front) -> Markup | None:
    journals = journals_of(store, name)
    return None if journals.empty else _inline(draw_curves(journals, list(front.members["arm"])), "Learning curves")


def _inline(figure: Figure, name: str) -> Markup:
    return Markup(svg_of(figure, name))
