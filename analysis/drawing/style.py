"""What all figures of a report share: sizes, colours, markers, names of figures, and SVG that is light or dark."""

import io
import re
import warnings
from bisect import bisect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from itertools import accumulate, cycle
from typing import Any
from unicodedata import east_asian_width

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter

from kd_core.measure.names import ACCURACIES

PANEL_WIDTH = 330  # pixels: three panels beside each other on a desktop, one on a phone, with text of one size
INK, SOFT, MUTED, FAINT, GRID = "#1f2933", "#52606d", "#8b97a3", "#cfd6dd", "#e9ecef"
PAPER, NO_TEACHER = "#ffffff", "#5b6670"
TEACHER_COLOURS = ("#0b5cd6", "#d9690f", "#0aa06a", "#8a3fa0", "#5a2a00", "#5f93f5")
DARK = {  # what each colour becomes on a dark page; in both, colour-blind readers tell teachers apart
    INK: "#e4e9ee",
    SOFT: "#a9b4bf",
    MUTED: "#6f7b87",
    FAINT: "#3d4751",
    GRID: "#272e36",
    PAPER: "#12171c",
    NO_TEACHER: "#97a3af",
    **dict(zip(TEACHER_COLOURS, ("#3f8cff", "#f0702a", "#1fcf86", "#b07ad0", "#e6e04a", "#b5fcd9"), strict=True)),
}
MARKERS = {"classic": "o", "mixup": "D", "kd": "^", "kd_mixup": "s"}
OTHER_MARKERS = ("P", "X", "v", "*")
GLYPHS = {"o": "●", "D": "◆", "^": "▲", "s": "■", "P": "✚", "X": "✖", "v": "▼", "*": "★"}  # markers as text
FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar in a name is literal
    "font.size": 11,
    "text.color": INK,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "path.simplify": False,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "legend.title_fontsize": 10.5,
}


def svg_of(figure: Figure, name: str, standalone: bool = False) -> str:
    """A figure as an <svg> element of a page, with its text as text; name is its label for screen readers.

    Ids depend on name and content only, so that equal figures give equal bytes and two names share no id. Groups of
    artists with the gid `arm-3` become <g data-arm="3">, with the gid `label` <g class="label">. A standalone figure
    has a size, and brings its background and `figure_css` along; in a page the page does.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}), any_letters():
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = re.sub(r"<!--.*?-->|<defs>\s*<style.*?</defs>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r">\s+<", "><", re.sub(r"<[^>]+>", _tidied, svg))
    svg = svg.replace("<svg", f"<svg {_label_of(name)}", 1)
    if not standalone:  # the page sets the size, viewBox the proportions
        return re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace(">", f">{_background()}", 1) + "\n"


def svg_element(parts: Iterable[str], size: tuple[int, int], name: str, standalone: bool = False) -> str:
    """Elements of SVG as a figure of so many pixels, as `svg_of` makes one of matplotlib's."""
    width, height = size
    opening = f'<svg {_label_of(name)} viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg"'
    opening += f' width="{width}pt" height="{height}pt">{_background()}' if standalone else ">"
    return "".join([opening, *parts, "</svg>"]) + "\n" * standalone


def _label_of(name: str) -> str:
    look = f'font-family="{FONT}" stroke-linejoin="round" stroke-linecap="butt"'
    return f'role="img" aria-label="{escape(name)}" {look}'


def _background() -> str:
    return f'<style>{figure_css()}</style><rect width="100%" height="100%" style="fill: {PAPER}"/>'


@contextmanager
def any_letters() -> Iterator[None]:
    """Measure text even if matplotlib's font lacks some of its letters, without a warning: a reader's font has them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def _tidied(match: re.Match[str]) -> str:
    """A tag of matplotlib's, shorter: hundredths of pixels are enough, and only the ids that are referred to."""
    tag = re.sub(r'<g id="arm-(\d+)"', r'<g data-arm="\1"', match[0])
    tag = tag.replace('<g id="label"', '<g class="label"')
    tag = re.sub(r'<g id="[^"]*"', "<g", tag)
    tag = re.sub(r'(<path id="m.*) style="[^"]*"', r"\1", tag, flags=re.DOTALL)  # a marker's <use> has its style
    tag = re.sub(r"font-family: [^;]*; ", "", tag)
    tag = re.sub(r' transform="rotate\(-0 [^"]*"', "", tag)
    return re.sub(r"(\.\d\d)\d+", r"\1", " ".join(tag.split()))


def figure_css() -> str:
    """The rules that turn every figure dark where the reader's browser is, and keep labels legible over lines."""
    rules = [
        f'[style*="{what}: {light}"]{{{what}: {dark} !important}}'
        for light, dark in DARK.items()
        for what in ("fill", "stroke", "color")
    ]
    halo = ".label text{{paint-order: stroke; stroke: {}; stroke-width: 3px}}"
    dark = "\n".join([halo.format(DARK[PAPER]), *rules])
    return f"{halo.format(PAPER)}\n@media screen and (prefers-color-scheme: dark){{{dark}}}"


@dataclass(frozen=True)
class Looks:
    """How arms look in every figure of a report: a colour a teacher ("" is none), a marker a method."""

    colours: dict[str, str]
    markers: dict[str, str]

    @classmethod
    def of(cls, points: pd.DataFrame, teachers: Iterable[str] = ()) -> "Looks":
        """Of the arms of a front, and of further teachers; colours go by order of appearance."""
        named = [teacher for teacher in dict.fromkeys([*points["teacher"], *teachers]) if teacher]
        methods = list(dict.fromkeys(points["method"]))
        others = dict(zip((each for each in methods if each not in MARKERS), cycle(OTHER_MARKERS), strict=False))
        return cls(
            colours={"": NO_TEACHER, **dict(zip(named, cycle(TEACHER_COLOURS), strict=False))},
            markers={method: (MARKERS | others)[method] for method in sorted(methods)},
        )

    def marker(self, method: str, teacher: str) -> dict[str, Any]:
        """The choices of `Axes.plot` for an arm's marker."""
        return {"marker": self.markers[method], "color": self.colours[teacher], "markeredgecolor": PAPER}

    def label(self, arm: str, method: str, teacher: str) -> str:
        """An arm's name without what colour and marker show, such as `T=2`; without its method, if that is not ""."""
        unique = list(self.colours.values()).count(self.colours[teacher]) == 1
        words = [shortened(word, 12) if word == teacher else word for word in arm.split()]
        rest = [word for word in words if word != method and not (unique and word == shortened(teacher, 12))]
        return " ".join(rest).replace("sigma", "σ").replace("alpha", "α") or method


def shortened(text: str, length: int) -> str:
    """A text of at most so many letters, of which wide ones, such as Chinese ones, count twice."""
    ends = list(accumulate(1 + (east_asian_width(letter) in "WF") for letter in text))
    return text if not ends or ends[-1] <= length else text[: bisect(ends, length - 1)] + "…"


def new_panel(
    title: str, height: float = 250, width: float = PANEL_WIDTH, left: float = 46, right: float = 10, bottom: float = 42
) -> tuple[Figure, Axes]:
    """An empty figure of one pair of axes, in pixels, with its title over the upper left corner."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    top = 24
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
    axes.set_title(title, pad=8, x=-(left - 4) / (width - left - right))
    axes.tick_params(labelsize=10.5, length=3)
    return figure, axes


def format_axis(axis: Axis, figure: str) -> None:
    """Write the ticks of an axis in the unit of its figure."""
    if figure in ACCURACIES:
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    elif figure == "num_parameters":
        axis.set_major_formatter(EngFormatter(sep=" "))
