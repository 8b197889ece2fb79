"""Which figures a page has, of which arms and in which reading; how they look is tested with what draws them."""

import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.drawing.panels import anchor_of, curves_of, forest_of, latency_of, reliability_of, taught_of, trade_off_of
from analysis.drawing.style import Looks
from analysis.findings import findings_of
from analysis.snapshot import read_sweep
from kd_core.measure.predictions import RAW, SCALED

pytestmark = pytest.mark.usefixtures("sketches")


@pytest.fixture(scope="module")
def findings(store):
    return findings_of(read_sweep(store, "demo"))


@pytest.fixture(scope="module")
def looks(findings):
    return Looks.of(findings.points)


def titles(panels):
    """The labels of panels for screen readers."""
    return [re.search('aria-label="([^"]*)"', panel.svg)[1] for panel in panels]


@pytest.mark.parametrize(
    ("reading", "begin", "names"),
    [
        (SCALED, "As shipped", ["accuracy", "ECE as shipped", "NLL (nats) as shipped"]),
        (RAW, "As trained", ["accuracy", "ECE", "NLL (nats)"]),
    ],
)
def test_a_forest_compares_the_figures_of_its_reading_with_the_baseline(findings, looks, reading, begin, names):
    forest = forest_of(findings, findings.readings[reading], looks)
    assert titles(forest["panels"]) == [f"{begin}, differences to classic: {name}" for name in names]
    assert forest["num_left_out"] == 0
    assert "pooled over 3 arms" in forest["pooling"]


def test_without_a_baseline_nothing_is_compared(findings, looks):
    forest = forest_of(replace(findings, baseline=""), findings.shipped, looks)
    assert (forest["panels"], forest["pooling"]) == ([], "")


def test_every_plausible_arm_and_teacher_has_a_reliability_diagram_in_both_readings(findings, looks):
    diagrams = reliability_of(findings, looks)
    assert list(diagrams) == [SCALED, RAW]
    for reading in (SCALED, RAW):
        teacher, *arms = diagrams[reading]
        assert (teacher.caption, teacher.anchor) == ("resnet, a teacher", "")
        for panel in arms:
            index = findings.points["arm"].tolist().index(panel.caption)
            assert panel.anchor == anchor_of(reading, index)
        plausible = findings.readings[reading].front.points
        assert set(plausible.loc[plausible["plausible"], "arm"]) <= {panel.caption for panel in arms}


def test_curves_are_by_teacher_and_need_two_epochs(findings, looks):
    assert {teacher: len(panels) for teacher, panels in curves_of(findings, looks).items()} == {
        "No teacher": 2,
        "resnet": 2,
    }
    first = findings.journals.loc[findings.journals["epoch"] == 1]
    assert curves_of(replace(findings, journals=first), looks) == {}


def test_what_needs_two_teachers_temperatures_or_latencies_is_left_out(findings, looks):
    assert taught_of(findings, looks) == []
    assert trade_off_of(findings, looks)["panels"] == []
    points = findings.points.assign(latency_ms_1=np.arange(1.0, 5.0), latency_ms_64=0.1)
    shipped = replace(findings.shipped, front=replace(findings.shipped.front, points=points))
    latency = latency_of(replace(findings, readings=findings.readings | {SCALED: shipped}), looks)
    assert titles(latency["panels"]) == ["Accuracy by latency: latency at batch 1 (ms an image)"]
    assert latency["same"] == ["latency at batch 64 (ms an image): 0.1"]
