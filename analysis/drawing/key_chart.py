"""How much of an objective's variance each key explains, with intervals."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.drawing.style import INK, MUTED, PAPER, STYLE, TEACHER_COLOURS, new_panel, shortened
from analysis.objectives import figure_of
from analysis.statistics.importance import MATTERS, Importance
from analysis.text.names import title_of

_ROW = 34.0  # pixels of a key


@matplotlib.rc_context(STYLE)
def draw_importances(importances: Sequence[Importance]) -> Figure:
    """The shares of one objective's keys with their intervals, in their order; hollow are those that may not matter."""
    (objective,) = {each.objective for each in importances}
    title = f"variance of {title_of(figure_of(objective))} that a key explains"
    drawing, axes = new_panel(title, height=66 + _ROW * len(importances), left=20, right=20)
    for row, each in enumerate(importances):
        colour = TEACHER_COLOURS[0] if each.verdict == MATTERS else MUTED
        axes.plot([each.low, each.high], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
        fill = colour if each.verdict == MATTERS else PAPER
        marker = {"marker": "o", "markersize": 8.0, "markerfacecolor": fill, "markeredgecolor": colour}
        axes.plot([each.share], [row], linestyle="", zorder=3, **marker)  # type: ignore[arg-type]
        place = {"transform": axes.get_yaxis_transform(), "va": "center", "fontsize": 10.5, "gid": "label"}
        axes.text(-0.04, row - 0.42, shortened(each.key, 34), ha="left", **place)
        axes.text(1.03, row - 0.42, _words(each), ha="right", **place)
    rows = np.arange(len(importances))
    axes.vlines(np.zeros(len(rows)), rows - 0.2, rows + 0.3, color=INK, linewidth=1, zorder=1)  # not through the names
    axes.set(xlim=(-0.02, 1.02), ylim=(len(importances) - 0.5, -0.85), yticks=[])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    axes.spines["left"].set_visible(False)
    return drawing


def _words(importance: Importance) -> str:
    if np.isnan(importance.share):
        return "not alone"
    share, low, high = (f"{100 * each:.0f}" for each in (importance.share, importance.low, importance.high))
    return f"{share} % ({low} to {high})"
