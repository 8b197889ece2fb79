"""Learning curves by teacher: validation accuracy and ECE by epoch, on a log axis, expanded where the arms end."""

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from analysis.drawing.style import (
    FAINT,
    GLYPHS,
    INK,
    PANEL_WIDTH,
    SOFT,
    STYLE,
    Looks,
    format_axis,
    shortened,
)
from analysis.text.names import title_of
from kd_core.measure.names import ACCURACIES

_HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 290.0, 46.0, 90.0, 42.0, 24.0  # pixels
_LINE = 12.5  # pixels between labels
_EXPANDED, _GAP = 0.66, 0.03  # shares of the height: the expanded part, and what lies between the parts
_WORTH_IT = 0.45  # a narrower share of the range than this is expanded


@matplotlib.rc_context(STYLE)
def draw_curves(journals: pd.DataFrame, arms: pd.DataFrame, figure: str, looks: Looks) -> Figure:
    """A validation figure by epoch, a line an arm, the mean over its seeds; plausible arms are strong.

    If the arms end in a small part of the range, that part (the upper one of accuracy, the lower one of errors) takes
    two thirds of the height.
    """
    curves = journals.loc[journals["arm"].isin(arms["arm"])].pivot_table(
        index="epoch", columns="arm", values=f"validation/{figure}", dropna=False
    )
    low, high = _range(curves.to_numpy())
    upward = figure in ACCURACIES
    sign = 1 if upward else -1
    split = break_of(sign * curves.to_numpy())
    drawing = Figure(figsize=(PANEL_WIDTH / 72, _HEIGHT / 72), dpi=72)
    if split is None:
        parts = [_part(drawing, 0, 1, low, high)]
    else:
        middle = 1 - _EXPANDED if upward else _EXPANDED
        parts = [
            _part(drawing, middle + _GAP / 2, 1, sign * split, high),
            _part(drawing, 0, middle - _GAP / 2, low, sign * split),
        ]
        parts[0].spines["bottom"].set_linestyle((0, (2, 3)))
    for axes in parts:
        axes.set(xscale="log", xlim=(curves.index.min(), curves.index.max()))
        for arm in arms.loc[arms["arm"].isin(curves)].to_dict("records"):
            look: dict[str, Any] = (
                {"linewidth": 1.8, "zorder": 3} if arm["plausible"] else {"linewidth": 1.0, "alpha": 0.55}
            )
            axes.plot(curves[arm["arm"]].dropna(), color=looks.colours[arm["teacher"]], **look)
        _dress(axes, figure, last=axes is parts[-1], few=axes.bbox.height < 100)
    parts[0].set_title(f"validation {title_of(figure)}", x=-0.22, pad=8)
    _name_ends(parts[0] if upward else parts[-1], curves, arms, looks)
    return drawing


def break_of(curves: np.ndarray) -> float | None:
    """Where to begin the expanded upper part of curves [E, A]: below the lowest end, or None if that is no gain."""
    low, high = _range(curves)
    ends = [column[np.isfinite(column)][-1] for column in curves.T if np.isfinite(column).any()]
    if not ends:
        return None
    split = min(ends) - 0.2 * max(high - min(ends), 1e-3)
    return split if 0 < high - split < _WORTH_IT * (high - low) else None


def _range(curves: np.ndarray) -> tuple[float, float]:
    finite = curves[np.isfinite(curves)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    room = 0.04 * max(high - low, 1e-3)
    return (low - room if low < 0 else max(0.0, low - room)), high + room


def _part(drawing: Figure, bottom: float, top: float, low: float, high: float) -> Axes:
    """Axes from bottom to top, shares of the height between epochs and title, that show values from low to high."""
    height = _HEIGHT - _BOTTOM - _TOP
    width = PANEL_WIDTH - _LEFT - _RIGHT
    box = (_LEFT / PANEL_WIDTH, (_BOTTOM + bottom * height) / _HEIGHT, width / PANEL_WIDTH)
    return drawing.add_axes((*box, (top - bottom) * height / _HEIGHT), ylim=(low, high))


def _dress(axes: Axes, figure: str, last: bool, few: bool) -> None:
    """Ticks of a part; only the last one names the epochs."""
    first, final = axes.get_xlim()
    ticks = [power * digit for power in (1, 10, 100, 1000) for digit in (1, 2, 5) if first <= power * digit <= final]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(MaxNLocator(2 if few else 5, prune="lower" if few else None))
    axes.tick_params(labelsize=10.5, length=3, labelbottom=last)
    format_axis(axes.yaxis, figure)
    if last:
        axes.set_xlabel("epoch (log scale)")


def _name_ends(axes: Axes, curves: pd.DataFrame, arms: pd.DataFrame, looks: Looks) -> None:
    """Write each arm's label, with the sign of its method, to the right of where its line ends."""
    named = arms.loc[arms["arm"].isin(curves)].to_dict("records")
    ends = [(curves[arm["arm"]].dropna().index[-1], curves[arm["arm"]].dropna().iloc[-1]) for arm in named]
    pixels = axes.transData.transform(np.array(ends).reshape(-1, 2))
    heights = (pixels[:, 1] - axes.bbox.y0) / axes.bbox.height
    starts = (pixels[:, 0] - axes.bbox.x0) / axes.bbox.width
    places = spread(heights, _LINE / axes.bbox.height)
    for arm, start, height, place in zip(named, starts, heights, places, strict=True):
        line = {"color": FAINT, "linewidth": 0.8, "zorder": 1, "clip_on": False}
        axes.plot([start + 0.01, 1.02, 1.07], [height, height, place], transform=axes.transAxes, **line)
        look: dict[str, Any] = {"color": INK, "weight": "bold"} if arm["plausible"] else {"color": SOFT}
        label = shortened(looks.label(arm["arm"], arm["method"], arm["teacher"]), 12)
        text = f"{GLYPHS[looks.markers[arm['method']]]} {label}"
        axes.text(1.085, place, text, transform=axes.transAxes, va="center", fontsize=10, gid="label", **look)


def spread(positions: np.ndarray, gap: float) -> np.ndarray:
    """Positions [N], moved little so that they are a gap apart and, if there is room, between 0 and 1."""
    order = np.argsort(positions, kind="stable")
    moved = np.clip(positions[order], 0, 1)
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + gap)
    for index in range(len(moved) - 1, -1, -1):
        highest = 1.0 if index == len(moved) - 1 else moved[index + 1] - gap
        moved[index] = min(moved[index], highest)
    placed = np.empty(len(positions))
    placed[order] = moved
    return placed
