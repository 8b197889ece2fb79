"""The interactive front: one Vega-Lite chart of every arm, with tooltips and a switch to temperature-scaled ECE."""

import functools
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from analysis.figures import GRID, INK, MUTED, teacher_colours
from analysis.pareto import Front, staircase

SHAPES = {"classic": "circle", "mixup": "diamond", "kd": "triangle-up", "kd_mixup": "square"}
RAW, SCALED, MEMBER = "raw", "temperature-scaled", "on the front"
TEXT = {"labelColor": INK, "labelFontSize": 12, "titleColor": INK, "titleFontSize": 13, "titleFontWeight": "normal"}
AXIS = TEXT | {"gridColor": GRID, "domainColor": MUTED, "tickColor": MUTED}
TOOLTIP = [
    alt.Tooltip("arm:N", title="arm"),
    alt.Tooltip("temperature:N", title="T"),
    alt.Tooltip("alpha:N", title="α"),
    alt.Tooltip("accuracy:Q", title="test accuracy", format=".2%"),
    alt.Tooltip("ece_raw:Q", title="test ECE", format=".4f"),
    alt.Tooltip("ece_scaled:Q", title="test ECE, scaled", format=".4f"),
    alt.Tooltip("num_seeds:Q", title="seeds"),
    alt.Tooltip("standing:N", title="standing"),
]


@functools.cache
def vega_bundle() -> str:
    """The JavaScript of Vega, Vega-Lite and Vega-Embed, to embed in a page; about 0.9 MB."""
    return vl_convert.javascript_bundle()  # type: ignore[call-arg]


def chart_of(front: Front, scaled_front: Front) -> dict[str, Any]:
    """The Vega-Lite specification, including the data, of both fronts over test accuracy and test ECE."""
    fronts = {RAW: front, SCALED: scaled_front}
    points = pd.concat([_points(each, reading) for reading, each in fronts.items()], ignore_index=True)
    lines = pd.concat([_line(group) for _, group in points.groupby("reading", sort=False)], ignore_index=True)
    reading = alt.param(name="reading", value=RAW, bind=alt.binding_radio(options=[RAW, SCALED], name="ECE "))
    line = alt.Chart(lines).mark_line(color=INK, strokeWidth=1).encode(order="corner:Q")
    chart = (
        alt.layer(_placed(line), _placed(_marks(points))).add_params(reading).properties(width="container", height=380)
    )
    return chart.configure(font="system-ui, sans-serif", axis=AXIS, legend=TEXT, view={"stroke": None}).to_dict()


def _points(front: Front, reading: str) -> pd.DataFrame:
    """One row per arm: its test figures and its standing on this front."""
    figures = {"accuracy": "test/accuracy", "ece_raw": "test/ece", "ece_scaled": "test/ece_scaled"}
    points = front.points[["arm", "method", "teacher", "temperature", "alpha", "num_seeds"]].assign(
        **{name: front.points[column] for name, column in figures.items()},
        reading=reading,
        ece=front.points["test/ece" if reading == RAW else "test/ece_scaled"],
        standing=np.where(front.points["on_front"], MEMBER, "dominated"),
    )
    return points.replace({"teacher": {"": "none"}})


def _line(points: pd.DataFrame) -> pd.DataFrame:
    """The corners of the staircase that the front's arms attain on test."""
    members = points.loc[points["standing"] == MEMBER, ["accuracy", "ece"]].to_numpy(dtype=float)
    corners = pd.DataFrame(staircase(members, ("max", "min")), columns=["accuracy", "ece"])
    return corners.assign(corner=corners.index, reading=points["reading"].iloc[0])


def _placed(chart: alt.Chart) -> alt.Chart:
    return chart.transform_filter("datum.reading == reading").encode(
        x=alt.X("accuracy:Q", title="test accuracy", axis=alt.Axis(format=".0%", tickCount=8)).scale(zero=False),
        y=alt.Y("ece:Q", title="test ECE").scale(zero=False),
    )


def _marks(points: pd.DataFrame) -> alt.Chart:
    colours = teacher_colours(points["teacher"].replace("none", ""))
    methods = sorted(points["method"].unique())
    shapes = [SHAPES.get(method, "cross") for method in methods]
    return (
        alt.Chart(points)
        .mark_point(filled=True, size=110, stroke="white", strokeWidth=1)
        .encode(
            color=alt.Color("teacher:N").scale(
                domain=[name or "none" for name in colours], range=list(colours.values())
            ),
            shape=alt.Shape("method:N").scale(domain=methods, range=shapes),
            opacity=alt.when(f"datum.standing == '{MEMBER}'").then(alt.value(1)).otherwise(alt.value(0.35)),
            tooltip=TOOLTIP,
        )
    )
