import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.chart import chart_of
from analysis.figures import (
    draw_curves,
    draw_front,
    draw_reliability,
    label_of,
    reliability_panel,
    svg_of,
    teacher_colours,
)
from analysis.labels import overlap, place_labels
from analysis.pareto import front_of, scaled
from analysis.runs import journals_of, runs_of

SVG = "{http://www.w3.org/2000/svg}"
BOUNDS, NO_LINE = np.array([0.0, 0.0, 700.0, 400.0]), np.empty((0, 2))


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


@settings(deadline=None, derandomize=True, max_examples=25)
@given(arrays(np.float64, st.tuples(st.integers(0, 30), st.just(2)), elements=st.floats(0.05, 0.95)))
def test_thirty_labels_cover_neither_one_another_nor_the_outside(places):
    sizes = np.full((len(places), 2), [52.0, 12.0])
    centres = place_labels(places * BOUNDS[2:], sizes, BOUNDS, NO_LINE)
    boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)
    for index, box in enumerate(boxes):
        assert overlap(box, boxes[index + 1 :]).sum() < 1e-6
        assert overlap(box, BOUNDS[None])[0] == pytest.approx(52 * 12)


def test_a_label_stays_off_the_line():
    line = np.array([[100.0, 200.0], [300.0, 200.0], [300.0, 50.0]])
    size = np.array([40.0, 12.0])
    (centre,) = place_labels(np.array([[300.0, 200.0]]), size[None], BOUNDS, line)
    box = np.concatenate([centre - size / 2, centre + size / 2])
    assert overlap(box, np.array([[100, 199, 300, 201], [299, 50, 301, 200]])).sum() == 0


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


def test_the_interactive_chart_holds_every_arm_once_a_reading(store, front):
    scaled_front = front_of(runs_of(store, "demo"), scaled(front.objectives))
    chart = chart_of(front, scaled_front)
    assert chart == chart_of(front, scaled_front)
    (points,) = [rows for rows in chart["datasets"].values() if "arm" in rows[0]]
    assert [(row["reading"], row["arm"]) for row in points] == [
        (reading, arm) for reading in ("raw", "temperature-scaled") for arm in front.points["arm"]
    ]
    for row in points:
        assert row["ece"] == row["ece_raw" if row["reading"] == "raw" else "ece_scaled"]
