"""Comparisons of arms: by temperature, with their teachers, and by latency."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.drawing.style import MUTED, NO_TEACHER, STYLE, Looks, format_axis, new_panel
from analysis.statistics.bootstrap import Estimate
from analysis.statistics.evidence import Evidence
from analysis.text.names import title_of

MOST_SERIES = 8  # of the trade-off by temperature
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1, 2)))


def trade_off_series(points: pd.DataFrame, looks: Looks) -> dict[tuple[str, str, str], pd.DataFrame]:
    """The arms of each line of the trade-off, by (teacher, method, other settings), in order of temperature.

    A line holds arms that differ in temperature alone; σ, whose degrees are infinite, comes last. There are MOST_SERIES
    at most, those of the likeliest arms. Empty if no line has two temperatures.
    """
    distilled = points.loc[(points["teacher"] != "") & (points["temperature"] != "")]
    labels = [looks.label(*row) for row in distilled[["arm", "method", "teacher"]].to_numpy()]
    rest = [" ".join(word for word in label.split() if not word.startswith("T=")) for label in labels]
    degrees = distilled["temperature"].replace("sigma", "inf").astype(float)
    ordered = distilled.assign(rest=rest, degrees=degrees).sort_values("degrees", kind="stable")
    groups = {tuple(key): group for key, group in ordered.groupby(["teacher", "method", "rest"], sort=True)}
    likely = sorted(groups, key=lambda key: -groups[key]["front_probability"].max())[:MOST_SERIES]
    series = {key: group for key, group in groups.items() if key in likely}
    return series if any(group["degrees"].nunique() > 1 for group in series.values()) else {}  # type: ignore[misc]


@matplotlib.rc_context(STYLE)
def draw_trade_off(points: pd.DataFrame, test: Evidence, baseline: str, figure: str, looks: Looks) -> Figure:
    """A test figure against the temperature of distillation, a line a teacher and method, σ apart at the right.

    The dashed horizontal line is the baseline. Without two temperatures to compare, the panel is empty.
    """
    series = trade_off_series(points, looks)
    temperatures = sorted({degrees for group in series.values() for degrees in group["degrees"]})
    places = {degrees: float(np.log2(degrees)) for degrees in temperatures if np.isfinite(degrees)}
    drawing, axes = new_panel(f"test {title_of(figure)}", height=260)
    if np.inf in temperatures:
        places[np.inf] = max(places.values(), default=0.0) + 0.9
        axes.axvline(places[np.inf] - 0.45, color=MUTED, linewidth=0.8)
    gaps = np.diff(list(places.values()))
    step = min(0.035, 0.7 * min(gaps, default=1.0) / max(1, len(series)))  # between lines, so that they stay apart
    dashes = dict(zip(sorted({rest for _, _, rest in series}), _DASHES * len(series), strict=False))
    for index, ((teacher, method, rest), group) in enumerate(series.items()):
        shift, look = step * (index - (len(series) - 1) / 2), looks.marker(method, teacher)
        x = np.array([places[degrees] + shift for degrees in group["degrees"]])
        estimates = [test.estimate(figure, arm) for arm in group["arm"]]
        finite, values = np.isfinite(group["degrees"].to_numpy()), np.array([estimate.value for estimate in estimates])
        axes.plot(x[finite], values[finite], color=look["color"], linewidth=1.4, linestyle=dashes[rest])
        _draw_estimates(axes, x, estimates, look)
    if baseline and len(series):
        axes.axhline(test.estimate(figure, baseline).value, color=NO_TEACHER, linewidth=1.2, linestyle=(0, (4, 3)))
    named = _with_room(places)
    axes.set_xticks(list(named.values()), [_name(degrees) for degrees in named])
    axes.set_xlabel("temperature of distillation, T")
    format_axis(axes.yaxis, figure)
    return drawing


def _with_room(places: dict[float, float]) -> dict[float, float]:
    """The temperatures, with their places, that are named on the axis: σ, and others that are not too close."""
    span, named = np.ptp([*places.values(), *[0.0] * (not places)]), dict[float, float]()
    for degrees, x in places.items():
        last = next(reversed(named), degrees)
        room = 0.02 + 0.013 * (len(_name(last)) + len(_name(degrees)))  # of the axis, for half of either name
        if degrees == np.inf or not named or x - named[last] > room * span:
            named[degrees] = x
    return named


def _name(degrees: float) -> str:
    return "σ" if degrees == np.inf else f"{degrees:g}"


@matplotlib.rc_context(STYLE)
def draw_teachers_against_students(
    points: pd.DataFrame, test: Evidence, teacher_test: Evidence, figure: str, looks: Looks
) -> Figure:
    """A test figure of each student against its teacher's; on the diagonal, both are equal.

    A teacher is a vertical band, its interval; its students stand in the band, a little apart from one another.
    """
    title = title_of(figure)
    drawing, axes = new_panel(f"test {title} of the student", height=290, right=20)
    groups = {str(teacher): group for teacher, group in points.groupby("teacher") if teacher in teacher_test.arms}
    estimates = {teacher: teacher_test.estimate(figure, teacher) for teacher in groups}
    span = np.ptp([estimate.value for estimate in estimates.values()])
    apart = 0.12 * span / max(1, points["teacher"].value_counts().max())
    for teacher, students in groups.items():
        estimate = estimates[teacher]
        axes.axvspan(estimate.low, estimate.high, color=looks.colours[teacher], alpha=0.1, linewidth=0)
        for index, (method, arm) in enumerate(students[["method", "arm"]].to_numpy()):
            x = estimate.value + apart * (index - (len(students) - 1) / 2)
            _draw_estimates(axes, [x], [test.estimate(figure, arm)], looks.marker(method, teacher))
    axes.margins(0.06)
    axes.autoscale_view()
    low, high = max(axes.get_xlim()[0], axes.get_ylim()[0]), min(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.autoscale(False)
    if low < high:
        axes.plot([low, high], [low, high], color=MUTED, linewidth=1, zorder=1)
    axes.set_xlabel(f"test {title} of its teacher")
    format_axis(axes.xaxis, figure)
    format_axis(axes.yaxis, figure)
    return drawing


@matplotlib.rc_context(STYLE)
def draw_latency(points: pd.DataFrame, test: Evidence, figure: str, looks: Looks) -> Figure:
    """Test accuracy, with its interval, against a measured latency, on a log axis."""
    drawing, axes = new_panel("test accuracy", height=260, right=20)
    measured = points.loc[np.isfinite(points[figure])]
    for method, teacher, arm, latency in measured[["method", "teacher", "arm", figure]].to_numpy():
        _draw_estimates(axes, [latency], [test.estimate("accuracy", arm)], looks.marker(method, teacher))
    axes.set_xscale("log")
    for set_formatter in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        set_formatter(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.tick_params(which="minor", labelsize=10.5)
    axes.set_xlabel(title_of(figure))
    format_axis(axes.yaxis, "accuracy")
    return drawing


def _draw_estimates(
    axes: Axes, x: Sequence[float] | np.ndarray, estimates: Sequence[Estimate], look: dict[str, Any]
) -> None:
    """Draw estimates as markers at x, with their intervals as vertical lines."""
    values, low, high = np.array([list(vars(estimate).values()) for estimate in estimates]).T
    axes.vlines(x, low, high, color=look["color"], linewidth=1.2, alpha=0.75)
    axes.plot(x, values, linestyle="", markersize=7, zorder=3, **look)
