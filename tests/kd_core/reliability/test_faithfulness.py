from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from kd_core.reliability.evaluator import Outputs
from kd_core.reliability.faithfulness import FAITHFULNESS
from tests.kd_core.reliability.models import CLASSES, IMAGES, LABELS, assert_finite, changed, figures, metrics, model

KINDS = ("", "_mixed", "_near", "_corrupted")


def test_a_teacher_has_nothing_to_be_faithful_to():
    assert figures(FAITHFULNESS, model()) == {}


def test_a_student_equal_to_its_teacher_is_faithful():
    ours = figures(FAITHFULNESS, model(), model())
    for kind in KINDS:
        assert ours[f"faithfulness/agreement{kind}"] == 1
        assert ours[f"faithfulness/confidence_difference{kind}"] == 0
        assert ours[f"faithfulness/confidence_difference{kind}_scaled"] == 0
    assert ours["faithfulness/log_odds_slope"] == pytest.approx(1)
    assert ours["faithfulness/log_odds_correlation_scaled"] == pytest.approx(1)
    np.testing.assert_array_equal(ours["student_log_odds"], ours["teacher_log_odds"])
    assert len(metrics(ours)) == 4 * 3 + 4


@pytest.mark.parametrize(("suffix", "scales"), [("", (1.0, 1.0)), ("_scaled", (1.5, 0.7))])
def test_figures_equal_their_definitions(suffix, scales):
    student, teacher = model(0, temperature=1.5), model(1, temperature=0.7)
    ours = figures(FAITHFULNESS, student, teacher)

    def compared(name, rows=slice(None), first=slice(None)):
        logits = [each.outputs[name].logits[first][..., rows, :].astype(np.float64) for each in (student, teacher)]
        said = [softmax(z / scale, axis=-1) for z, scale in zip(logits, scales, strict=True)]
        same = said[0].argmax(axis=-1) == said[1].argmax(axis=-1)
        return same, np.abs(said[0].max(axis=-1) - said[1].max(axis=-1))

    right = [each.outputs["clean"].logits.argmax(axis=1) == LABELS for each in (student, teacher)]
    sets = {"": compared("clean"), "_mixed": compared("mixed", first=slice(1, -1)), "_corrupted": compared("corrupted")}
    sets["_near"] = compared("near", rows=right[0] & right[1])
    for kind, (same, difference) in sets.items():
        assert ours[f"faithfulness/agreement{kind}"] == pytest.approx(same.mean())
        assert ours[f"faithfulness/confidence_difference{kind}{suffix}"] == pytest.approx(difference.mean())
    same, difference = sets["_corrupted"]
    np.testing.assert_allclose(ours["agreement_corrupted"], same.mean(axis=(1, 2)))
    np.testing.assert_allclose(ours[f"confidence_difference_corrupted{suffix}"], difference.mean(axis=(1, 2)))
    assert ours["corruption"].tolist() == ["fog", "contrast"]


@pytest.mark.parametrize(("suffix", "scales"), [("", (1.0, 1.0)), ("_scaled", (1.5, 0.7))])
def test_log_odds_are_of_the_class_that_the_teacher_predicts(suffix, scales):
    models = model(0, temperature=1.5), model(1, temperature=0.7)
    ours, predicted = figures(FAITHFULNESS, *models), models[1].outputs["clean"].logits.argmax(axis=1)
    odds = []
    for each, scale, name in zip(models, scales, ("student", "teacher"), strict=True):
        said = softmax(each.outputs["clean"].logits.astype(np.float64) / scale, axis=1)[np.arange(IMAGES), predicted]
        odds.append(np.log(said / (1 - said)))
        np.testing.assert_allclose(ours[f"{name}_log_odds{suffix}"], odds[-1], rtol=1e-4)
    assert ours[f"faithfulness/log_odds_slope{suffix}"] == pytest.approx(np.polyfit(odds[1], odds[0], 1)[0])
    assert ours[f"faithfulness/log_odds_correlation{suffix}"] == pytest.approx(np.corrcoef(odds)[0, 1])


def test_a_student_twice_as_sure_exaggerates_by_two():
    teacher = model(1)
    logits = teacher.outputs["clean"].logits[:, :2]  # of two classes the log-odds are the difference of the logits
    teacher, student = (
        changed(teacher, "clean", np.pad(z, ((0, 0), (0, 2)), constant_values=-1e6)) for z in (logits, 2 * logits)
    )
    ours = figures(FAITHFULNESS, student, teacher)
    assert ours["faithfulness/log_odds_slope"] == pytest.approx(2, rel=1e-5)
    np.testing.assert_allclose(ours["student_log_odds"], 2 * ours["teacher_log_odds"], rtol=1e-5)
    assert (ours["teacher_log_odds"] >= 0).all()


def test_a_scatter_has_500_images_at_most_the_same_for_both():
    labels = np.arange(700) % CLASSES
    student = model()
    clean, near = (Outputs(np.random.default_rng(0).normal(size=shape), labels) for shape in ((700, 4), (2, 700, 4)))
    student = replace(student, outputs={**student.outputs, "clean": clean, "near": near})
    ours = figures(FAITHFULNESS, student, student)
    assert ours["teacher_log_odds"].shape == ours["student_log_odds_scaled"].shape == (500,)
    assert ours["teacher_log_odds"].dtype == np.float32
    np.testing.assert_array_equal(ours["teacher_log_odds"], ours["student_log_odds"])


def test_figures_that_are_not_defined_are_left_out():
    wrong, same = changed(model(), "clean", np.eye(CLASSES)[(LABELS + 1) % CLASSES]), model(1)
    ours = figures(FAITHFULNESS, wrong, same)
    assert "faithfulness/agreement_near" not in ours
    ours = figures(FAITHFULNESS, same, changed(same, "clean", np.zeros((60, CLASSES))))
    assert "faithfulness/log_odds_slope" not in ours
    assert_finite(ours)


def test_huge_logits_give_finite_figures():
    assert_finite(figures(FAITHFULNESS, model(0, scale=1e5, temperature=0.05), model(1, scale=1e5)))
