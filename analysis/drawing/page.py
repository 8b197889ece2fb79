"""The page of a report: all that is known of a sweep, in figures and tables, in one self-contained HTML file."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.drawing.comparisons import (
    draw_forest,
    draw_latency,
    draw_teachers_against_students,
    draw_trade_off,
    trade_off_series,
)
from analysis.drawing.curves import draw_curves
from analysis.drawing.front_chart import MOST_MARKED, draw_front
from analysis.drawing.key_chart import draw_importances
from analysis.drawing.reliability import FEWEST, ReliabilityCurve, draw_reliability, reliability_curve
from analysis.drawing.style import GLYPHS, NO_TEACHER, Looks, figure_css, svg_of
from analysis.findings import Findings
from analysis.paper import paper_source
from analysis.pareto import SIZES, Front, figure_of
from analysis.pooling import pooling_text
from analysis.readings import Judgement
from analysis.runs import LATENCIES
from analysis.statistics.bootstrap import COVERAGE
from analysis.statistics.cases import NOT_TESTABLE
from analysis.statistics.evidence import Evidence
from analysis.statistics.importance import Importance
from analysis.statistics.judgement import PLAUSIBLE, likeliest
from analysis.writing.key_sentences import key_sentences
from analysis.writing.names import READING_TITLES, share_text, title_of, value_text
from analysis.writing.page_tables import (
    COMPARED_FIGURES,
    against_table,
    cells_of,
    claim_row,
    failures_of,
    front_table,
    header_of,
    paper_table,
    shown_figures,
)
from analysis.writing.provenance import fresh_arms
from analysis.writing.tables import RUNS_TABLE, TEACHER_TABLE, Column, table_of
from kd_core.measure.calibration import NUM_BINS
from kd_core.measure.outcomes import RAW, SCALED, STANDARDIZED, SUFFIXES, Outcomes

MOST_ROWS, MOST_NAMES = 500, 12  # of the table of trials, and of a list
MOST_DIAGRAMS, MOST_TEACHERS, MOST_KEYS = 24, 8, 10
MOST_IN_FOREST, MOST_LINES, MOST_COMPARED = 30, 12, 200  # arms of a panel
ABOUT = {
    SCALED: "As shipped: after temperature scaling, fitted on validation, which kdsweep promote builds in.",
    RAW: "As trained: before temperature scaling, which is the paper’s question.",
}
TRIALS_TABLE = {title: column for title, column in RUNS_TABLE.items() if title != "T"}  # the label tells it
TEMPLATES = Environment(
    loader=PackageLoader("analysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
OutcomesOf = Callable[[str], Outcomes]


@dataclass(frozen=True)
class Panel:
    """A figure of a page with its caption, and the id that a link to it names, or ""."""

    svg: Markup
    caption: str = ""
    anchor: str = ""


def page_of(findings: Findings, outcomes: OutcomesOf, teacher_outcomes: OutcomesOf) -> str:
    """The page of a sweep as HTML; equal findings give equal text.

    outcomes and teacher_outcomes give the test outcomes of a finished trial or teacher by its key.
    """
    return TEMPLATES.get_template("report.html.j2").render(_content(findings, outcomes, teacher_outcomes))


def front_svg(front: Front, test: Evidence | None) -> str:
    """The front as a standalone SVG figure, for light and dark pages."""
    return svg_of(draw_front(front, test), "The front", standalone=True)


def _content(findings: Findings, outcomes: OutcomesOf, teacher_outcomes: OutcomesOf) -> dict[str, Any]:
    points, teachers = findings.points, findings.teachers
    looks = Looks.of(points, teachers["teacher"])
    drawn = findings.test is not None and len(points) > 0
    diagrams = _reliability(findings, looks, outcomes, teacher_outcomes) if drawn else {}
    readings = findings.readings.values()
    return {
        "findings": findings,
        "css": Markup(figure_css()),
        "drawn": drawn,
        "readings": [_reading(findings, judgement, looks, diagrams) for judgement in readings],
        "coverage": share_text(COVERAGE),
        "plausible_share": share_text(PLAUSIBLE),
        "num_bins": NUM_BINS,
        "fewest": FEWEST,
        "standardized": bool(findings.runs["test/ece_standardized"].notna().any()),
        "num_arms": len(points),
        "key": _key(looks, set(points["teacher"])),
        "chart": _chart(findings, diagrams) if drawn else None,
        "trade_off": _trade_off(findings, looks) if drawn else {},
        "claims": [claim_row(claim) for claim in findings.claims if claim.verdict != NOT_TESTABLE],
        "untestable": [claim for claim in findings.claims if claim.verdict == NOT_TESTABLE],
        "paper": paper_table(findings) if drawn else None,
        "paper_source": paper_source(),
        "keys": _keys(findings),
        "teachers": table_of(teachers, TEACHER_TABLE),
        "taught": _taught(findings, looks) if drawn else [],
        "curves": _curves(findings, looks) if drawn else {},
        "most": {"lines": MOST_LINES, "marked": MOST_MARKED},
        "latency": _latency(findings, looks) if drawn else None,
        "runs": table_of(findings.runs.iloc[:MOST_ROWS], _trials_table(findings.runs)),
        "num_runs": len(findings.runs),
        "failures": failures_of(findings),
    }


def _reading(
    findings: Findings, judgement: Judgement, looks: Looks, diagrams: dict[str, list[Panel]]
) -> dict[str, Any]:
    """All that changes with the reading; without a finished arm, only the answer."""
    reading, test, selected = judgement.reading, findings.test, judgement.selected
    made: dict[str, Any] = {
        "title": READING_TITLES[reading],
        "about": ABOUT[reading],
        "answer": judgement.answer,
        "words": judgement.choices.by_word,
        "advice": judgement.advice,
        "counts": _counts(findings, judgement),
    }
    if test is None or not diagrams:
        return made
    against = findings.against.get(reading)
    return made | {
        "front": _front(findings, judgement),
        "forest": _forest(findings, judgement, looks),
        "optimistic": _listed(selected.loc[selected["optimistic"], "arm"]),
        "pessimistic": _listed(selected.loc[selected["pessimistic"], "arm"]),
        "against": against_table(against.differences) if against else None,
        "diagrams": diagrams[reading],
        "standardized": diagrams.get(STANDARDIZED, []) if reading == RAW else [],
    }


def _trials_table(runs: pd.DataFrame) -> dict[str, Column]:
    """The columns of the table of trials, with the role of each where there are any."""
    (title, label), *others = TRIALS_TABLE.items()
    role: dict[str, Column] = {"Role": ("role", str)} if set(runs["role"]) - {""} else {}
    return {title: label} | role | dict(others)


def _counts(findings: Findings, judgement: Judgement) -> list[str]:
    """How many trials there are, by status, how many arms, and how many of them are plausible."""
    by_status = findings.runs["status"].value_counts().sort_index()
    points = judgement.front.points
    return [
        f"{len(findings.runs):,} trial{'s' * (len(findings.runs) != 1)}",
        *(f"{count:,} {status}" for status, count in by_status.items()),
        f"{findings.runs['arm'].nunique():,} arm{'s' * (findings.runs['arm'].nunique() != 1)}",
        f"{np.count_nonzero(points['plausible']):,} plausible on the front",
    ]


def _key(looks: Looks, shown: set[str]) -> dict[str, list[tuple[str, str, str]]]:
    """The key of all figures but the front's, by part: glyph, colour and name of each teacher and method."""
    teachers = [("●", colour, teacher or "none") for teacher, colour in looks.colours.items() if teacher or "" in shown]
    methods = [(GLYPHS[marker], NO_TEACHER, method) for method, marker in looks.markers.items()]
    return ({"Teacher": teachers} if len(looks.colours) > 1 else {}) | {"Method": methods}


def _front(findings: Findings, judgement: Judgement) -> dict[str, Any]:
    """One front: its chart in two widths, and its table of plausible arms."""
    front, reading, best = judgement.front, judgement.reading, {"max": "highest", "min": "lowest"}
    against = findings.against[reading].members if reading in findings.against else None
    title, figures = (
        READING_TITLES[reading],
        [draw_front(front, findings.test, against, each) for each in (False, True)],
    )
    return {
        "reading": reading,
        "objectives": [f"{best[way]} {title_of(figure_of(name))}" for name, way in front.objectives.items()],
        "reference": [
            f"{title_of(name)} {value_text(name, value) if name in SIZES else f'{value:.4g}'}"
            for name, value in zip(map(figure_of, front.reference), front.reference.values(), strict=True)
        ],
        "hypervolume": f"{front.hypervolume:.4g}",
        "attainment": {seeds: f"{volume:.4g}" for seeds, volume in front.attainment.items()},
        "wide": _inline(figures[0], f"{title}: the front"),
        "narrow": _inline(figures[1], f"{title}: the front, narrow"),
        "num_plausible": np.count_nonzero(front.points["plausible"]),
        "table": front_table(judgement, findings.test, fresh_arms(findings.runs)),
    }


def _chart(findings: Findings, diagrams: dict[str, list[Panel]]) -> dict[str, Any]:
    """What the script shows of the points of the front charts, by the place of their arm: name, figures, diagram."""
    points, figures = findings.points, shown_figures(findings.shipped.front)
    fronts = {reading: judgement.front for reading, judgement in findings.readings.items()}
    marked = {index for front in fronts.values() for index in likeliest(front.points, MOST_MARKED).index}
    shown = points.loc[sorted(marked)]
    rows = zip(shown["arm"], *(cells_of(shown, findings.test, figure) for figure in figures), strict=True)
    anchors = {panel.anchor for panels in diagrams.values() for panel in panels}
    return {
        "titles": [header_of(figure) for figure in figures],
        "rows": dict(zip(shown.index.tolist(), rows, strict=True)),
        "probability": {
            reading: front.points.loc[shown.index, "front_probability"].round(3).to_dict()
            for reading, front in fronts.items()
        },
        "linked": [index for index in shown.index.tolist() if _anchor(RAW, index) in anchors],  # in every reading
    }


def _anchor(reading: str, index: int) -> str:
    return f"reliability-{reading}-{index}"


def _forest(findings: Findings, judgement: Judgement, looks: Looks) -> dict[str, Any]:
    """Differences of the likeliest arms to the baseline: in the objectives, accuracy, and ECE and NLL of a reading."""
    points, test, baseline = judgement.front.points, findings.test, findings.baseline
    assert test is not None
    others = points.loc[points["arm"] != baseline]
    shown, title = likeliest(others, MOST_IN_FOREST), READING_TITLES[judgement.reading]
    ours = (name + SUFFIXES[judgement.reading] for name in ("ece", "nll"))
    known = dict.fromkeys([*map(figure_of, judgement.front.objectives), "accuracy", *ours])
    figures = [figure for figure in known if figure in test.draws] if baseline and len(shown) else []
    return {
        "panels": _panels(
            figures,
            lambda figure: draw_forest(shown, test, baseline, figure, looks),
            f"{title}, differences to {baseline}",
        ),
        "num_left_out": len(others) - len(shown),
        "pooling": pooling_text(test, shown["arm"].tolist(), baseline, figures) if figures else "",
    }


def _trade_off(findings: Findings, looks: Looks) -> dict[str, Any]:
    """Figures by the temperature of distillation, where there are two temperatures to compare."""
    points, test, baseline = findings.points, findings.test, findings.baseline
    assert test is not None
    distilled = points.loc[(points["teacher"] != "") & (points["temperature"] != "")]
    lines = trade_off_series(distilled, looks)
    return {
        "panels": _panels(
            COMPARED_FIGURES if lines else (),
            lambda figure: draw_trade_off(distilled, test, baseline, figure, looks),
            "By temperature",
        ),
        "has_all": sum(map(len, lines.values())) == len(distilled),
    }


def _listed(names: Iterable[str]) -> str:
    first, others = list(names)[:MOST_NAMES], list(names)[MOST_NAMES:]
    return ", ".join(first) + f" and {len(others):,} more" * bool(others)


def _keys(findings: Findings) -> dict[str, Any]:
    """What is said of the keys in which arms differ, and a panel an objective."""
    by_objective: dict[str, list[Importance]] = {}
    for each in findings.importances:
        by_objective.setdefault(each.objective, []).append(each)
    panels = [
        Panel(_inline(draw_importances(each[:MOST_KEYS]), f"Which key matters: {title_of(figure_of(objective))}"))
        for objective, each in by_objective.items()
    ]
    return {"sentences": key_sentences(findings.importances), "panels": panels}


def _taught(findings: Findings, looks: Looks) -> list[Panel]:
    """Teachers against students, where there are two teachers or more to compare."""
    points, test, teacher_test = findings.points, findings.test, findings.teacher_test
    if test is None or teacher_test is None:
        return []
    taught = likeliest(points.loc[points["teacher"].isin(teacher_test.arms)], MOST_COMPARED)
    return _panels(
        COMPARED_FIGURES if len(set(taught["teacher"])) > 1 else (),
        lambda figure: draw_teachers_against_students(taught, test, teacher_test, figure, looks),
        "Teachers and students",
    )


def _reliability(
    findings: Findings, looks: Looks, outcomes: OutcomesOf, teacher_outcomes: OutcomesOf
) -> dict[str, list[Panel]]:
    """Reliability diagrams by reading: of the finished teachers, and of the best replicate of each plausible arm."""
    teachers = findings.teachers.loc[findings.teachers["status"] == "finished"].iloc[:MOST_TEACHERS]
    panels: dict[str, list[Panel]] = {reading: [] for reading in READING_TITLES}
    taught: dict[tuple[str, str], ReliabilityCurve] = {}
    for teacher, key in teachers[["teacher", "key"]].to_numpy():
        for reading, curve in _curves_of(teacher_outcomes(key)).items():
            taught[teacher, reading] = curve
            title = f"Reliability of teacher {teacher}, {reading}"
            svg = _inline(draw_reliability(curve, looks.colours[teacher]), title)
            panels[reading].append(Panel(svg, f"{teacher}, a teacher"))
    points = findings.points.reset_index(drop=True)
    plausible = points["plausible"] | findings.readings[RAW].front.points["plausible"].to_numpy()
    order = points.loc[plausible].sort_values("front_probability", ascending=False, kind="stable").iloc[:MOST_DIAGRAMS]
    for index, row in zip(order.index, order.to_dict("records"), strict=True):
        for reading, curve in _curves_of(outcomes(row["trial"])).items():
            figure = draw_reliability(curve, looks.colours[row["teacher"]], taught.get((row["teacher"], reading)))
            svg = _inline(figure, f"Reliability of {row['arm']}, {reading}")
            panels[reading].append(Panel(svg, row["arm"], _anchor(reading, int(index))))
    return {reading: made for reading, made in panels.items() if made}


def _curves_of(outcomes: Outcomes) -> dict[str, ReliabilityCurve]:
    return {reading: reliability_curve(outcomes, reading) for reading in outcomes.readings}


def _curves(findings: Findings, looks: Looks) -> dict[str, list[Panel]]:
    """Learning curves of accuracy and ECE, by teacher; teachers without a finished student are left out."""
    points, journals = findings.points, findings.journals
    if len(set(journals["epoch"])) < 2:
        return {}
    teachers = list(looks.colours)[: MOST_TEACHERS + 1]
    by_teacher = {each: likeliest(points.loc[points["teacher"] == each], MOST_LINES) for each in teachers}
    return {
        teacher or "No teacher": _panels(
            ("accuracy", "ece"),
            lambda figure, arms=arms: draw_curves(journals, arms, figure, looks),
            f"Learning curves, {teacher or 'no teacher'}",
        )
        for teacher, arms in by_teacher.items()
        if set(arms["arm"]) & set(journals["arm"])
    }


def _latency(findings: Findings, looks: Looks) -> dict[str, Any]:
    """Accuracy against each latency that tells students apart, the latencies that do not, and the device of both."""
    points, test = findings.points, findings.test
    assert test is not None
    values = {name: sorted(set(points[name].dropna())) for name in LATENCIES}
    return {
        "panels": _panels(
            [name for name in LATENCIES if len(values[name]) > 1],
            lambda figure: draw_latency(points, test, figure, looks),
            "Accuracy by latency",
        ),
        "same": [f"{title_of(name)}: {value_text(name, each[0])}" for name, each in values.items() if len(each) == 1],
        "device": next((each for each in findings.runs["latency_device"] if each), ""),
    }


def _panels(figures: Iterable[str], draw: Callable[[str], Figure], title: str) -> list[Panel]:
    """One panel for each of the figures of a model."""
    return [Panel(_inline(draw(figure), f"{title}: {title_of(figure)}")) for figure in figures]


def _inline(figure: Figure, name: str) -> Markup:
    return Markup(svg_of(figure, name))
