import numpy as np
import pytest
import torch
from scipy.special import softmax

from kd_core.methods.cud import CudConfig, clipped_teacher
from tests.kd_core.methods.samples import CLASSES, NUM, batch, in_every_setting, kl, logits, loss_and_formula


def formula(student, teacher, temperature, label, share=0.5, margin=1.0):
    target, top = softmax(teacher / temperature), int(np.argmax(teacher))
    if label[top] == 0:
        moved = min(share * target[top], margin * (target[top] - (label * target).sum()))
        target = target + moved * label
        target[top] -= moved
    return temperature**2 * kl(target, softmax(student / temperature))


@in_every_setting
def test_cud_equals_its_formula(temperature, mixed):
    loss, expected = loss_and_formula("cud", formula, temperature, mixed)
    assert loss == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("option", "value"), [("share", 0.2), ("margin", 0.3)])
def test_the_limits_of_cud_reach_its_loss(option, value):
    loss, expected = loss_and_formula("cud", formula, 2.0, **{option: value})
    assert loss == pytest.approx(expected, rel=1e-6)


def test_the_clipped_teacher_is_a_distribution_that_is_right_where_it_was_wrong():
    teacher, everything = logits(1), batch(mixed=False)
    clipped = clipped_teacher(teacher, everything, 1.0, CudConfig(share=1.0, margin=1.0))
    torch.testing.assert_close(clipped.sum(dim=1), torch.ones(NUM, dtype=torch.float64))
    assert (clipped >= 0).all()
    label_probability = clipped.gather(1, everything.labels[:, None])[:, 0]
    before = torch.softmax(teacher, dim=1).gather(1, everything.labels[:, None])[:, 0]
    assert (label_probability >= before - 1e-12).all()
    right = teacher.argmax(dim=1) == everything.labels
    assert (~right).any()
    torch.testing.assert_close(clipped[right], torch.softmax(teacher, dim=1)[right])


def test_the_teacher_of_a_mixed_image_is_wrong_only_where_it_sees_neither_class():
    teacher = torch.zeros(NUM, CLASSES, dtype=torch.float64)
    mixed = batch()
    teacher[torch.arange(NUM), mixed.partner_labels] = 5.0
    clipped = clipped_teacher(teacher, mixed, 1.0, CudConfig(share=0.5, margin=1.0))
    changed = (clipped - torch.softmax(teacher, dim=1)).abs().sum(dim=1) > 1e-9
    assert changed.tolist() == (mixed.mixup_lambda == 1).tolist()
