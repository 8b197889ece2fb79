from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score

from kd_core.reliability.ood import OOD
from tests.kd_core.reliability.models import assert_finite, changed, figures, metrics, model


@pytest.mark.parametrize(("suffix", "temperature"), [("", 1.0), ("_scaled", 3.0)])
def test_clean_images_should_score_higher(suffix, temperature):
    student = model(temperature=3.0)
    logits = np.concatenate([student.outputs[name].logits for name in ("clean", "outside")]).astype(np.float64)
    inside, ours = np.arange(120) < 60, figures(OOD, student)
    confidence = softmax(logits / temperature, axis=1).max(axis=1)
    energy = temperature * logsumexp(logits / temperature, axis=1)
    assert ours[f"ood/auroc{suffix}"] == pytest.approx(roc_auc_score(inside, confidence))
    assert ours[f"ood/auroc_energy{suffix}"] == pytest.approx(roc_auc_score(inside, energy))


def test_images_that_leave_a_model_cold_are_told_apart():
    student = changed(model(), "outside", np.zeros((60, 4)))
    ours = figures(OOD, student)
    assert (ours["ood/auroc"], ours["ood/fpr95"], ours["ood/fpr95_scaled"]) == (1, 0, 0)
    assert set(metrics(ours)) == set(ours) > set(OOD.objectives)
    assert len(ours) == 8


def test_without_such_images_nothing_is_asked():
    student = model()
    outputs = {name: outputs for name, outputs in student.outputs.items() if name != "outside"}
    assert figures(OOD, replace(student, outputs=outputs)) == {}


def test_huge_logits_give_finite_figures():
    assert_finite(figures(OOD, model(scale=1e5, temperature=0.05)))
