import numpy as np
import pytest
import torch
from scipy.special import softmax

from kd_core.methods.terms import SIGMA_FLOOR, divergence, label_distribution, over_the_pair, rescaled, wide
from tests.kd_core.methods.samples import CLASSES, NUM, batch, kl, label_of, logits, loss_of


def test_only_what_is_narrower_than_float32_is_widened():
    kinds = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float64: torch.float64}
    assert {kind: wide(logits(0).to(kind)).dtype for kind in kinds} == kinds


def test_the_divergence_of_a_sample_is_that_of_its_distributions():
    student, teacher = logits(0), logits(1)
    slow = [kl(*pair) for pair in zip(softmax(teacher.numpy(), axis=1), softmax(student.numpy(), axis=1), strict=True)]
    np.testing.assert_allclose(divergence(student, teacher).numpy(), slow, rtol=1e-9)


@pytest.mark.parametrize("mixed", [True, False])
def test_a_mixed_label_has_the_weights_of_both_classes(mixed):
    slow = np.stack([label_of(sample, mixed) for sample in range(NUM)])
    np.testing.assert_allclose(label_distribution(batch(mixed), CLASSES).numpy(), slow)


def test_the_loss_of_a_pair_weighs_both_labels():
    whole = batch()
    expected = (whole.mixup_lambda * whole.labels + (1 - whole.mixup_lambda) * whole.partner_labels).mean()
    assert float(over_the_pair(lambda labels: labels, whole)) == pytest.approx(float(expected))


def test_sigma_gives_every_row_unit_deviation():
    np.testing.assert_allclose(rescaled(logits(0)).numpy().std(axis=1), 1, rtol=1e-7)


def slow_deviation_loss(student, teacher, method):
    """The loss with a deviation of at least SIGMA_FLOOR, in float64 and sample by sample."""
    values = []
    for row, target in zip(student, teacher, strict=True):
        p, q = (x / torch.clamp(x.var(correction=0).sqrt(), min=SIGMA_FLOOR) for x in (row, target))
        scale = 1.0 if method == "sigma" else 2.0
        log_p, log_q = torch.log_softmax(p / scale, dim=0), torch.log_softmax(q / scale, dim=0)
        values.append(scale**2 * (log_q.exp() * (log_q - log_p)).sum())
    return torch.stack(values).mean()


@pytest.mark.parametrize("method", ["sigma", "zscore"])
@pytest.mark.parametrize("deviation", [0.0, 1e-7, 1e-5, 1e-3, 1e-2, 1.0, 1e3])
def test_nearly_constant_logits_have_moderate_gradients(method, deviation):
    teacher = logits(1).float()
    student = (2.0 + deviation * logits(0, scale=1.0)).float().requires_grad_()
    name, temperature = {"sigma": ("kd", "sigma"), "zscore": ("zscore", 2.0)}[method]
    loss_of(name, student, teacher, temperature).backward()
    slow = student.detach().double().requires_grad_()
    slow_deviation_loss(slow, teacher.double(), method).backward()
    largest = max(1.0, 1 / max(deviation, SIGMA_FLOOR))
    assert student.grad.abs().max() <= 2 * largest / NUM
    if deviation > 0:  # at exactly 0 the deviation has no derivative
        torch.testing.assert_close(student.grad.double(), slow.grad, rtol=2e-3, atol=2e-5 * largest)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
def test_the_floor_of_the_deviation_leaves_ordinary_logits_alone_bit_for_bit(scale):
    ordinary = logits(0, scale=scale).float()
    before = ordinary / (ordinary.std(dim=1, correction=0, keepdim=True) + 1e-8)
    assert torch.equal(rescaled(ordinary), before)
