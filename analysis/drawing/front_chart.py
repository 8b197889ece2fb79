"""The front chart: every arm at its test figures with its intervals, and how sure its place on the front is."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.drawing.labels import boxes_of_line, place_labels
from analysis.drawing.style import (
    INK,
    MUTED,
    NO_TEACHER,
    PAPER,
    SOFT,
    STYLE,
    Looks,
    any_letters,
    format_axis,
    shortened,
)
from analysis.objectives import figure_of
from analysis.pareto import Front, staircase
from analysis.statistics.evidence import Evidence, estimates_of
from analysis.statistics.judgement import likeliest
from analysis.text.names import title_of

MOST_MARKED = 400  # arms that have a marker each; others are dots
MOST_DETAILED = 60  # arms that have error bars and, if there is room, a label
_MOST_LABELS = {"wide": 20, "narrow": 8}  # arms that have a label whether there is room or not
_WIDE, _NARROW = (860.0, 520.0), (360.0, 340.0)  # pixels, without the key of the narrow one
_KEY_WIDTH, _KEY_LINE = 190.0, 18.0
_SURE, _PLAUSIBLE, _RULED_OUT = "probability above ½", "plausible", "ruled out"
_STANDINGS: dict[str, dict[str, Any]] = {
    _SURE: {"markersize": 10.5, "markeredgecolor": INK, "markeredgewidth": 1.4, "zorder": 5},
    _PLAUSIBLE: {"markersize": 8.5, "zorder": 4},
    _RULED_OUT: {"markersize": 6.5, "alpha": 0.4, "zorder": 3},
}

_HOLLOW: dict[str, Any] = {
    "linestyle": "",
    "marker": "o",
    "markersize": 8,
    "markerfacecolor": "none",
    "markeredgecolor": SOFT,
    "markeredgewidth": 1.4,
    "zorder": 2.8,
}

_DOTS: dict[str, Any] = {"linewidth": 3, "alpha": 0.3, "solid_capstyle": "round", "zorder": 1}


def axes_of(front: Front) -> tuple[str, str]:
    """The figures on a front's axes: of its first two objectives, or of its only one and ECE."""
    names = [figure_of(name) for name in front.objectives]
    return names[0], names[1] if len(names) > 1 else "ece"


@matplotlib.rc_context(STYLE)
def draw_front(
    front: Front, test: Evidence | None, against: pd.DataFrame | None = None, narrow: bool = False
) -> Figure:
    """Plot every arm at its test estimates: colour shows the teacher, marker the method, label the other settings.

    Thin lines are 95 % intervals. Arms that are on the front more likely than not are strong, the plausible ones plain,
    the others faint; the step line is what the front of the validation sample attains on test. The points of another
    sweep (against, columns as in Front.points) are hollow. A narrow chart is for a phone, with its key below.
    """
    looks, points, names = Looks.of(front.points), front.points.reset_index(drop=True), axes_of(front)
    key = _key_of(looks, points, against is not None)
    figure, axes = _canvas(key, narrow)
    columns = [[[*vars(estimate).values()] for estimate in estimates_of(points, test, name)] for name in names]
    values = np.array(columns).reshape(2, -1, 3).transpose(1, 0, 2)  # [A, 2, 3]
    placed = points.loc[np.isfinite(values[:, :, 0]).all(axis=1)]
    marked, detailed = likeliest(placed, MOST_MARKED), likeliest(placed, MOST_DETAILED)
    for index, row in zip(marked.index, marked.to_dict("records"), strict=True):
        look = looks.marker(row["method"], row["teacher"]) | _STANDINGS[_standing(row)]
        axes.plot(*values[index, :, :1], linestyle="", gid=f"arm-{index}", **look)
        if index in detailed.index:
            alpha = 0.6 if row["plausible"] else 0.3
            axes.plot(*_bars(values[index]), color=look["color"], linewidth=1, alpha=alpha, zorder=2)
    for teacher, others in placed.drop(marked.index).groupby("teacher"):
        axes.plot(*_dots(values[others.index, :, 0]), color=looks.colours[str(teacher)], **_DOTS)
    if against is not None and len(against):
        axes.plot(*[[estimate.value for estimate in estimates_of(against, None, name)] for name in names], **_HOLLOW)
    directions = [*front.objectives.values(), "min"][:2]
    members = placed.index[placed["on_front"].to_numpy(dtype=bool)]
    line = staircase(values[members, :, 0], directions) if len(members) else np.empty((0, 2))
    axes.plot(*line.T, color=INK, linewidth=1, zorder=2.5)
    _settle(axes, names, directions)
    order = detailed.sort_values(["plausible", "front_probability"], ascending=False, kind="stable").index
    _write_labels(axes, looks, points.loc[order], values[order], line, narrow)
    _draw_key(figure, key, narrow)
    return figure


def _standing(row: Mapping[Hashable, Any]) -> str:
    if not row["plausible"]:
        return _RULED_OUT
    return _SURE if row["front_probability"] > 0.5 else _PLAUSIBLE


def _dots(positions: np.ndarray) -> np.ndarray:
    """Points [N, 2] as one line of short pieces with gaps, [2, 3N], which takes less room than N markers."""
    pieces = np.stack([positions, positions, np.full_like(positions, np.nan)], axis=1)
    return pieces.reshape(-1, 2).T


def _bars(values: np.ndarray) -> tuple[list[float], list[float]]:
    """Both intervals of an arm, values [2, 3], as one line with a gap."""
    (x, left, right), (y, low, high) = values
    return [left, right, np.nan, x, x], [y, y, np.nan, low, high]


def _canvas(key: Mapping[str, Mapping[str, dict]], narrow: bool) -> tuple[Figure, Axes]:
    """An empty figure with room for the key: on the right, or below in two columns."""
    width, height = _NARROW if narrow else _WIDE
    below = _height_of(key, columns=2) if narrow else 0.0
    right = 20.0 if narrow else _KEY_WIDTH
    left, bottom, top = 52.0, 44.0 + below, 28.0
    height += below
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
    return figure, axes


def _settle(axes: Axes, names: tuple[str, str], directions: Sequence[str]) -> None:
    """Name the axes and fix their limits, so that labels drawn later do not change them."""
    axes.margins(0.05, 0.07)
    axes.autoscale_view()
    axes.autoscale(False)
    title = {"max": "higher is better", "min": "lower is better"}
    axes.set_xlabel(f"test {title_of(names[0])} · {title[directions[0]]}")
    axes.set_title(f"test {title_of(names[1])} · {title[directions[1]]}", x=-0.02, pad=9)
    format_axis(axes.xaxis, names[0])
    format_axis(axes.yaxis, names[1])
    axes.xaxis.get_major_locator().set_params(nbins=5 if axes.bbox.width < 400 else 8)  # type: ignore[attr-defined]


def _write_labels(
    axes: Axes, looks: Looks, points: pd.DataFrame, values: np.ndarray, line: np.ndarray, narrow: bool
) -> None:
    """Write the labels of arms at free places, the first rows first, with a thin line to a point that is far."""
    if points.empty:
        return
    texts = []
    for (x, y), row in zip(values[:, :, 0], points.to_dict("records"), strict=True):
        label = shortened(looks.label(row["arm"], row["method"], row["teacher"]), 18 if narrow else 30)
        look: dict[str, Any] = {"color": INK if row["plausible"] else SOFT}
        look |= {"weight": "bold"} if _standing(row) == _SURE else {}
        size = 11 if row["plausible"] else 10
        texts.append(axes.text(x, y, label, fontsize=size, ha="center", va="center", zorder=6, gid="label", **look))
    renderer = FigureCanvasAgg(axes.get_figure(root=True)).get_renderer()  # type: ignore[arg-type]
    with any_letters():
        sizes = np.array([text.get_window_extent(renderer).size for text in texts]).reshape(-1, 2) + 2
    pixels = axes.transData.transform
    anchors = pixels(values[:, :, 0])
    lines = np.concatenate([boxes_of_line(pixels(line)), *(_bar_boxes(pixels, of_arm) for of_arm in values)])
    most = _MOST_LABELS["narrow" if narrow else "wide"]
    required = [plausible and place < most for place, plausible in enumerate(points["plausible"])]
    centres = place_labels(anchors, sizes, np.array(axes.bbox.extents), lines, required)
    for text, anchor, centre, size in zip(texts, anchors, centres, sizes, strict=True):
        if np.isnan(centre).any():
            text.remove()
            continue
        text.set_position(tuple(axes.transData.inverted().transform(centre)))
        if np.any(np.abs(anchor - centre) > size / 2 + 14):
            ends = axes.transData.inverted().transform([anchor, np.clip(anchor, centre - size / 2, centre + size / 2)])
            axes.plot(*ends.T, color=MUTED, linewidth=0.7, zorder=1)


def _bar_boxes(pixels: Any, values: np.ndarray) -> np.ndarray:
    """The intervals of an arm, values [2, 3], as thin boxes in pixels; none where there is no interval."""
    (x, left, right), (y, low, high) = values
    ends = np.array([[[left, y], [right, y]], [[x, low], [x, high]]])
    ends = ends[np.isfinite(ends).all(axis=(1, 2))]
    return np.concatenate([np.empty((0, 4)), *(boxes_of_line(pixels(bar)) for bar in ends)])


def _key_of(looks: Looks, points: pd.DataFrame, against: bool) -> dict[str, dict[str, dict]]:
    """The key's parts: teachers by colour, methods by marker, and standings by strength."""
    plain = {"color": NO_TEACHER, "markeredgecolor": PAPER, "linestyle": ""}
    used = set(points["teacher"])
    teachers = {
        shortened(teacher, 18) or "none": plain | {"marker": "o", "markersize": 9, "color": colour}
        for teacher, colour in looks.colours.items()
        if teacher in used
    }
    methods = {
        shortened(method, 18): plain | {"marker": marker, "markersize": 9} for method, marker in looks.markers.items()
    }
    standings = {standing: plain | {"marker": "o"} | look for standing, look in _STANDINGS.items()}
    standings |= {"the other sweep's front": _HOLLOW} if against else {}
    parts = {"Teacher": teachers if used != {""} else {}, "Method": methods, "On the front": standings}
    return {title: part for title, part in parts.items() if part}


def _draw_key(figure: Figure, key: Mapping[str, Mapping[str, dict]], narrow: bool) -> None:
    """Draw one legend a part, one under the other."""
    width, height = np.array(figure.get_size_inches()) * 72
    columns = 2 if narrow else 1
    from_top = height - _height_of(key, columns) if narrow else 22.0
    for title, part in key.items():
        handles = [Line2D([], [], **{**look, "label": label}) for label, look in part.items()]
        corner = (0.0 if narrow else 1 - (_KEY_WIDTH - 12) / width, 1 - from_top / height)
        figure.legend(
            handles=handles,
            title=title,
            loc="upper left",
            bbox_to_anchor=corner,
            alignment="left",
            ncols=columns,
            borderaxespad=0,
            borderpad=0.2,
            handletextpad=0.3,
            labelspacing=0.35,
            columnspacing=1.2,
        )
        from_top += _height_of({title: part}, columns)


def _height_of(key: Mapping[str, Mapping[str, dict]], columns: int) -> float:
    return sum(_KEY_LINE * (1.5 + -(-len(part) // columns)) for part in key.values())
