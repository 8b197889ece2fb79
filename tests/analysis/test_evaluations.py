import numpy as np
import pytest

from analysis.drawing.page import page_of
from analysis.evaluations import evaluated_of
from analysis.findings import findings_of
from analysis.objectives import check_selecting, objectives_named
from analysis.snapshot import read_sweep
from analysis.text.exports import tables_of
from kd_core.reliability.registry import EVALUATORS
from kd_core.store.evaluation import ARRAYS
from tests.answers import write_answers


def test_what_was_not_evaluated_has_no_answers(make_sweep):
    assert evaluated_of(read_sweep(make_sweep(), "demo")) == []


def test_every_answer_of_a_sweep_is_read_with_who_it_is_about(make_sweep):
    store = make_sweep(unfinished=("mixup seed 1",))
    write_answers(store)
    models = evaluated_of(read_sweep(store, "demo"))
    assert [each.label for each in models[:3]] == ["teacher resnet", "classic seed 0", "classic seed 1"]
    assert "mixup seed 1" not in [each.label for each in models]
    teacher, *trials = models
    assert (teacher.arm, teacher.teacher) == ("", "resnet")
    last = trials[-1]
    assert (last.arm, last.teacher, last.method, last.temperature) == (
        *("kd_mixup resnet T=sigma alpha=0.2", "resnet", "kd_mixup", "sigma"),
    )
    for each in models:
        assert set(each.arrays) == set(EVALUATORS)
        assert ("linearity/gain" in each.metrics) == (each.teacher != "" and each.arm != "")
        assert each.array("corruption", "correct").shape == (6, 5, 40)
        assert each.array("corruption", "nothing") is each.array("nobody", "correct") is None


def test_a_damaged_answer_is_left_out(make_sweep):
    store = make_sweep()
    write_answers(store)
    path = store.evaluation("linearity-teacher-resnet").path / ARRAYS
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    teacher, *_ = evaluated_of(read_sweep(store, "demo"))
    assert teacher.arrays["linearity"] == {}
    assert teacher.arrays["corruption"]


def test_figures_of_corrupted_images_are_objectives_of_a_report(evaluated_store):
    snapshot = read_sweep(evaluated_store, "demo")
    objectives = objectives_named(["corruption/accuracy", "corruption/ece"])
    assert objectives == {"corruption/accuracy": "max", "corruption/ece": "min"}
    findings = findings_of(snapshot, objectives)
    points = findings.points
    assert list(findings.shipped.front.objectives) == ["corruption/accuracy", "corruption/ece_scaled"]
    models = [each for each in evaluated_of(snapshot) if each.arm == "mixup"]
    value = np.mean([each.metrics["corruption/accuracy"] for each in models])
    assert points.loc[points["arm"] == "mixup", "corruption/accuracy"].item() == pytest.approx(value)
    estimate = findings.validation.measured("corruption_accuracy", "mixup")
    assert estimate.low <= value <= estimate.high
    best = points.sort_values("corruption/accuracy").iloc[-1]
    assert best["on_front"]
    assert best["front_probability"] > 0
    page = page_of(findings)
    assert "corruption accuracy" in page
    assert "arms are judged by corrupted test images" in page
    assert tables_of(findings)["table4.csv"]


def test_an_objective_of_corrupted_images_needs_an_evaluation(make_sweep):
    snapshot = read_sweep(make_sweep(), "demo")
    with pytest.raises(ValueError, match="corruption/accuracy is not known of any arm; evaluate the sweep"):
        findings_of(snapshot, objectives_named(["corruption/accuracy"]))
    with pytest.raises(ValueError, match="is known once a sweep was evaluated; give it to kdsweep report"):
        check_selecting({"corruption/ece": "min"})
