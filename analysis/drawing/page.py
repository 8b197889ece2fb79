"""The page of a report: all that is known of a sweep, in figures and tables, in one self-contained HTML file."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analysis.drawing.front_chart import MOST_MARKED, draw_front
from analysis.drawing.panels import (
    MOST_LINES,
    Panel,
    anchor_of,
    curves_of,
    forest_of,
    inline,
    keys_of,
    latency_of,
    reliability_of,
    taught_of,
    trade_off_of,
)
from analysis.drawing.reliability import FEWEST
from analysis.drawing.style import GLYPHS, NO_TEACHER, Looks, figure_css, svg_of
from analysis.drawing.trust import trust_figures
from analysis.findings import Findings
from analysis.objectives import SIZES, figure_of
from analysis.paper import dataset_of, paper_source
from analysis.pareto import Front
from analysis.readings import Judgement
from analysis.statistics.bootstrap import COVERAGE
from analysis.statistics.cases import NOT_TESTABLE
from analysis.statistics.evidence import Evidence
from analysis.statistics.judgement import PLAUSIBLE, likeliest
from analysis.text.names import READING_TITLES, share_text, title_of, value_text
from analysis.text.page_tables import (
    against_table,
    cells_of,
    claim_row,
    failures_of,
    front_table,
    header_of,
    paper_table,
    shown_figures,
)
from analysis.text.provenance import fresh_arms
from analysis.text.tables import RUNS_TABLE, TEACHER_TABLE, Column, table_of
from analysis.text.trust import paper_beside, paper_with_itself, trust_sentences, trust_source, trust_table
from kd_core.measure.calibration import NUM_BINS
from kd_core.measure.predictions import RAW, SCALED, STANDARDIZED

MOST_ROWS, MOST_NAMES = 500, 12  # of the table of trials, and of a list
ABOUT = {
    SCALED: "As shipped: after temperature scaling, fitted on validation, which kdsweep promote builds in.",
    RAW: "As trained: before temperature scaling, which is the paper’s question.",
}
TRIALS_TABLE = {title: column for title, column in RUNS_TABLE.items() if title != "T"}  # the label tells it
TEMPLATES = Environment(
    loader=PackageLoader("analysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def page_of(findings: Findings) -> str:
    """The page of a sweep as HTML; equal findings give equal text."""
    return TEMPLATES.get_template("report.html.j2").render(_content(findings))


def front_svg(front: Front, test: Evidence | None) -> str:
    """The front as a standalone SVG figure, for light and dark pages."""
    return svg_of(draw_front(front, test), "The front", standalone=True)


def _content(findings: Findings) -> dict[str, Any]:
    points, teachers = findings.points, findings.teachers
    looks = Looks.of(points, teachers["teacher"])
    drawn = findings.test is not None and len(points) > 0
    diagrams = reliability_of(findings, looks) if drawn else {}
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
        "trade_off": trade_off_of(findings, looks) if drawn else {},
        "claims": [claim_row(claim) for claim in findings.claims if claim.verdict != NOT_TESTABLE],
        "untestable": [claim for claim in findings.claims if claim.verdict == NOT_TESTABLE],
        "paper": paper_table(findings) if drawn else None,
        "paper_source": paper_source(),
        "trust": _trust(findings) if findings.evaluated else None,
        "keys": keys_of(findings),
        "teachers": table_of(teachers, TEACHER_TABLE),
        "taught": taught_of(findings, looks) if drawn else [],
        "curves": curves_of(findings, looks) if drawn else {},
        "all_validated": bool(findings.journals["validation/accuracy"].notna().all()),
        "most": {"lines": MOST_LINES, "marked": MOST_MARKED},
        "latency": latency_of(findings, looks) if drawn else None,
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
        "answer": [_with_command(sentence) for sentence in judgement.answer],
        "words": judgement.choices.by_word,
        "advice": judgement.advice,
        "counts": _counts(findings, judgement),
    }
    if test is None or not diagrams:
        return made
    against = findings.against.get(reading)
    return made | {
        "front": _front(findings, judgement),
        "forest": forest_of(findings, judgement, looks),
        "optimistic": _listed(selected.loc[selected["optimistic"], "arm"]),
        "pessimistic": _listed(selected.loc[selected["pessimistic"], "arm"]),
        "against": against_table(against.differences) if against else None,
        "diagrams": diagrams[reading],
        "standardized": diagrams.get(STANDARDIZED, []) if reading == RAW else [],
    }


def _trust(findings: Findings) -> dict[str, Any]:
    """What evaluations found: sentences, a table, figures, and the paper's figures beside them."""
    models, points = findings.evaluated, findings.points
    likely = likeliest(points, len(points))["arm"].tolist()
    networks = dict(zip(findings.teachers["teacher"], findings.teachers["model"], strict=True))
    data = yaml.safe_load(findings.spec_yaml or "{}").get("data", {})
    return {
        "sentences": trust_sentences(models, findings.shipped.choices.recommended),
        "table": trust_table(models),
        "paper": paper_beside(models, networks, dataset_of(data, None)),
        "contradictions": paper_with_itself(),
        "source": trust_source(),
        "baseline": findings.baseline,
        "generated": findings.corrupted_here,
        **trust_figures(models, [findings.shipped.choices.recommended, *likely], findings.baseline),
    }


def _with_command(sentence: str) -> Markup:
    """A sentence whose command, which ends it, is set as code, so that it is not broken within a word."""
    text, command, arguments = sentence.partition("kdsweep ")
    code = Markup('<code class="command">{}</code>').format(command + arguments) if command else ""
    return Markup.escape(text) + code


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


def _key(looks: Looks, used: set[str]) -> dict[str, list[tuple[str, str, str]]]:
    """The key of all figures but the front's, by part: glyph, colour and name of each teacher and method."""
    teachers = [("●", colour, teacher or "none") for teacher, colour in looks.colours.items() if teacher or "" in used]
    methods = [(GLYPHS[marker], NO_TEACHER, method) for method, marker in looks.markers.items()]
    return ({"Teacher": teachers} if len(looks.colours) > 1 else {}) | {"Method": methods}


def _front(findings: Findings, judgement: Judgement) -> dict[str, Any]:
    """One front: its chart in two widths, and its table of plausible arms."""
    front, reading, best = judgement.front, judgement.reading, {"max": "highest", "min": "lowest"}
    against = findings.against[reading].members if reading in findings.against else None
    title = f"{READING_TITLES[reading]}: the front"
    return {
        "reading": reading,
        "objectives": [f"{best[way]} {title_of(figure_of(name))}" for name, way in front.objectives.items()],
        "reference": [
            f"{title_of(name)} {value_text(name, value) if name in SIZES else f'{value:.4g}'}"
            for name, value in zip(map(figure_of, front.reference), front.reference.values(), strict=True)
        ],
        "hypervolume": f"{front.hypervolume:.4g}",
        "attainment": {seeds: f"{volume:.4g}" for seeds, volume in front.attainment.items()},
        "wide": inline(draw_front(front, judgement.test, against), title),
        "narrow": inline(draw_front(front, judgement.test, against, narrow=True), f"{title}, narrow"),
        "num_plausible": np.count_nonzero(front.points["plausible"]),
        "table": front_table(judgement, fresh_arms(findings.runs)),
    }


def _chart(findings: Findings, diagrams: dict[str, list[Panel]]) -> dict[str, Any]:
    """What the script shows of the points of each front chart, by the place of their arm: name, figures, diagram."""
    points, figures = findings.points, shown_figures(findings.shipped.front)
    fronts = {reading: judgement.front for reading, judgement in findings.readings.items()}
    marked = {index for front in fronts.values() for index in likeliest(front.points, MOST_MARKED).index}
    points = points.loc[sorted(marked)]
    anchors = {panel.anchor for panels in diagrams.values() for panel in panels}
    return {
        "titles": [header_of(figure) for figure in figures],
        "rows": {
            reading: dict(zip(points.index.tolist(), _hover_texts(points, judgement, figures), strict=True))
            for reading, judgement in findings.readings.items()
        },
        "probability": {
            reading: front.points.loc[points.index, "front_probability"].round(3).to_dict()
            for reading, front in fronts.items()
        },
        "linked": [index for index in points.index.tolist() if anchor_of(RAW, index) in anchors],  # in every reading
    }


def _hover_texts(points: pd.DataFrame, judgement: Judgement, figures: Iterable[str]) -> Iterable[tuple[str, ...]]:
    return zip(points["arm"], *(cells_of(points, judgement.test, figure) for figure in figures), strict=True)


def _listed(names: Iterable[str]) -> str:
    first, others = list(names)[:MOST_NAMES], list(names)[MOST_NAMES:]
    return ", ".join(first) + f" and {len(others):,} more" * bool(others)
