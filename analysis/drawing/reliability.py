"""Reliability diagrams: accuracy by confidence with 95 % bands, and how many images each bin holds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

from analysis.drawing.style import GRID, INK, MUTED, PANEL_WIDTH, SOFT, svg_element
from kd_core.measure.calibration import reliability_bins
from kd_core.measure.predictions import Predictions, metrics_of

FEWEST = 10  # images of a bin that is drawn
PANEL_HEIGHT = 350  # pixels
_LEFT, _RIGHT = 46, 320
_TOP, _BOTTOM = (22, 232), (260, 312)  # of the axes of accuracy and of images
_FRACTIONS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


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


def draw_reliability(
    curve: ReliabilityCurve,
    colour: str,
    name: str,
    teacher: ReliabilityCurve | None = None,
    standalone: bool = False,
) -> str:
    """A model's reliability diagram over the histogram of its images, with its teacher's behind it, dashed.

    It is an <svg> as of `analysis.drawing.style.svg_of`, written here, since a report has dozens of them.
    """
    counts = [each.counts for each in (curve, teacher) if each is not None]
    most = max(1.0, *(values.max() for values in counts if len(values)))
    ticks = [tick for tick in MaxNLocator(2).tick_values(0, most) if 0 <= tick <= most]
    parts = [_axes(_TOP, _FRACTIONS, "{:.1f}", 1.0), _axes(_BOTTOM, ticks, "{:,.0f}", most)]
    parts += [_text(_x(value), _BOTTOM[1] + 15, f"{value:.1f}", "middle") for value in _FRACTIONS]
    parts += [_text(_x(0.5), PANEL_HEIGHT - 8, "confidence", "middle")]
    parts += [_text(4, _TOP[0] - 8, "accuracy"), _text(4, _BOTTOM[0] - 6, "images")]
    parts += [_line([(0, 0), (1, 1)], f"stroke: {MUTED}; stroke-width: 1")]
    if teacher is not None:
        dashed = f"stroke: {SOFT}; stroke-width: 1.2; stroke-dasharray: 5 2.5"
        parts += [_band(teacher, SOFT, 0.12), _line(_points(teacher), dashed)]
        parts += [_histogram(teacher, most, f"fill: none; {dashed}")]
    parts += [_histogram(curve, most, f"fill: {colour}; fill-opacity: 0.55")]
    parts += [_band(curve, colour, 0.22), _line(_points(curve), f"stroke: {colour}; stroke-width: 1.8")]
    dots = [(_x(confidence), _y(accuracy)) for confidence, accuracy in _points(curve)]
    parts += [f'<circle cx="{x:.2f}" cy="{y:.2f}" r="2" style="fill: {colour}"/>' for x, y in dots]
    accuracy, confidence, ece = (curve.figures[figure] for figure in ("accuracy", "confidence", "ece"))
    words = [f"accuracy {100 * accuracy:.1f} %", f"confidence {100 * confidence:.1f} %", f"ECE {ece:.4f}"]
    lines = [_text(_x(0.04), _TOP[0] + 18 + 15 * number, line) for number, line in enumerate(words)]
    return svg_element(
        [*parts, f'<g class="label">{"".join(lines)}</g>'], (PANEL_WIDTH, PANEL_HEIGHT), name, standalone
    )


def _points(curve: ReliabilityCurve) -> list[tuple[float, float]]:
    """Confidence and accuracy of the bins that hold FEWEST images or more; of others, they would say nothing."""
    drawn = curve.counts >= FEWEST
    return list(zip(curve.confidence[drawn].tolist(), curve.accuracy[drawn].tolist(), strict=True))


def _x(fraction: float) -> float:
    return _LEFT + fraction * (_RIGHT - _LEFT)


def _y(fraction: float, axes: tuple[float, float] = _TOP) -> float:
    return axes[1] - fraction * (axes[1] - axes[0])


def _axes(axes: tuple[float, float], ticks: Sequence[float], form: str, most: float) -> str:
    """Grid, spines and the ticks of the vertical axis."""
    top, bottom = axes
    across = "".join(f"M{_LEFT} {_y(tick / most, axes):.2f}H{_RIGHT}" for tick in ticks)
    up = "".join(f"M{_x(value):.2f} {top}V{bottom}" for value in _FRACTIONS)
    labels = [_text(_LEFT - 6, _y(tick / most, axes) + 4, form.format(tick), "end") for tick in ticks]
    grid = f'<path d="{across}{up}" style="fill: none; stroke: {GRID}; stroke-width: 0.8"/>'
    spines = f'<path d="M{_LEFT} {top}V{bottom}H{_RIGHT}" style="fill: none; stroke: {MUTED}; stroke-width: 0.8"/>'
    return grid + spines + "".join(labels)


def _line(points: Iterable[tuple[float, float]], style: str) -> str:
    path = " ".join(f"{_x(confidence):.2f},{_y(accuracy):.2f}" for confidence, accuracy in points)
    return f'<polyline points="{path}" style="fill: none; {style}"/>'


def _band(curve: ReliabilityCurve, colour: str, opacity: float) -> str:
    """The 95 % intervals of the drawn bins."""
    drawn = curve.counts >= FEWEST
    ends = [(curve.confidence[drawn], curve.low[drawn]), (curve.confidence[drawn][::-1], curve.high[drawn][::-1])]
    path = " ".join(f"{_x(x):.2f},{_y(y):.2f}" for xs, ys in ends for x, y in zip(xs, ys, strict=True))
    return f'<polygon points="{path}" style="fill: {colour}; fill-opacity: {opacity}"/>'


def _histogram(curve: ReliabilityCurve, most: float, style: str) -> str:
    """A bar for the images of each bin, also of few."""
    bars = [
        f"M{_x(left):.2f} {_BOTTOM[1]}V{_y(count / most, _BOTTOM):.2f}H{_x(right):.2f}V{_BOTTOM[1]}Z"
        for (left, right), count in zip(curve.edges, curve.counts, strict=True)
    ]
    return f'<path d="{"".join(bars)}" style="{style}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    style = f"font-size: 10.5px; text-anchor: {anchor}; fill: {INK}"
    return f'<text x="{x:.2f}" y="{y:.2f}" style="{style}">{escape(text)}</text>'
