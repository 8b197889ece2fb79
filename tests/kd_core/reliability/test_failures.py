import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from kd_core.measure.selective import area_under_generalized_risk_coverage
from kd_core.reliability.failures import FAILURES, MEASURES
from tests.kd_core.reliability.models import CLASSES, LABELS, assert_finite, changed, figures, metrics, model


def read(logits, temperature):
    """Confidence and correctness [N]."""
    probabilities = softmax(logits.astype(np.float64) / temperature, axis=1)
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == LABELS


def test_every_measure_is_of_clean_and_corrupted_images_in_both_readings():
    ours = figures(FAILURES, model(), model(1))
    endings = [kind + suffix for kind in ("", "_corrupted") for suffix in ("", "_scaled")]
    assert set(metrics(ours)) == {f"failures/{name}{ending}" for name in MEASURES for ending in endings} == set(ours)
    assert FAILURES.objectives.keys() <= ours.keys()


@pytest.mark.parametrize(("suffix", "temperature"), [("", 1.0), ("_scaled", 3.0)])
def test_figures_are_means_over_corruptions_and_severities(suffix, temperature):
    student = model(temperature=3.0)
    ours = figures(FAILURES, student)
    confidence, correct = read(student.outputs["clean"].logits, temperature)
    assert ours[f"failures/auroc{suffix}"] == pytest.approx(roc_auc_score(correct, confidence))
    cells = [read(logits, temperature) for logits in student.outputs["corrupted"].logits.reshape(6, 60, CLASSES)]
    expected = np.mean([area_under_generalized_risk_coverage(*cell) for cell in cells])
    assert ours[f"failures/augrc_corrupted{suffix}"] == pytest.approx(expected)
    expected = np.mean([roc_auc_score(*cell[::-1]) for cell in cells])
    assert ours[f"failures/auroc_corrupted{suffix}"] == pytest.approx(expected)


def test_a_model_without_an_error_has_no_rate_of_accepted_errors():
    perfect = changed(model(), "clean", 9 * np.eye(CLASSES)[LABELS])
    ours = figures(FAILURES, perfect)
    assert "failures/auroc" not in ours
    assert "failures/fpr95_scaled" not in ours
    assert ours["failures/augrc"] == ours["failures/excess_aurc"] == 0
    cells = perfect.outputs["corrupted"].logits.copy()
    cells[0, 0] = 9 * np.eye(CLASSES)[LABELS]
    assert_finite(figures(FAILURES, changed(perfect, "corrupted", cells)))


def test_huge_logits_give_finite_figures():
    assert_finite(figures(FAILURES, model(scale=1e5, temperature=0.05)))
