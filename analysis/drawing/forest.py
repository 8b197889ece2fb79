"""Charts of a row an estimate, with its interval: differences to a baseline, and shares of keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.drawing.style import INK, MUTED, PAPER, STYLE, TEACHER_COLOURS, Looks, new_panel, shortened
from analysis.objectives import figure_of
from analysis.statistics.bootstrap import Estimate
from analysis.statistics.evidence import Evidence
from analysis.statistics.importance import MATTERS, Importance
from analysis.text.names import title_of
from kd_core.measure.names import ACCURACIES

_TITLE = 58  # letters of a title that fit over a panel
_ROW = 34.0  # pixels


@dataclass(frozen=True)
class _Row:
    """A row of a chart: over it its name on the left and words on the right; hollow if there may be nothing in it."""

    name: str
    words: str
    estimate: Estimate
    look: dict[str, Any]
    hollow: bool


@matplotlib.rc_context(STYLE)
def draw_forest(points: pd.DataFrame, test: Evidence, baseline: str, figure: str, looks: Looks) -> Figure:
    """The difference of each arm to the baseline in a test figure, with its interval, the best one at the top.

    points holds the arms to compare. Hollow markers are differences whose interval holds zero. Accuracy is in points.
    """
    factor, digits, unit = (100.0, 1, ", in points") if figure in ACCURACIES else (1.0, 3, "")
    rows = []
    for method, teacher, arm in points.loc[points["arm"] != baseline, ["method", "teacher", "arm"]].to_numpy():
        difference = Estimate(*(factor * end for end in vars(test.difference(figure, arm, baseline)).values()))
        value, low, high = vars(difference).values()
        words = f"{value:+.{digits}f} ({low:.{digits}f} to {high:.{digits}f})".replace("-", "−")
        name = shortened(looks.label(arm, "", teacher), 26)
        rows.append(_Row(name, words, difference, looks.marker(method, teacher), hollow=low <= 0 <= high))
    rows = [row for row in rows if np.isfinite(row.estimate.value)]
    rows.sort(key=lambda row: row.estimate.value, reverse=figure in ACCURACIES)
    title = f"test {title_of(figure)} less that of {{}}{unit}"
    title = title.format(shortened(baseline, min(16, max(8, _TITLE - len(title)))))
    drawing, axes = _draw_rows(title, rows)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.margins(x=0.06)
    return drawing


@matplotlib.rc_context(STYLE)
def draw_importances(importances: Sequence[Importance]) -> Figure:
    """The shares of one objective's keys with their intervals, in their order; hollow are those that may not matter."""
    rows = []
    for importance in importances:
        share, low, high = (f"{100 * end:.0f}" for end in (importance.share, importance.low, importance.high))
        words = "not alone" if np.isnan(importance.share) else f"{share} % ({low} to {high})"
        matters = importance.verdict == MATTERS
        look = {"marker": "o", "color": TEACHER_COLOURS[0] if matters else MUTED}
        estimate = Estimate(importance.share, importance.low, importance.high)
        rows.append(_Row(shortened(importance.key, 34), words, estimate, look, hollow=not matters))
    title = title_of(figure_of(importances[0].objective))
    drawing, axes = _draw_rows(f"variance of {title} that a key explains", rows)
    axes.set_xlim(-0.02, 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    return drawing


def _draw_rows(title: str, rows: Sequence[_Row]) -> tuple[Figure, Axes]:
    drawing, axes = new_panel(title, height=66 + _ROW * max(1, len(rows)), left=20, right=12)
    for place, row in enumerate(rows):
        color = row.look["color"]
        axes.plot([row.estimate.low, row.estimate.high], [place] * 2, color=color, linewidth=1.6, solid_capstyle="butt")
        look = {"markerfacecolor": PAPER, "markeredgecolor": color, "markeredgewidth": 1.4} if row.hollow else {}
        axes.plot([row.estimate.value], [place], linestyle="", markersize=8, zorder=3, **row.look | look)
        text = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 10.5, "gid": "label"}
        axes.text(-0.04, place - 0.42, row.name, ha="left", **text)
        axes.text(1, place - 0.42, row.words, ha="right", **text)
    places = np.arange(len(rows))
    axes.vlines(0 * places, places - 0.2, places + 0.3, color=INK, linewidth=1, zorder=1)  # not through the names
    axes.set(ylim=(len(rows) - 0.5, -0.85), yticks=[])
    axes.spines["left"].set_visible(False)
    return drawing, axes
