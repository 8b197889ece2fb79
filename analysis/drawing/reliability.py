"""Reliability diagrams: accuracy by confidence with 95 % bands, and how many images each bin holds."""

from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.drawing.style import INK, MUTED, PANEL_WIDTH, SOFT, STYLE
from kd_core.measure.calibration import reliability_bins
from kd_core.measure.predictions import Predictions, metrics_of

FEWEST = 10  # images of a bin that is drawn
_HEIGHT, _LEFT, _RIGHT = 350.0, 46.0, 10.0  # pixels


@dataclass(frozen=True)
class ReliabilityCurve:
    """One model's accuracy by confidence in its M filled bins, and its figures on the sample, as fractions.

    counts are images a bin; low and high the ends of each accuracy's 95 % interval (Wilson 1927).
    """

    edges: np.ndarray
    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    figures: dict[str, float]


def wilson_interval(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % interval of a probability, from the share [M] of count [M] trials that succeeded (Wilson 1927)."""
    z = 1.959963984540054
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def reliability_curve(predictions: Predictions, reading: str) -> ReliabilityCurve:
    """The curve of one reading of a model's predictions, in the bins of its ECE."""
    bins = reliability_bins(predictions.readings[reading].confidence, predictions.correct)
    filled = bins.share > 0
    counts = np.round(bins.share * len(predictions.label))[filled]
    low, high = wilson_interval(bins.accuracy[filled], counts)
    figures = metrics_of(predictions, reading)
    return ReliabilityCurve(
        edges=np.stack([bins.edges[:-1], bins.edges[1:]], axis=1)[filled],
        counts=counts,
        confidence=bins.confidence[filled],
        accuracy=bins.accuracy[filled],
        low=low,
        high=high,
        figures={name: figures[name] for name in ("accuracy", "confidence", "ece")},
    )


@matplotlib.rc_context(STYLE)
def draw_reliability(curve: ReliabilityCurve, colour: str, teacher: ReliabilityCurve | None = None) -> Figure:
    """A model's reliability diagram over the histogram of its images, with its teacher's behind it, dashed."""
    figure = Figure(figsize=(PANEL_WIDTH / 72, _HEIGHT / 72), dpi=72)
    width = 1 - (_LEFT + _RIGHT) / PANEL_WIDTH
    top = figure.add_axes((_LEFT / PANEL_WIDTH, 116 / _HEIGHT, width, 212 / _HEIGHT))
    bottom = figure.add_axes((_LEFT / PANEL_WIDTH, 42 / _HEIGHT, width, 56 / _HEIGHT), sharex=top)
    top.plot([0, 1], [0, 1], color=MUTED, linewidth=1)
    if teacher is not None:
        _draw_curve(top, teacher, {"color": SOFT, "linestyle": (0, (4, 2)), "linewidth": 1.2}, alpha=0.12)
        bottom.stairs(*_steps(teacher), color=SOFT, linewidth=1.2, linestyle=(0, (4, 2)), zorder=3)
    look = {"color": colour, "linewidth": 1.8, "marker": "o", "markersize": 3.5}
    _draw_curve(top, curve, look, alpha=0.22)
    left, right = curve.edges.T
    bottom.bar(left, curve.counts, width=right - left, align="edge", color=colour, alpha=0.55, linewidth=0)
    accuracy, confidence, ece = (curve.figures[name] for name in ("accuracy", "confidence", "ece"))
    words = f"accuracy {100 * accuracy:.1f} %\nconfidence {100 * confidence:.1f} %\nECE {ece:.4f}"
    top.text(0.04, 0.96, words, va="top", color=INK, linespacing=1.35, gid="label")
    top.set(xlim=(0, 1), ylim=(0, 1))
    top.set_title("accuracy", x=-0.15, pad=8)
    bottom.set_xlabel("confidence")
    bottom.set_title("images", x=-0.15, pad=4)
    bottom.yaxis.set_major_locator(MaxNLocator(2))
    bottom.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for axes in (top, bottom):
        axes.tick_params(labelsize=10.5, length=3)
    top.tick_params(labelbottom=False)
    return figure


def _draw_curve(axes: Axes, curve: ReliabilityCurve, look: dict, alpha: float) -> None:
    """Draw the line and the band over the bins that hold FEWEST images or more; of others, a band would say nothing."""
    drawn = curve.counts >= FEWEST
    confidence = curve.confidence[drawn]
    axes.fill_between(confidence, curve.low[drawn], curve.high[drawn], color=look["color"], alpha=alpha, linewidth=0)
    axes.plot(confidence, curve.accuracy[drawn], clip_on=False, **look)


def _steps(curve: ReliabilityCurve) -> tuple[np.ndarray, np.ndarray]:
    """The counts of all bins, also the empty ones between, and their edges, for `Axes.stairs`."""
    edges = np.unique(curve.edges)
    counts = np.zeros(len(edges) - 1)
    counts[np.searchsorted(edges, curve.edges[:, 0])] = curve.counts
    return counts, edges
