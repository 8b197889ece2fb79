"""Draws the figures of a report with matplotlib; no global state, and equal SVG for equal values."""

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from analysis.labels import place_labels
from analysis.pareto import Front, staircase
from kd_core.measure.calibration import ReliabilityBins, reliability_bins
from kd_core.measure.outcomes import Outcomes, metrics_of

INK, MUTED, FAINT, GRID = "#1f2933", "#9aa5b1", "#d3d9e0", "#e9ecef"
BAR, OVERCONFIDENT, UNDERCONFIDENT = "#3f7cac", "#ec9a9a", "#a9cbe4"
NO_TEACHER = "#52606d"
TEACHER_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#a0529c", "#b8860b", "#3a9bd9")
MARKERS = {"classic": "o", "mixup": "D", "kd": "^", "kd_mixup": "s"}
OTHER_MARKER = "P"
FIGURE_NAMES = {
    "ece": "ECE",
    "ece_debiased": "debiased ECE",
    "mce": "maximum calibration error",
    "classwise_ece": "class-wise ECE",
    "nll": "NLL (nats)",
    "brier": "Brier score",
    "aurc": "AURC",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar in a name is literal
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 9.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


def svg_of(figure: Figure, name: str) -> str:
    """A figure as an <svg> element of a page, with its text as text; name is its label for screen readers.

    Element ids depend on name and content only, so equal figures give equal bytes and two names never share an id.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg[svg.index("<svg") :])
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)  # the page sets the size, viewBox the proportions
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1)


def teacher_colours(teachers: Iterable[str]) -> dict[str, str]:
    """A colour for every teacher in order of appearance; "" (no teacher) is grey."""
    named = [teacher for teacher in dict.fromkeys(teachers) if teacher]
    return {"": NO_TEACHER, **dict(zip(named, cycle(TEACHER_COLOURS), strict=False))}


def label_of(arm: str, method: str, teacher: str) -> str:
    """An arm's label without method and teacher, which colour and marker show, such as `T=2`."""
    rest = [word for word in arm.split() if word not in (method, teacher)]
    return " ".join(rest).replace("sigma", "σ").replace("alpha", "α") or method


def axes_of(front: Front) -> tuple[str, str]:
    """The two test figures on a front's axes: its first two objectives, or its only one and ECE."""
    names = [name.replace("validation/", "test/") for name in front.objectives]
    return names[0], names[1] if len(names) > 1 else "test/ece"


def draw_front(front: Front) -> Figure:
    """Plot every arm at its test figures: colour shows the teacher, marker the method, label the other settings.

    Arms on the front are strong, the others faint; the line is the staircase that the front attains on test.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 6.2), dpi=72)
        axes = figure.add_axes((0.07, 0.09, 0.76, 0.89))
        horizontal, vertical = axes_of(front)
        colours = teacher_colours(front.points["teacher"])
        points = front.points.sort_values("on_front", ascending=False, kind="stable")
        members = front.members[[horizontal, vertical]].to_numpy(dtype=float)
        line = staircase(members, [*front.objectives.values(), "min"][:2])
        axes.plot(*line.T, color=INK, linewidth=1, zorder=2)
        for x, y, *look in points[[horizontal, vertical, "teacher", "method", "on_front"]].to_numpy():
            axes.plot([x], [y], **_marker(colours, *look))
        axes.margins(0.06, 0.08)
        axes.autoscale_view()
        axes.autoscale(False)  # labels and lines drawn later do not change the limits
        _name_axis(axes.xaxis, horizontal)
        _name_axis(axes.yaxis, vertical)
        _write_labels(axes, points, points[[horizontal, vertical]].to_numpy(dtype=float), colours, line)
        _draw_key(figure, points, colours)
        return figure


def _marker(colours: dict[str, str], teacher: str, method: str, on_front: bool) -> dict:
    look = {"marker": MARKERS.get(method, OTHER_MARKER), "color": colours[teacher], "markeredgecolor": "white"}
    return look | ({"markersize": 10, "zorder": 4} if on_front else {"markersize": 7, "alpha": 0.4, "zorder": 3})


def _name_axis(axis: Axis, name: str) -> None:
    figure = name.split("/")[-1]
    raw = figure.removesuffix("_scaled")
    title = FIGURE_NAMES.get(raw, raw) + " after temperature scaling" * (raw != figure)
    axis.set_label_text(name.replace("/", " ").replace(figure, title))
    if figure == "accuracy":
        axis.set_major_formatter(PercentFormatter(1.0))


def _write_labels(
    axes: Axes, points: pd.DataFrame, positions: np.ndarray, colours: dict[str, str], line: np.ndarray
) -> None:
    """Write each arm's label at a free place, with a thin line to its point; the first rows are placed first."""
    identities = points[["arm", "method", "teacher", "on_front"]].to_numpy()
    texts = [
        axes.text(
            x,
            y,
            label_of(arm, method, teacher),
            color=colours[teacher],
            fontsize=9.5 if on_front else 8,
            fontweight="bold" if on_front else "normal",
            alpha=1 if on_front else 0.75,
            ha="center",
            va="center",
            zorder=5,
        )
        for (x, y), (arm, method, teacher, on_front) in zip(positions, identities, strict=True)
    ]
    renderer = FigureCanvasAgg(axes.get_figure(root=True)).get_renderer()  # type: ignore[arg-type]
    sizes = np.array([text.get_window_extent(renderer).size for text in texts]).reshape(-1, 2) + 2
    anchors = axes.transData.transform(positions)
    centres = place_labels(anchors, sizes, np.array(axes.bbox.extents), axes.transData.transform(line))
    for text, anchor, centre, size in zip(texts, anchors, centres, sizes, strict=True):
        text.set_position(tuple(axes.transData.inverted().transform(centre)))
        if np.any(np.abs(anchor - centre) > size / 2 + 14):
            ends = axes.transData.inverted().transform([anchor, np.clip(anchor, centre - size / 2, centre + size / 2)])
            axes.plot(*ends.T, color=MUTED, linewidth=0.6, zorder=1)


def _draw_key(figure: Figure, points: pd.DataFrame, colours: dict[str, str]) -> None:
    """Draw two legends to the right of the axes: the colours of teachers and the markers of methods."""
    teachers = {teacher or "none": _marker(colours, teacher, "classic", True) for teacher in colours}
    methods = {method: _marker(colours, "", method, True) for method in sorted(points["method"].unique())}
    for title, key, top in (("Teacher", teachers, 0.98), ("Method", methods, 0.91 - 0.038 * len(teachers))):
        handles = [Line2D([], [], linestyle="", label=label, **look) for label, look in key.items()]
        figure.legend(handles=handles, title=title, loc="upper left", bbox_to_anchor=(0.84, top), alignment="left")


@dataclass(frozen=True)
class ReliabilityPanel:
    """One reliability diagram: its title, its bins [M], and accuracy, confidence and ECE as fractions."""

    title: str
    bins: ReliabilityBins
    accuracy: float
    confidence: float
    ece: float


def reliability_panel(title: str, outcomes: Outcomes, reading: str) -> ReliabilityPanel:
    """The reliability diagram of one reading of a model's outcomes."""
    bins = reliability_bins(outcomes.readings[reading].confidence, outcomes.correct)
    figures = metrics_of(outcomes, reading)
    return ReliabilityPanel(title, bins, figures["accuracy"], figures["confidence"], figures["ece"])


def draw_reliability(panels: Sequence[ReliabilityPanel], num_columns: int = 2) -> Figure:
    """A grid of reliability diagrams, each over a histogram of the share of images in each bin."""
    with matplotlib.rc_context(STYLE):
        num_rows = -(-len(panels) // num_columns)
        figure = Figure(figsize=(2.9 * num_columns, 3.7 * num_rows), dpi=72, layout="constrained")
        grid = figure.subplots(2 * num_rows, num_columns, squeeze=False, sharex=True, height_ratios=[3.2, 1] * num_rows)
        for index, (top, bottom) in enumerate(zip(grid[::2].flat, grid[1::2].flat, strict=True)):
            if index < len(panels):
                _draw_panel(top, bottom, panels[index])
            else:
                top.set_axis_off()
                bottom.set_axis_off()
        return figure


def _draw_panel(top: Axes, bottom: Axes, panel: ReliabilityPanel) -> None:
    accuracy, confidence = np.nan_to_num(panel.bins.accuracy), np.nan_to_num(panel.bins.confidence)
    look = {"width": np.diff(panel.bins.edges), "align": "edge", "edgecolor": "white", "linewidth": 0.5}
    left, base = panel.bins.edges[:-1], np.minimum(accuracy, confidence)
    top.bar(left, base, color=BAR, **look)
    top.bar(left, np.clip(confidence - accuracy, 0, None), bottom=base, color=OVERCONFIDENT, **look)
    top.bar(left, np.clip(accuracy - confidence, 0, None), bottom=base, color=UNDERCONFIDENT, **look)
    top.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    figures = f"acc {panel.accuracy:.1%}  conf {panel.confidence:.1%}  ECE {panel.ece:.3f}"
    top.set_title(f"{panel.title}\n{figures}", loc="left", fontsize=8.5)
    top.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    bottom.bar(left, panel.bins.share, color=MUTED, **look)
    bottom.set(xlabel="confidence", ylabel="share", ylim=(0, 1.05 * panel.bins.share.max()))
    bottom.yaxis.set_major_locator(MaxNLocator(2))


def draw_curves(journals: pd.DataFrame, highlighted: Sequence[str]) -> Figure:
    """Validation accuracy and ECE by epoch, one line per arm (mean over seeds); highlighted arms coloured and named."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.9), dpi=72, layout="constrained")
        colours = dict(zip(highlighted, cycle(TEACHER_COLOURS), strict=False))
        looks = {arm: {"color": FAINT, "linewidth": 1} for arm in journals["arm"].unique() if arm not in colours}
        for index, (arm, colour) in enumerate(colours.items()):
            dashes = ("-", "--", ":")[index // len(TEACHER_COLOURS) % 3]
            looks[arm] = {"color": colour, "linewidth": 1.6, "linestyle": dashes, "label": arm}
        panels = figure.subplots(1, 2)
        for axes, name in zip(panels, ("validation/accuracy", "validation/ece"), strict=True):
            curves = journals.pivot_table(index="epoch", columns="arm", values=name, dropna=False)
            for arm, look in looks.items():
                axes.plot(curves.index, curves[arm], **look)
            _name_axis(axes.yaxis, name)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if colours:
            handles = panels[0].get_legend_handles_labels()[0]
            figure.legend(handles=handles, loc="outside right upper", title="On the front", alignment="left")
        return figure
