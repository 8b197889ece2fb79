"""Maps of features: t-SNE of the images of a few classes, a panel a model, with its V-measure and accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from analysis.drawing.style import (
    FAINT,
    INK,
    NO_TEACHER,
    PANEL_WIDTH,
    SOFT,
    TEACHER_COLOURS,
    shortened,
    svg_element,
)

MOST_POINTS = 500  # of a panel
_COLOURS = (*TEACHER_COLOURS, NO_TEACHER)  # of classes: told apart by the colour-blind, as are the shapes
_SHAPES = (  # about a point, in pixels
    "m-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0z",
    "m-1.8-1.8h3.6v3.6h-3.6z",
    "m0-2.5l2.4 4.2h-4.8z",
    "m0-2.7l2.7 2.7-2.7 2.7-2.7-2.7z",
    "m0 2.5l2.4-4.2h-4.8z",
)
_WIDE, _NARROW = (860, 4), (PANEL_WIDTH, 2)  # pixels, and panels beside each other at most
_GAP, _HEADER, _LINE, _KEY, _LETTER = 14.0, 24.0, 13.0, 20.0, 6.6
_MARGIN = 6.0  # pixels between a panel's frame and its points


@dataclass(frozen=True)
class Embedding:
    """The map of a model's features: points [N, 2], the place of each one's class [N], and figures as fractions.

    Panels of one row stand under its title. Figures are said as they come: the caller knows of which classes they are.
    """

    label: str
    points: np.ndarray
    classes: np.ndarray
    v_measure: float
    accuracy: float
    row: str = ""


def draw_embeddings(
    embeddings: Sequence[Embedding],
    class_names: Sequence[str],
    name: str,
    narrow: bool = False,
    standalone: bool = False,
) -> str:
    """Maps side by side, a row of them for each row's title, and a key of the classes by colour and shape.

    Coordinates of t-SNE have no unit and no direction, so there are no axes, and each map fills its panel. It is an
    <svg> as of `analysis.drawing.style.svg_of`, written here, since it has thousands of points; a panel of more than
    MOST_POINTS images shows evenly many of them. A narrow figure is for a phone.
    """
    width, most = _NARROW if narrow else _WIDE
    rows: dict[str, list[Embedding]] = {}
    for embedding in embeddings:
        rows.setdefault(embedding.row, []).append(embedding)
    columns = min(most, max(map(len, rows.values()), default=1))
    side = (width + _GAP) / (most if narrow else max(columns, 3)) - _GAP
    down = _heading(side) + side + _GAP
    parts, top = _key(class_names, width)
    for title, row in rows.items():
        if title:
            parts.append(_text(0, top + 14, title, f"font-size: 12px; font-weight: 600; fill: {INK}"))
            top += _HEADER
        for place, embedding in enumerate(row):
            line, column = divmod(place, columns)
            corner = (column * (side + _GAP), top + line * down)
            parts += _panel(embedding, corner, side, len(class_names))
        top += -(-len(row) // columns) * down
    return svg_element(parts, (width, int(np.ceil(top))), name, standalone)


def _heading(side: float) -> float:
    """Pixels over a panel's frame: of its name, and of its figures in one line, or two if it is small."""
    return (3 if _is_small(side) else 2) * _LINE + 7


def _is_small(side: float) -> bool:
    return side < 190


def _panel(embedding: Embedding, corner: tuple[float, float], side: float, num_classes: int) -> list[str]:
    """A model's name, figures, frame and points."""
    left, top = corner
    bottom = top + _heading(side)
    label = shortened(embedding.label, int(side / 7.5))
    figures = f"V-measure {embedding.v_measure:.3f}", f"accuracy {100 * embedding.accuracy:.1f} %"
    lines = list(figures) if _is_small(side) else [" · ".join(figures)]
    parts = [_text(left, top + 12, label, f"font-size: 11px; font-weight: 600; fill: {INK}")]
    parts += [
        _text(left, top + 12 + _LINE * number, line, f"font-size: 10.5px; fill: {SOFT}")
        for number, line in enumerate(lines, start=1)
    ]
    frame = f'x="{left + 0.5:.1f}" y="{bottom + 0.5:.1f}" width="{side - 1:.1f}" height="{side - 1:.1f}" rx="4"'
    parts.append(f'<rect {frame} style="fill: none; stroke: {FAINT}; stroke-width: 1"/>')
    kept = np.unique(np.linspace(0, len(embedding.points) - 1, MOST_POINTS).astype(int))[: len(embedding.points)]
    places = _placed(embedding.points, side - 2 * _MARGIN)[kept] + [left + _MARGIN, bottom + _MARGIN]
    for number in range(num_classes):
        parts += _marks(places[embedding.classes[kept] == number], number)
    return parts


def _placed(points: np.ndarray, side: float) -> np.ndarray:
    """Points [N, 2] in a square of this side, in pixels from its upper left corner, with their proportions kept."""
    if not len(points):
        return np.empty((0, 2))
    low, high = points.min(axis=0), points.max(axis=0)
    scale = side / max(float((high - low).max()), 1e-9)
    return side / 2 + (points - (low + high) / 2) * [scale, -scale]


def _marks(places: np.ndarray, number: int) -> list[str]:
    """The marks of a class, in one path."""
    shape, colour = _SHAPES[number % len(_SHAPES)], _COLOURS[number % len(_COLOURS)]
    path = "".join(f"M{x:.1f} {y:.1f}{shape}" for x, y in places.tolist())
    return [f'<path d="{path}" style="fill: {colour}; fill-opacity: 0.8"/>'] if path else []


def _key(class_names: Sequence[str], width: float) -> tuple[list[str], float]:
    """The names of the classes with their marks, in lines as wide as the figure, and where they end."""
    parts, x, y = [], 0.0, 12.0
    for number, name in enumerate(class_names):
        label = shortened(name, 24)
        reach = 14 + _LETTER * len(label) + 14
        if x and x + reach > width:
            x, y = 0.0, y + _KEY
        parts += _marks(np.array([[x + 5, y - 4]]), number)
        parts.append(_text(x + 14, y, label, f"font-size: 11px; fill: {INK}"))
        x += reach
    return parts, y + 12 if class_names else 0.0


def _text(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" style="{style}">{escape(text)}</text>'
