"""Accuracy on corrupted images: what models gain over a baseline by corruption, and what severity costs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.drawing.curves import spread
from analysis.drawing.style import FAINT, INK, PAPER, STYLE, new_panel, shortened

MOST_MODELS = 6  # of a figure: those that come first
_WIDE, _NARROW = (860.0, 3), (360.0, 1)  # pixels, and how many panels lie beside each other
_PANEL, _TITLE = 150.0, 24.0  # pixels
_LEFT, _BOTTOM, _GAP, _NAMES = 46.0, 42.0, 30.0, 116.0
_LINE, _BETWEEN = 12.0, 14.0  # pixels between two models, and two corruptions


@dataclass(frozen=True)
class CorruptionCurves:
    """A model's accuracy on corrupted images, by corruption and severity [C, S], and its gain over a baseline [C].

    All are fractions, the gain a difference of two, averaged over severities and None for the baseline; low and high
    are ends of 95 % intervals.
    """

    label: str
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    accuracy: np.ndarray
    accuracy_low: np.ndarray
    accuracy_high: np.ndarray
    gain: np.ndarray | None = None
    gain_low: np.ndarray | None = None
    gain_high: np.ndarray | None = None


@matplotlib.rc_context(STYLE)
def draw_gains(curves: Sequence[CorruptionCurves], colours: Mapping[str, str], baseline: str) -> Figure:
    """The mean gain in accuracy over the baseline, in points, with its interval: a block a corruption, a line a model.

    The corruptions of most gain are on top, where the models are named; the highest gain of each is written on the
    right. Hollow markers are gains whose interval holds zero. colours go by label. Curves have the same corruptions.
    """
    models = [model for model in curves if model.gain is not None][:MOST_MODELS]
    corruptions = models[0].corruptions if models else ()
    values = np.array([[model.gain, model.gain_low, model.gain_high] for model in models], dtype=float)
    points = 100 * values.reshape(len(models), 3, len(corruptions))
    block = _LINE * len(models) + _BETWEEN
    title = f"accuracy gained over {shortened(baseline, 22)}, in points"
    figure, axes = new_panel(title, height=70 + block * max(1, len(corruptions)), left=112, right=44)
    best = [points[:, 0, index].max() for index in range(len(corruptions))]
    for place, index in enumerate(sorted(range(len(best)), key=lambda index: -best[index])):
        for number, model in enumerate(models):
            y, look = block * place + _LINE * number, {"color": colours[model.label]}
            _draw_interval(axes, y, points[number, :, index], look)
            if place == 0:
                _name_beside(axes, y, points[number, :, index], model.label, look, points)
        _name_block(axes, block * place, block - _BETWEEN, corruptions[index], best[index])
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    axes.set(ylim=(block * max(1, len(corruptions)) - _BETWEEN / 2, -_BETWEEN), yticks=[])
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}".replace("-", "−") if value else "0"))
    return figure


@matplotlib.rc_context(STYLE)
def draw_severities(curves: Sequence[CorruptionCurves], colours: Mapping[str, str], narrow: bool = False) -> Figure:
    """Accuracy by severity, a panel a corruption, a line a model with its 95 % band; a model without gains is dashed.

    Models are named where the lines of each row end. colours go by label. Curves have the same corruptions. A narrow
    figure, for a phone, has one panel a row.
    """
    models = list(curves[:MOST_MODELS])
    corruptions = models[0].corruptions if models else ("",)
    width, columns = _NARROW if narrow else _WIDE
    rows = -(-len(corruptions) // columns)
    height = rows * _PANEL + _BOTTOM - _TITLE / 2
    across = (width - _LEFT - _NAMES + _GAP) / columns
    highest = max((float(np.nanmax(model.accuracy_high)) for model in models if model.accuracy_high.size), default=1.0)
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    for index, corruption in enumerate(corruptions):
        row, column = divmod(index, columns)
        box = (_LEFT + column * across, _BOTTOM + (rows - 1 - row) * _PANEL, across - _GAP, _PANEL - _TITLE - 12)
        axes = figure.add_axes(tuple(np.array(box) / [width, height, width, height]), ylim=(0, 1.04 * highest))
        axes.set_title(corruption.replace("_", " "), pad=5)
        for model in models:
            _draw_curve(axes, model, index, colours[model.label])
        last = index == len(corruptions) - 1
        if last or column == columns - 1:
            _name_ends(axes, models, index, colours)
        _dress(axes, models, named=index + columns >= len(corruptions), first=column == 0, titled=last)
    return figure


def _draw_interval(axes: Axes, y: float, ends: np.ndarray, look: dict[str, Any]) -> None:
    value, low, high = ends
    hollow: dict[str, Any] = {"markerfacecolor": PAPER} if low <= 0 <= high else {}
    axes.plot([low, high], [y, y], linewidth=1.5, alpha=0.75, solid_capstyle="butt", **look)
    axes.plot([value], [y], marker="o", markersize=6, linestyle="", zorder=3, **look | hollow)


def _name_beside(axes: Axes, y: float, ends: np.ndarray, label: str, look: dict[str, Any], points: np.ndarray) -> None:
    """Write a model's name to the side of its interval that has more room."""
    left = ends[1] - points.min() > points.max() - ends[2]
    place, offset, side = (ends[1], -6, "right") if left else (ends[2], 6, "left")
    text: dict[str, Any] = {"ha": side, "va": "center", "fontsize": 9.5, "weight": "bold", "gid": "label"}
    axes.annotate(shortened(label, 16), (place, y), (offset, 0), textcoords="offset points", **text | look)


def _name_block(axes: Axes, top: float, size: float, corruption: str, best: float) -> None:
    middle = top + (size - _LINE) / 2
    text: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 10.5}
    axes.text(-0.03, middle, shortened(corruption.replace("_", " "), 16), ha="right", **text)
    axes.text(1.03, middle, f"{best:+.1f}".replace("-", "−"), ha="left", **text)
    axes.axhline(top + size + (_BETWEEN - _LINE) / 2, color=FAINT, linewidth=0.8, zorder=0)


def _draw_curve(axes: Axes, model: CorruptionCurves, index: int, colour: str) -> None:
    dashes: Any = (0, (4, 2.5)) if model.gain is None else "-"
    low, high = model.accuracy_low[index], model.accuracy_high[index]
    axes.fill_between(model.severities, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(model.severities, model.accuracy[index], color=colour, linewidth=1.6, linestyle=dashes, zorder=3)


def _name_ends(axes: Axes, models: Sequence[CorruptionCurves], index: int, colours: Mapping[str, str]) -> None:
    """Write each model's name to the right of where its line ends."""
    ends = np.array([model.accuracy[index][-1] for model in models]) / axes.get_ylim()[1]
    for model, end, place in zip(models, ends, spread(ends, _LINE / axes.bbox.height), strict=True):
        line = {"color": FAINT, "linewidth": 0.8, "zorder": 1, "clip_on": False}
        axes.plot([1.01, 1.04, 1.08], [end, end, place], transform=axes.transAxes, **line)
        text: dict[str, Any] = {"va": "center", "fontsize": 9.5, "weight": "bold", "gid": "label"}
        name = shortened(model.label, 14)
        axes.text(1.09, place, name, transform=axes.transAxes, color=colours[model.label], **text)


def _dress(axes: Axes, models: Sequence[CorruptionCurves], named: bool, first: bool, titled: bool) -> None:
    severities = models[0].severities if models else (1, 2, 3, 4, 5)
    axes.set_xlim(severities[0], severities[-1])
    axes.set_xticks(severities)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.tick_params(labelsize=10, length=3, labelbottom=named, labelleft=first)
    if titled:
        axes.set_xlabel("severity")
