import pytest

from analysis.drawing.page import page_of
from analysis.drawing.trust import MOST_MODELS, trust_figures
from analysis.evaluations import evaluated_of
from analysis.findings import findings_of
from analysis.snapshot import read_sweep
from tests.answers import NAMES


@pytest.fixture(scope="module")
def snapshot(evaluated_store):
    return read_sweep(evaluated_store, "demo")


def test_figures_have_teachers_first_then_the_likeliest_arms(snapshot, words):
    models = evaluated_of(snapshot)
    figures = trust_figures(models, ["mixup", "classic"], "classic")
    heads = [
        word for word in words(figures["linearity"]["wide"]) if word in ("teacher resnet", "mixup", "classic", "kd T=2")
    ]
    assert heads == ["teacher resnet", "mixup", "classic", "kd T=2"]
    assert len(figures["gains"]) == 2
    assert any("+" in word or "−" in word for word in words(figures["gains"][0].svg))
    for corruption in ("fog", "jpeg", "gaussian noise"):
        assert corruption in words(figures["gains"][1].svg)
        assert corruption in words(figures["severities"]["wide"])
    assert set(NAMES) <= set(words(figures["maps"]["wide"]))


def test_most_models_are_drawn_at_most_and_none_is_no_figure(snapshot):
    nothing = {"linearity": None, "gains": [], "severities": None, "maps": None}
    assert trust_figures([], [], "classic") == nothing
    models = evaluated_of(snapshot)
    assert trust_figures(models * 3, [], "")["gains"] is not None
    assert MOST_MODELS == 6


def test_the_page_has_a_section_of_evaluations_and_says_it_in_the_answer(snapshot):
    page = page_of(findings_of(snapshot))
    assert '<section id="trust">' in page
    assert page.count("On corrupted images ") == 2
    assert "Students of mixup distillation are more linear" in page
    assert "generated here" in page
