"""Comparisons of arms: with a baseline, by temperature, with their teachers, and by latency."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.drawing.style import (
    INK,
    MUTED,
    NO_TEACHER,
    PAPER,
    STYLE,
    Looks,
    format_axis,
    new_panel,
    shortened,
)
from analysis.statistics.evidence import Evidence
from analysis.text.names import title_of

SIGMA = "sigma"
MOST_SERIES = 8  # of the trade-off by temperature
_TITLE = 58  # letters of a title that fit over a panel
_ROW = 34.0  # pixels of an arm in a forest
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (5, 2, 1, 2)))


@matplotlib.rc_context(STYLE)
def draw_forest(points: pd.DataFrame, test: Evidence, baseline: str, figure: str, looks: Looks) -> Figure:
    """The difference of each arm to the baseline in a test figure, with its interval, the best one at the top.

    points holds the arms to compare. Hollow markers are differences whose interval holds zero. Accuracy is in points.
    """
    factor, digits = (100.0, 1) if figure == "accuracy" else (1.0, 3)
    found = {arm: test.difference(figure, arm, baseline) for arm in points["arm"] if arm != baseline}
    found = {arm: each for arm, each in found.items() if np.isfinite(each.value)}
    better = -1 if figure == "accuracy" else 1
    arms = sorted(found, key=lambda arm: better * found[arm].value)
    unit = ", in points" if figure == "accuracy" else ""
    title = f"test {title_of(figure)} less that of {{}}{unit}"
    title = title.format(shortened(baseline, min(16, max(8, _TITLE - len(title)))))
    drawing, axes = new_panel(title, height=66 + _ROW * max(1, len(arms)), left=20, right=12)
    identity = points.set_index("arm")
    for row, arm in enumerate(arms):
        value, low, high = (factor * each for each in (found[arm].value, found[arm].low, found[arm].high))
        look = looks.marker(identity.loc[arm, "method"], identity.loc[arm, "teacher"])
        axes.plot([low, high], [row, row], color=look["color"], linewidth=1.6, solid_capstyle="butt")
        if low <= 0 <= high:
            look |= {"markerfacecolor": PAPER, "markeredgecolor": look["color"], "markeredgewidth": 1.4}
        axes.plot([value], [row], linestyle="", markersize=8, zorder=3, **look)
        words = f"{value:+.{digits}f} ({low:.{digits}f} to {high:.{digits}f})".replace("-", "−")
        place = {"transform": axes.get_yaxis_transform(), "va": "center", "gid": "label"}
        name = shortened(looks.label(arm, "", identity.loc[arm, "teacher"]), 26)
        axes.text(-0.04, row - 0.42, name, ha="left", fontsize=10.5, **place)
        axes.text(1, row - 0.42, words, ha="right", fontsize=10.5, **place)
    rows = np.arange(len(arms))
    axes.vlines(np.zeros(len(arms)), rows - 0.2, rows + 0.3, color=INK, linewidth=1, zorder=1)  # not through the names
    axes.set(ylim=(len(arms) - 0.5, -0.85), yticks=[])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.06)
    axes.spines["left"].set_visible(False)
    return drawing


def trade_off_series(points: pd.DataFrame, looks: Looks) -> dict[tuple[str, str, str], pd.DataFrame]:
    """The arms of each line of the trade-off, by (teacher, method, other settings), in order of temperature.

    A line holds arms that differ in temperature alone; σ comes last. There are MOST_SERIES at most, those of the
    likeliest arms. Empty if no line has two temperatures.
    """
    distilled = points.loc[(points["teacher"] != "") & (points["temperature"] != "")]
    rest = [_without_temperature(looks.label(*row)) for row in distilled[["arm", "method", "teacher"]].to_numpy()]
    heat = [np.inf if each == SIGMA else float(each) for each in distilled["temperature"]]
    ordered = distilled.assign(rest=rest, heat=heat).sort_values("heat", kind="stable")
    groups = {tuple(key): group for key, group in ordered.groupby(["teacher", "method", "rest"], sort=True)}
    likely = sorted(groups, key=lambda key: -groups[key]["front_probability"].max())[:MOST_SERIES]
    groups = {key: group for key, group in groups.items() if key in likely}
    return groups if any(group["heat"].nunique() > 1 for group in groups.values()) else {}  # type: ignore[misc]


def _without_temperature(label: str) -> str:
    return " ".join(word for word in label.split() if not word.startswith("T="))


@matplotlib.rc_context(STYLE)
def draw_trade_off(points: pd.DataFrame, test: Evidence, baseline: str, figure: str, looks: Looks) -> Figure:
    """A test figure against the temperature of distillation, a line a teacher and method, σ apart at the right.

    The dashed horizontal line is the baseline. Without two temperatures to compare, the panel is empty.
    """
    series = trade_off_series(points, looks)
    heats = sorted({heat for group in series.values() for heat in group["heat"]})
    finite = [heat for heat in heats if np.isfinite(heat)]
    place = {heat: float(np.log2(heat)) for heat in finite}
    apart = (max(place.values(), default=0.0) + 0.9) if np.inf in heats else None
    place |= {} if apart is None else {np.inf: apart}
    gaps = np.diff(list(place.values()))
    step = min(0.035, 0.7 * min(gaps, default=1.0) / max(1, len(series)))  # between lines, so that they stay apart
    drawing, axes = new_panel(f"test {title_of(figure)}", height=260)
    dashes = dict(zip(sorted({rest for _, _, rest in series}), _DASHES * len(series), strict=False))
    for index, ((teacher, method, rest), group) in enumerate(series.items()):
        shift = step * (index - (len(series) - 1) / 2)
        estimates = [test.estimate(figure, arm) for arm in group["arm"]]
        x = np.array([place[heat] + shift for heat in group["heat"]])
        value, low, high = np.array([[each.value, each.low, each.high] for each in estimates]).T
        look = looks.marker(method, teacher)
        axes.vlines(x, low, high, color=look["color"], linewidth=1.2, alpha=0.75)
        numbers = np.isfinite(group["heat"].to_numpy())
        axes.plot(x[numbers], value[numbers], color=look["color"], linewidth=1.4, linestyle=dashes[rest])
        axes.plot(x, value, linestyle="", markersize=7, zorder=3, **look)
    if baseline and len(series):
        axes.axhline(test.estimate(figure, baseline).value, color=NO_TEACHER, linewidth=1.2, linestyle=(0, (4, 3)))
    if apart is not None:
        axes.axvline(apart - 0.45, color=MUTED, linewidth=0.8)
    named = _apart(place)
    axes.set_xticks(list(named.values()), [_name(heat) for heat in named])
    axes.set_xlabel("temperature of distillation, T")
    format_axis(axes.yaxis, figure)
    return drawing


def _apart(place: dict[float, float]) -> dict[float, float]:
    """The temperatures, with their places, that are named on the axis: σ, and others that are not too close."""
    span, named = max(place.values(), default=0.0) - min(place.values(), default=0.0), dict[float, float]()
    for heat, x in place.items():
        last = next(reversed(named), heat)
        room = 0.02 + 0.013 * (len(_name(last)) + len(_name(heat)))  # of the axis, for half of either name
        if heat == np.inf or not named or x - named[last] > room * span:
            named[heat] = x
    return named


def _name(heat: float) -> str:
    return "σ" if heat == np.inf else f"{heat:g}"


@matplotlib.rc_context(STYLE)
def draw_teachers_against_students(
    points: pd.DataFrame, test: Evidence, teacher_test: Evidence, figure: str, looks: Looks
) -> Figure:
    """A test figure of each student against its teacher's; on the diagonal, both are equal.

    A teacher is a vertical band, its interval; its students stand in the band, a little apart from one another.
    """
    title = title_of(figure)
    drawing, axes = new_panel(f"test {title} of the student", height=290, right=20)
    teachers = {
        name: teacher_test.estimate(figure, name) for name in teacher_test.arms if name in set(points["teacher"])
    }
    values = [each.value for each in teachers.values()]
    apart = 0.12 * (max(values) - min(values)) / max(1, points["teacher"].value_counts().max())
    for teacher, estimate in teachers.items():
        axes.axvspan(estimate.low, estimate.high, color=looks.colours[teacher], alpha=0.1, linewidth=0)
        students = points.loc[points["teacher"] == teacher, ["method", "arm"]].to_numpy()
        for index, (method, arm) in enumerate(students):
            student, look = test.estimate(figure, arm), looks.marker(method, teacher)
            x = estimate.value + apart * (index - (len(students) - 1) / 2)
            axes.vlines([x], student.low, student.high, color=look["color"], linewidth=1, alpha=0.6)
            axes.plot([x], [student.value], linestyle="", markersize=7, zorder=3, **look)
    _draw_diagonal(axes)
    axes.set_xlabel(f"test {title} of its teacher")
    format_axis(axes.xaxis, figure)
    format_axis(axes.yaxis, figure)
    return drawing


def _draw_diagonal(axes: Axes) -> None:
    axes.margins(0.06)
    axes.autoscale_view()
    ends = [max(axes.get_xlim()[0], axes.get_ylim()[0]), min(axes.get_xlim()[1], axes.get_ylim()[1])]
    axes.autoscale(False)
    if ends[0] < ends[1]:
        axes.plot(ends, ends, color=MUTED, linewidth=1, zorder=1)


@matplotlib.rc_context(STYLE)
def draw_latency(points: pd.DataFrame, test: Evidence, figure: str, looks: Looks) -> Figure:
    """Test accuracy, with its interval, against a measured latency, on a log axis."""
    drawing, axes = new_panel("test accuracy", height=260, right=20)
    measured = points.loc[np.isfinite(points[figure])]
    for method, teacher, arm, latency in measured[["method", "teacher", "arm", figure]].to_numpy():
        accuracy, look = test.estimate("accuracy", arm), looks.marker(method, teacher)
        axes.vlines([latency], accuracy.low, accuracy.high, color=look["color"], linewidth=1.2, alpha=0.75)
        axes.plot([latency], [accuracy.value], linestyle="", markersize=7.5, zorder=3, **look)
    axes.set_xscale("log")
    for which in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        which(FuncFormatter(lambda value, _: f"{value:.2g}"))
    axes.tick_params(which="minor", labelsize=10.5)
    axes.set_xlabel(title_of(figure))
    format_axis(axes.yaxis, "accuracy")
    return drawing
