import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch.nn.functional import cross_entropy

from kd_core.methods.hard import hard_label_loss
from tests.kd_core.methods.samples import NUM, batch, label_of, logits, swapped


def test_the_hard_label_loss_is_cross_entropy_with_the_mixed_one_hot_target():
    student, target = logits(0), np.stack([label_of(sample) for sample in range(NUM)])
    expected = -(target * log_softmax(student.numpy(), axis=1)).sum(axis=1).mean()
    assert float(hard_label_loss(student, batch())) == pytest.approx(expected, rel=1e-6)


def test_the_hard_label_loss_does_not_change_when_the_pair_is_swapped():
    first, second = (float(hard_label_loss(logits(0), images)) for images in (batch(), swapped(batch())))
    assert first == pytest.approx(second, rel=1e-6)


def test_huge_logits_give_a_finite_hard_label_loss():
    student = (1e4 * logits(0).sign()).requires_grad_()
    loss = hard_label_loss(student, batch())
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_where_every_image_has_a_label_the_loss_is_that_of_torch_bit_for_bit(smoothing):
    student, images = logits(0).float(), batch()
    own, partner = (
        cross_entropy(student, labels, reduction="none", label_smoothing=smoothing)
        for labels in (images.labels, images.partner_labels)
    )
    expected = (images.mixup_lambda * own + (1 - images.mixup_lambda) * partner).mean()
    assert torch.equal(hard_label_loss(student, images, smoothing), expected)


def test_label_smoothing_mixes_in_the_uniform_label():
    student, everything = logits(0), batch()
    plain = hard_label_loss(student, everything)
    uniform = -torch.log_softmax(student, dim=1).mean()
    smoothed = hard_label_loss(student, everything, label_smoothing=0.1)
    torch.testing.assert_close(smoothed, 0.9 * plain + 0.1 * uniform)
