"""What figures share: SVG, palettes, names."""

import itertools
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.drawing.style import (
    DARK,
    FAINT,
    GRID,
    INK,
    NO_TEACHER,
    PAPER,
    SOFT,
    STYLE,
    TEACHER_COLOURS,
    Looks,
    figure_css,
    format_axis,
    new_panel,
    shortened,
    svg_of,
)

VISION = {  # how a colour-blind reader sees linear RGB (Machado 2009, severity 1)
    "normal": np.eye(3),
    "protanopia": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deuteranopia": [[0.367, 0.861, -0.228], [0.28, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritanopia": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@matplotlib.rc_context(STYLE)
def a_figure(title="a title"):
    figure, axes = new_panel(title)
    axes.plot([1], [2], marker="o", color=TEACHER_COLOURS[0], linestyle="", gid="arm-3")
    axes.text(1, 2, "<script> $x & y", gid="label")
    return figure


def test_equal_figures_give_equal_bytes_without_idle_ids_or_metadata():
    svg = svg_of(a_figure(), "a figure")
    assert svg == svg_of(a_figure(), "a figure")
    assert "<metadata" not in svg
    ids = set(re.findall(r' id="([^"]*)"', svg))
    assert ids == set(re.findall(r'(?:href="|url\()#([^")]*)', svg))
    assert not ids & set(re.findall(r' id="([^"]*)"', svg_of(a_figure(), "another figure")))


def test_points_and_labels_can_be_found_in_a_page():
    svg = svg_of(a_figure(), "a figure")
    assert len(re.findall(r'<g data-arm="3">.*?<use ', svg)) == 1
    assert svg.count('<g class="label">') == 1


def test_a_name_is_never_read_as_markup_or_as_mathematics(words):
    svg = svg_of(a_figure('"<b>$x$'), '"<front>"')
    assert {"<script> $x & y", '"<b>$x$'} <= set(words(svg))
    assert ElementTree.fromstring(svg).get("aria-label") == '"<front>"'


def test_a_standalone_figure_brings_its_background_and_its_dark_colours():
    svg = svg_of(a_figure(), "a figure", standalone=True)
    assert figure_css() in svg
    assert "prefers-color-scheme: dark" in svg
    background = next(ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}rect"))
    assert background.get("style") == f"fill: {PAPER}"
    assert {"width", "height"} <= set(ElementTree.fromstring(svg).keys())  # or it has none in a viewer's <img>
    assert "<style>" not in svg_of(a_figure(), "a figure")


def test_every_colour_has_a_dark_one():
    for light, dark in DARK.items():
        assert f'[style*="fill: {light}"]{{fill: {dark} !important}}' in figure_css()
    assert len(set(DARK)) == len(DARK)


def linear(colour):
    """Linear RGB of a colour like #1f2933."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(first, second):
    """The contrast of two colours as WCAG defines it, from 1 to 21."""
    dark, light = sorted(linear(each) @ [0.2126, 0.7152, 0.0722] for each in (first, second))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb):
    """CIELAB of linear RGB."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(matrix @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("of", [lambda colour: colour, DARK.get], ids=["light", "dark"])
def test_palettes_are_legible_and_told_apart_by_the_colour_blind(of):
    colours = [of(colour) for colour in (NO_TEACHER, *TEACHER_COLOURS)]
    assert min(contrast(colour, of(PAPER)) for colour in colours) > 3
    assert min(contrast(of(colour), of(PAPER)) for colour in (INK, SOFT)) > 4.5
    assert contrast(of(GRID), of(PAPER)) < contrast(of(FAINT), of(PAPER))
    for matrix in VISION.values():
        seen = [lab(np.array(matrix) @ linear(colour)) for colour in colours]
        assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


def looks_of(*arms):
    return Looks.of(pd.DataFrame(arms, columns=["method", "teacher"]))


def test_a_label_leaves_out_what_colour_and_marker_say():
    looks = looks_of(("kd_mixup", "vit"), ("classic", ""))
    assert looks.label("kd_mixup vit T=sigma alpha=0.2", "kd_mixup", "vit") == "T=σ α=0.2"
    assert looks.label("classic", "classic", "") == "classic"


def test_teachers_have_colours_of_their_own_and_if_there_are_too_many_labels_name_them():
    looks = Looks.of(pd.DataFrame({"teacher": ["", "a", "b", "a"], "method": "kd"}), ["c", "a"])
    assert list(looks.colours) == ["", "a", "b", "c"]
    assert len(set(looks.colours.values())) == 4
    many = looks_of(*(("kd", f"teacher{index}") for index in range(len(TEACHER_COLOURS) + 1)))
    assert many.label("kd teacher0 T=2", "kd", "teacher0") == "teacher0 T=2"
    assert many.label("kd teacher1 T=2", "kd", "teacher1") == "T=2"


def test_every_method_has_a_marker_of_its_own():
    methods = ("classic", "mixup", "kd", "kd_mixup", "zscore", "dkd")
    assert len(set(looks_of(*((method, "") for method in methods)).markers.values())) == 6


def test_long_names_are_shortened():
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abc", 4) == shortened("abc", 3) == "abc"
    assert shortened("教师教师", 6) == "教师…"
    assert shortened("", 4) == ""


def test_an_axis_is_in_the_unit_of_its_figure():
    axes = Figure().subplots()
    format_axis(axes.yaxis, "accuracy")
    assert axes.yaxis.get_major_formatter()(0.355) == "35.5 %"
    format_axis(axes.xaxis, "num_parameters")
    assert axes.xaxis.get_major_formatter()(1_200_000) == "1.2 M"
