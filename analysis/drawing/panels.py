"""The figures of a report's page, as panels of SVG: comparisons, reliability, learning curves and latency."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.drawing.comparisons import (
    draw_latency,
    draw_teachers_against_students,
    draw_trade_off,
    trade_off_series,
)
from analysis.drawing.curves import draw_curves
from analysis.drawing.forest import draw_forest, draw_importances
from analysis.drawing.reliability import ReliabilityCurve, draw_reliability, reliability_curve
from analysis.drawing.style import Looks, svg_of
from analysis.findings import MOST_TEACHERS, Findings
from analysis.objectives import figure_of
from analysis.pooling import pooling_text
from analysis.readings import Judgement
from analysis.runs import LATENCIES
from analysis.statistics.importance import Importance
from analysis.statistics.judgement import likeliest
from analysis.text.key_sentences import key_sentences
from analysis.text.names import READING_TITLES, title_of, value_text
from analysis.text.page_tables import COMPARED_FIGURES
from kd_core.measure.predictions import SUFFIXES, Predictions

MOST_IN_FOREST, MOST_LINES, MOST_COMPARED, MOST_KEYS = 30, 12, 200, 10  # arms or keys of a panel


@dataclass(frozen=True)
class Panel:
    """A figure of a page with its caption, and the id that a link to it names, or ""."""

    svg: Markup
    caption: str = ""
    anchor: str = ""


def anchor_of(reading: str, index: int) -> str:
    """The id of the reliability diagram of the arm at a place of the front's points."""
    return f"reliability-{reading}-{index}"


def forest_of(findings: Findings, judgement: Judgement, looks: Looks) -> dict[str, Any]:
    """Differences of the likeliest arms to the baseline: in the objectives, accuracy, and ECE and NLL of a reading."""
    points, test, baseline = judgement.front.points, judgement.test, findings.baseline
    assert test is not None
    others = points.loc[points["arm"] != baseline]
    likely, title = likeliest(others, MOST_IN_FOREST), READING_TITLES[judgement.reading]
    ours = (name + SUFFIXES[judgement.reading] for name in ("ece", "nll"))
    wanted = dict.fromkeys([*map(figure_of, judgement.front.objectives), "accuracy", *ours])
    figures = [figure for figure in wanted if figure in test.draws] if baseline and len(likely) else []
    return {
        "panels": _panels(
            figures,
            lambda figure: draw_forest(likely, test, baseline, figure, looks),
            f"{title}, differences to {baseline}",
        ),
        "num_left_out": len(others) - len(likely),
        "pooling": pooling_text(test, likely["arm"].tolist(), baseline, figures) if figures else "",
    }


def trade_off_of(findings: Findings, looks: Looks) -> dict[str, Any]:
    """Figures by the temperature of distillation, where there are two temperatures to compare."""
    points, test, baseline = findings.points, findings.shipped.test, findings.baseline
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


def keys_of(findings: Findings) -> dict[str, Any]:
    """What is said of the keys in which arms differ, and a panel an objective."""
    by_objective: dict[str, list[Importance]] = {}
    for importance in findings.importances:
        by_objective.setdefault(importance.objective, []).append(importance)
    panels = [
        Panel(inline(draw_importances(keys[:MOST_KEYS]), f"Which key matters: {title_of(figure_of(objective))}"))
        for objective, keys in by_objective.items()
    ]
    return {"sentences": key_sentences(findings.importances, len(findings.points)), "panels": panels}


def taught_of(findings: Findings, looks: Looks) -> list[Panel]:
    """Teachers against students, where there are two teachers or more to compare."""
    points, test, teacher_test = findings.points, findings.shipped.test, findings.teacher_test
    if test is None or teacher_test is None:
        return []
    taught = likeliest(points.loc[points["teacher"].isin(teacher_test.arms)], MOST_COMPARED)
    return _panels(
        COMPARED_FIGURES if len(set(taught["teacher"])) > 1 else (),
        lambda figure: draw_teachers_against_students(taught, test, teacher_test, figure, looks),
        "Teachers and students",
    )


def reliability_of(findings: Findings, looks: Looks) -> dict[str, list[Panel]]:
    """Reliability diagrams by reading: of teachers, and of the best replicate of each plausible arm."""
    predictions, teachers = findings.predictions, findings.teachers
    panels: dict[str, list[Panel]] = {reading: [] for reading in READING_TITLES}
    taught: dict[tuple[str, str], ReliabilityCurve] = {}
    for teacher, key in teachers.loc[teachers["key"].isin(list(predictions)), ["teacher", "key"]].to_numpy():
        for reading, curve in _by_reading(predictions[key]).items():
            taught[teacher, reading] = curve
            title = f"Reliability of teacher {teacher}, {reading}"
            svg = Markup(draw_reliability(curve, looks.colours[teacher], title))
            panels[reading].append(Panel(svg, f"{teacher}, a teacher"))
    points = findings.points.reset_index(drop=True)
    drawn = points.loc[points["trial"].isin(list(predictions))]
    drawn = drawn.sort_values("front_probability", ascending=False, kind="stable")
    for index, row in zip(drawn.index, drawn.to_dict("records"), strict=True):
        for reading, curve in _by_reading(predictions[row["trial"]]).items():
            name, teacher = f"Reliability of {row['arm']}, {reading}", taught.get((row["teacher"], reading))
            svg = Markup(draw_reliability(curve, looks.colours[row["teacher"]], name, teacher))
            panels[reading].append(Panel(svg, row["arm"], anchor_of(reading, int(index))))
    return {reading: made for reading, made in panels.items() if made}


def _by_reading(predictions: Predictions) -> dict[str, ReliabilityCurve]:
    return {reading: reliability_curve(predictions, reading) for reading in predictions.readings}


def curves_of(findings: Findings, looks: Looks) -> dict[str, list[Panel]]:
    """Learning curves of accuracy and ECE, by teacher; teachers without a finished student are left out."""
    points, journals = findings.points, findings.journals
    if len(set(journals["epoch"])) < 2:
        return {}
    teachers = list(looks.colours)[: MOST_TEACHERS + 1]
    by_teacher = {name: likeliest(points.loc[points["teacher"] == name], MOST_LINES) for name in teachers}
    return {
        teacher or "No teacher": _panels(
            ("accuracy", "ece"),
            lambda figure, arms=arms: draw_curves(journals, arms, figure, looks),
            f"Learning curves, {teacher or 'no teacher'}",
        )
        for teacher, arms in by_teacher.items()
        if set(arms["arm"]) & set(journals["arm"])
    }


def latency_of(findings: Findings, looks: Looks) -> dict[str, Any]:
    """Accuracy against each latency that tells students apart, the latencies that do not, and the device of both."""
    points, test = findings.points, findings.shipped.test
    assert test is not None
    values = {name: sorted(set(points[name].dropna())) for name in LATENCIES}
    return {
        "panels": _panels(
            [name for name in LATENCIES if len(values[name]) > 1],
            lambda figure: draw_latency(points, test, figure, looks),
            "Accuracy by latency",
        ),
        "same": [f"{title_of(name)}: {value_text(name, only[0])}" for name, only in values.items() if len(only) == 1],
        "device": next(filter(None, findings.runs["latency_device"]), ""),
    }


def _panels(figures: Iterable[str], draw: Callable[[str], Figure], title: str) -> list[Panel]:
    """One panel for each of the figures of a model."""
    return [Panel(inline(draw(figure), f"{title}: {title_of(figure)}")) for figure in figures]


def inline(figure: Figure, name: str) -> Markup:
    """A figure as a part of a page; name is its label for screen readers."""
    return Markup(svg_of(figure, name))
