"""Figures: their content, without comparing pixels."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from analysis.figures import (
    draw_curves,
    draw_front,
    draw_reliability,
    label_of,
    reliability_panel,
    svg_of,
    teacher_colours,
)
from analysis.pareto import front_of
from analysis.runs import METRICS, journals_of, runs_of

SVG = "{http://www.w3.org/2000/svg}"


def words(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def front(store):
    return front_of(runs_of(store, "demo"))


def test_a_front_names_every_arm_and_gives_equal_bytes_for_equal_values(front):
    svg = svg_of(draw_front(front), "front")
    assert {"classic", "mixup", "T=2", "T=σ α=0.2", "resnet", "test accuracy", "test ECE"} <= set(words(svg))
    assert svg == svg_of(draw_front(front), "front")
    assert "<metadata" not in svg


@pytest.mark.parametrize(
    "objectives",
    [{"validation/accuracy": "max"}, {"num_parameters": "min", "validation/accuracy": "max", "validation/nll": "min"}],
)
def test_a_front_of_other_objectives_is_drawn_over_its_first_two(store, objectives):
    front = front_of(runs_of(store, "demo"), objectives)
    assert "test accuracy" in words(svg_of(draw_front(front), "front"))


def test_every_figure_has_a_name_on_its_axis(store):
    runs = runs_of(store, "demo")
    for name in (name for name in METRICS if name.startswith("validation/") and not name.endswith("_standardized")):
        found = words(svg_of(draw_front(front_of(runs, {name: "min"})), "front"))
        titles = " ".join(word for word in found if word and word.startswith("test "))
        assert "_" not in titles
        assert ("after temperature scaling" in titles) == name.endswith("_scaled")


def test_a_name_is_never_read_as_markup_or_as_mathematics(store):
    runs = runs_of(store, "demo")
    front = front_of(runs.assign(arm=runs["arm"].replace("classic", "<script> $x & y")))
    assert "<script> $x & y" in words(svg_of(draw_front(front), '"<front>"'))


def test_a_label_leaves_out_what_colour_and_marker_say():
    assert label_of("kd_mixup vit T=sigma alpha=0.2", "kd_mixup", "vit") == "T=σ α=0.2"
    assert label_of("classic", "classic", "") == "classic"


def test_teachers_have_colours_of_their_own():
    colours = teacher_colours(["", "a", "b", "a", "c"])
    assert list(colours) == ["", "a", "b", "c"]
    assert len(set(colours.values())) == 4


def test_a_reliability_diagram_states_the_figures_of_its_record(store):
    record = store.trial("trial-0-0")
    panels = [reliability_panel("as trained", record.outcomes("test"), name) for name in ("raw", "temperature_scaled")]
    metrics = record.verdict()["metrics"]
    assert [panel.ece for panel in panels] == [metrics["test/ece"], metrics["test/ece_scaled"]]
    gaps = np.abs(panels[0].bins.accuracy - panels[0].bins.confidence)
    assert np.nansum(panels[0].bins.share * gaps) == pytest.approx(panels[0].ece)
    assert f"ECE {panels[0].ece:.3f}" in " ".join(words(svg_of(draw_reliability(panels * 2, 3), "reliability")))


def test_curves_name_the_highlighted_arms_only(store):
    found = words(svg_of(draw_curves(journals_of(store, "demo"), ["kd resnet T=2"]), "curves"))
    assert "kd resnet T=2" in found
    assert "classic" not in found
