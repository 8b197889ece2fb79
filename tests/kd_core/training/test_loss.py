from dataclasses import replace

import pytest
import torch

from kd_core.methods.dus import dus_loss
from kd_core.methods.hard import hard_label_loss
from kd_core.methods.registry import METHODS
from kd_core.training.loss import trial_loss
from tests.kd_core.methods.samples import batch, logits, loss_of


@pytest.mark.parametrize("method", ["kd", "kd_mixup"])
@pytest.mark.parametrize("temperature", [4.0, "sigma"])
@pytest.mark.parametrize(("alpha", "beta"), [(0, None), (0.2, None), (0.2, 3), (1, None)])
def test_a_trial_weighs_labels_by_alpha_and_the_teacher_by_beta(trial, method, temperature, alpha, beta):
    student, teacher = logits(0).float(), logits(1).float()
    config = trial(method, temperature=temperature, alpha=alpha, beta=beta)
    soft, hard = loss_of(method, student, teacher, temperature), hard_label_loss(student, batch())
    weight = 1 - alpha if beta is None else beta
    assert float(trial_loss(student, teacher, batch(), config)) == pytest.approx(
        float(alpha * hard + weight * soft), rel=1e-6
    )


@pytest.mark.parametrize("method", [name for name, method in METHODS.items() if not method.teacherless])
def test_temperature_and_options_reach_the_loss_of_the_method(trial, method):
    student, teacher, model = logits(0), logits(1), METHODS[method].options
    options = dict.fromkeys(model.model_fields, 0.25) if model is not None else {}
    config = trial(method, temperature=3, alpha=0, beta=1, **({method: options} if options else {}))
    expected = loss_of(method, student, teacher, 3.0, **options)
    assert float(trial_loss(student, teacher, batch(), config)) == float(expected)


@pytest.mark.parametrize("method", ["classic", "mixup"])
def test_a_method_without_teacher_minimises_the_hard_label_loss(trial, method):
    student = logits(0)
    assert float(trial_loss(student, None, batch(), trial(method))) == float(hard_label_loss(student, batch()))


def test_the_recipe_says_which_loss_the_hard_labels_have(trial):
    student = logits(0)
    smoothed, dus = (trial("mixup", train=train) for train in ({"label_smoothing": 0.1}, {"uncertainty": "dus"}))
    assert float(trial_loss(student, None, batch(), smoothed)) == float(hard_label_loss(student, batch(), 0.1))
    assert float(trial_loss(student, None, batch(), dus)) == float(dus_loss(student, batch()))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_images_without_a_label_have_the_teacher_s_part_and_the_labelled_share_of_the_other(trial, smoothing):
    student, teacher, images = logits(0), logits(1), batch()
    own, partner = torch.tensor([0, -1, 2, -1, 4, 5, -1, 1]), torch.tensor([1, 0, -1, -1, 0, 3, -1, -1])
    shares = (images.mixup_lambda, own), (1 - images.mixup_lambda, partner)
    log_probabilities = student.log_softmax(dim=1)
    hard = sum(
        float(share[row]) * -float((1 - smoothing) * log_probabilities[row, label[row]])
        - float(share[row]) * smoothing * float(log_probabilities[row].mean())
        for share, label in shares
        for row in range(len(student))
        if label[row] >= 0
    ) / len(student)
    config = trial("kd_mixup", temperature=2, alpha=0.2, train={"label_smoothing": smoothing})
    loss = trial_loss(student, teacher, replace(images, labels=own, partner_labels=partner), config)
    assert float(loss) == pytest.approx(0.2 * hard + 0.8 * float(loss_of("kd", student, teacher, 2.0)), rel=1e-6)


def test_distilling_without_teacher_logits_is_refused(trial):
    with pytest.raises((ValueError, TypeError, AssertionError)):
        trial_loss(logits(0), None, batch(), trial("kd", alpha=0.2))
