from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax

from tests.kd_core.methods.samples import NUM, batch, in_every_setting, kl, logits, loss_and_formula, loss_of


def formula(student, teacher, temperature, label, target=1.0, nontarget=8.0):
    loss = 0.0
    for label_class, weight in enumerate(label):
        parts = [(p[label_class], 1 - p[label_class]) for p in (softmax(x / temperature) for x in (teacher, student))]
        others = [softmax(np.delete(x, label_class) / temperature) for x in (teacher, student)]
        loss += weight * temperature**2 * (target * kl(*parts) + nontarget * kl(*others))
    return loss


@in_every_setting
def test_dkd_equals_its_formula(temperature, mixed):
    loss, expected = loss_and_formula("dkd", formula, temperature, mixed)
    assert loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("option", "value"), [("target", 0.5), ("nontarget", 2.0)])
def test_the_weights_of_dkd_reach_its_loss(option, value):
    loss, expected = loss_and_formula("dkd", formula, 4.0, **{option: value})
    assert loss == pytest.approx(expected, rel=1e-6)


def test_a_class_of_no_weight_to_speak_of_is_no_target_of_dkd():
    student, teacher, hard = logits(0), logits(1), batch(mixed=False)
    plain = float(loss_of("dkd", student, teacher, images=hard))
    for weight in (1e-20, 1e-9):
        nearly = replace(hard, mixup_lambda=torch.full((NUM,), weight), labels=hard.partner_labels)
        nearly = replace(nearly, partner_labels=hard.labels)
        assert float(loss_of("dkd", student, teacher, images=nearly)) == pytest.approx(plain, rel=1e-6)
