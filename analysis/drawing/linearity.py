"""Behaviour on mixed images by mixing coefficient: nonlinearity, entropy and dominance, and the gain in linearity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.drawing.curves import spread
from analysis.drawing.style import FAINT, MUTED, SOFT, STYLE, new_panel, shortened

MOST_MODELS = 6  # of a figure: those that come first
_FEWEST = 3  # columns that there is room for, so that one alone is not as wide as the figure
_WIDE, _NARROW, _ROW = 860.0, 360.0, 158.0  # pixels
_LEFT, _RIGHT, _NAMES, _BOTTOM = 40.0, 12.0, 142.0, 42.0
_HEADS, _TITLE, _GAP, _LINE = 22.0, 30.0, 18.0, 13.0
_LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)
_TITLES = {
    "nonlinearity": "nonlinearity on mixed images, nats",
    "entropy": "entropy of the prediction, nats",
    "dominance": "dominance: nonlinearity over entropy",
}


@dataclass(frozen=True)
class LinearityCurves:
    """How a model responds to mixed images, by mixing coefficient λ [L] (Medina 2026, eq. 12, 13 and 15).

    Nonlinearity, entropy and gain are in nats, all [L]; low and high are ends of 95 % intervals. The gain is the
    teacher's nonlinearity less the model's, None without a teacher.
    """

    label: str
    lambdas: np.ndarray
    nonlinearity: np.ndarray
    nonlinearity_low: np.ndarray
    nonlinearity_high: np.ndarray
    entropy: np.ndarray
    dominance: np.ndarray
    gain: np.ndarray | None = None
    gain_low: np.ndarray | None = None
    gain_high: np.ndarray | None = None


@matplotlib.rc_context(STYLE)
def draw_linearity(curves: Sequence[LinearityCurves], colours: Mapping[str, str], narrow: bool = False) -> Figure:
    """Nonlinearity, entropy and dominance by λ, a row each; a column a model, with the others faint behind it.

    colours go by label. The dashed lines are the entropy that the mixed label itself has, and dominance 1, above which
    a response is more mismatch than ambiguity. A narrow figure, for a phone, has all models in one column.
    """
    drawn = list(curves[:MOST_MODELS])
    columns = [drawn] if narrow or not drawn else [[model] for model in drawn]
    width, right = (_NARROW, _NAMES) if narrow else (_WIDE, _RIGHT)
    height = 3 * _ROW + _BOTTOM + (0 if narrow else _HEADS)
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    across = (width - _LEFT - right + _GAP) / (1 if narrow else max(_FEWEST, len(columns)))
    for row, quantity in enumerate(_TITLES):
        bottom = _BOTTOM + (2 - row) * _ROW
        top = _top_of([getattr(model, quantity) for model in drawn])
        for column, models in enumerate(columns):
            box = (_LEFT + column * across, bottom, across - _GAP, _ROW - _TITLE)
            axes = figure.add_axes(tuple(np.array(box) / [width, height, width, height]), ylim=(0, top))
            _draw_reference(axes, quantity, named=column == 0)
            for other in (other for other in drawn if other not in models):
                axes.plot(other.lambdas, getattr(other, quantity), color=FAINT, linewidth=1)
            for model in models:
                _draw_curve(axes, model, quantity, colours[model.label])
            _name_peaks(axes, models, quantity, colours, aside=narrow)
            _dress(axes, last=row == 2, first=column == 0)
            if column == 0:
                axes.set_title(_TITLES[quantity], x=-(_LEFT - 4) / (across - _GAP), pad=7)
            if row == 0 and not narrow and models:
                look: dict[str, Any] = {"color": colours[models[0].label], "weight": "bold"}
                text, fits = models[0].label, int((across - _GAP) / 7)
                figure.text(box[0] / width, 1 - 4 / height, shortened(text, fits), va="top", fontsize=12, **look)
    return figure


@matplotlib.rc_context(STYLE)
def draw_gain(curves: Sequence[LinearityCurves], colours: Mapping[str, str]) -> Figure:
    """The gain in linearity by λ, a line a student that has a teacher, with its 95 % band.

    Each is marked and named with its value where it is farthest from 0. Above 0 the student is
    closer to linear than its teacher between two images. colours go by label.
    """
    drawn = [model for model in curves if model.gain is not None][:MOST_MODELS]
    figure, axes = new_panel("gain in linearity over the teacher, nats", height=280, left=_LEFT, right=_NAMES)
    axes.axhline(0, color=MUTED, linewidth=1.2)
    for model in drawn:
        _draw_curve(axes, model, "gain", colours[model.label])
    axes.margins(y=0.08)
    _dress(axes, last=True, first=True)
    _name_peaks(axes, drawn, "gain", colours, aside=True)
    return figure


def _top_of(values: Sequence[np.ndarray]) -> float:
    """Where an axis from 0 ends, with room for the value of a peak."""
    finite = np.concatenate([[0.0], *(array[np.isfinite(array)] for array in values)])
    return 1.22 * max(float(finite.max()), 1e-3)


def _draw_curve(axes: Axes, model: LinearityCurves, quantity: str, colour: str) -> None:
    low, high = (getattr(model, f"{quantity}_{end}", None) for end in ("low", "high"))
    if low is not None and high is not None:
        axes.fill_between(model.lambdas, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(model.lambdas, getattr(model, quantity), color=colour, linewidth=1.8, zorder=3)


def _draw_reference(axes: Axes, quantity: str, named: bool) -> None:
    """The dashed line that a quantity is compared to, with its name under it."""
    if quantity == "nonlinearity":
        return
    lambdas = np.linspace(0, 1, 101)
    line = label_entropy(lambdas) if quantity == "entropy" else np.ones_like(lambdas)
    axes.plot(lambdas, line, color=SOFT, linewidth=1.1, linestyle=(0, (4, 3)), zorder=2)
    if named:
        name = "mixed label" if quantity == "entropy" else "as much as entropy"
        look: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 9.5, "color": SOFT, "gid": "label"}
        axes.annotate(name, (0.5, line[50]), (0, -4), textcoords="offset points", **look)


def label_entropy(lambdas: np.ndarray) -> np.ndarray:
    """The entropy, in nats, of a label that is one class with probability λ [L] and another one else."""
    shares = np.stack([lambdas, 1 - lambdas])
    return -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=0)


def _name_peaks(
    axes: Axes, models: Sequence[LinearityCurves], quantity: str, colours: Mapping[str, str], aside: bool
) -> None:
    """Mark each curve where it is farthest from 0, with its value: over it, or aside with the name of the model."""
    peaked = [model for model in models if np.isfinite(getattr(model, quantity)).any()]
    places = [int(np.nanargmax(np.abs(getattr(model, quantity)))) for model in peaked]
    peaks = [(model.lambdas[at], getattr(model, quantity)[at]) for model, at in zip(peaked, places, strict=True)]
    pixels = axes.transData.transform(np.array(peaks, dtype=float).reshape(-1, 2))
    heights = (pixels[:, 1] - axes.bbox.y0) / axes.bbox.height
    asides = spread(heights, _LINE / axes.bbox.height)
    for model, (x, y), height, beside in zip(peaked, peaks, heights, asides, strict=True):
        colour, value = colours[model.label], _value_text(y, quantity)
        axes.plot([x], [y], marker="o", markersize=5.5, color=colour, markeredgewidth=0, zorder=4)
        if not aside:
            axes.annotate(value, (x, y), (0, 6), textcoords="offset points", ha="center", fontsize=10, gid="label")
            continue
        line = {"color": FAINT, "linewidth": 0.8, "zorder": 1, "clip_on": False}
        axes.plot([x, 1.02, 1.07], [height, height, beside], transform=axes.transAxes, **line)
        text = f"{value} {shortened(model.label, 13)}"
        look: dict[str, Any] = {"va": "center", "fontsize": 9.5, "color": colour, "weight": "bold", "gid": "label"}
        axes.text(1.085, beside, text, transform=axes.transAxes, **look)


def _value_text(value: float, quantity: str) -> str:
    return f"{value:+.3f}".replace("-", "−") if quantity == "gain" else f"{value:.2f}"


def _dress(axes: Axes, last: bool, first: bool) -> None:
    """Ticks of a panel; only those at the edges of the figure name theirs."""
    axes.set_xlim(0, 1)
    axes.set_xticks(_LAMBDAS, [f"{value:g}" for value in _LAMBDAS])
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(labelsize=10, length=3, labelbottom=last, labelleft=first)
    if last and first:
        axes.set_xlabel("mixing coefficient λ")
