from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from kd_core.config.methods import Method
from kd_core.methods.losses import METHODS, distillation_loss, hard_label_loss, rescaled, trial_loss
from kd_core.stream.vicinal import VicinalBatch

TEMPERATURES = [0.5, 1.0, 2.0, 10.0, "sigma"]


def random_logits(seed: int, scale: float = 3.0, num: int = 12, classes: int = 7) -> torch.Tensor:
    return scale * torch.randn(num, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixed_batch(num: int = 12, classes: int = 7) -> VicinalBatch:
    generator = torch.Generator().manual_seed(5)
    labels, partners = (torch.randint(0, classes, (num,), generator=generator) for _ in range(2))
    return VicinalBatch(torch.zeros(num, 3, 1, 1), labels, partners, torch.rand(num, generator=generator))


def reference_distillation(student: np.ndarray, teacher: np.ndarray, temperature: float | str) -> float:
    if temperature == "sigma":
        student, teacher = student / student.std(axis=1)[:, None], teacher / teacher.std(axis=1)[:, None]
        factor, scale = 1.0, 1.0
    else:
        factor, scale = temperature**2, temperature
    p, log_p = softmax(teacher / scale, axis=1), log_softmax(teacher / scale, axis=1)
    return float(factor * (p * (log_p - log_softmax(student / scale, axis=1))).sum(axis=1).mean())


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_distillation_equals_its_formula(temperature):
    student, teacher = random_logits(0), random_logits(1)
    ours = distillation_loss(student, teacher, temperature)
    assert float(ours) == pytest.approx(reference_distillation(student.numpy(), teacher.numpy(), temperature), rel=1e-6)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_student_equal_to_its_teacher_has_no_loss_and_no_gradient(temperature):
    student = random_logits(0).requires_grad_()
    loss = distillation_loss(student, student.detach(), temperature)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize("temperature", TEMPERATURES)
@given(seed=st.integers(0, 1000), shift=st.floats(-100, 100))
def test_distillation_is_never_negative_and_ignores_a_shift_of_the_logits(temperature, seed, shift):
    student, teacher = random_logits(seed), random_logits(seed + 1)
    loss = float(distillation_loss(student, teacher, temperature))
    assert loss >= 0
    assert float(distillation_loss(student + shift, teacher - shift, temperature)) == pytest.approx(loss, rel=1e-6)


@given(seed=st.integers(0, 1000), student_scale=st.floats(0.01, 100), teacher_scale=st.floats(0.01, 100))
def test_sigma_ignores_the_scale_of_either_side(seed, student_scale, teacher_scale):
    student, teacher = random_logits(seed), random_logits(seed + 1)
    scaled = distillation_loss(student_scale * student, teacher_scale * teacher, "sigma")
    assert float(scaled) == pytest.approx(float(distillation_loss(student, teacher, "sigma")), rel=1e-4)


def test_sigma_gives_every_row_unit_deviation():
    np.testing.assert_allclose(rescaled(random_logits(0)).numpy().std(axis=1), 1, rtol=1e-7)


def test_a_hot_temperature_matches_zero_mean_logits():
    """Hinton 2015: T²·KL → Σ(v_s − v_t)²/2K, whose gradient (v_s − v_t)/K does not depend on T."""
    student, teacher = random_logits(0).requires_grad_(), random_logits(1)
    loss = distillation_loss(student, teacher, 1e4)
    loss.backward()
    difference = (student - teacher - (student - teacher).mean(dim=1, keepdim=True)).detach()
    num, classes = difference.shape
    assert float(loss.detach()) == pytest.approx(float(difference.square().sum() / (2 * classes * num)), rel=1e-2)
    torch.testing.assert_close(student.grad, difference / (classes * num), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("kind", ["huge", "one-hot", "constant"])
def test_extreme_logits_give_a_finite_loss_and_gradient(temperature, kind):
    generator = torch.Generator().manual_seed(0)
    teacher = {
        "huge": 1e4 * torch.randint(-1, 2, (8, 5), generator=generator).float(),
        "one-hot": 6e4 * torch.eye(5)[torch.arange(8) % 5],
        "constant": torch.full((8, 5), 3.0),
    }[kind]
    for logits in (-teacher.flip(0), torch.randn(8, 5, generator=generator), torch.full((8, 5), 2.0)):
        student = logits.clone().requires_grad_()
        loss = distillation_loss(student, teacher, temperature)
        loss.backward()
        assert loss.isfinite()
        assert student.grad.isfinite().all()


def test_the_hard_label_loss_is_cross_entropy_with_the_mixed_one_hot_target():
    student, batch = random_logits(0), mixed_batch()
    share, one_hot = batch.mixup_lambda.double().numpy()[:, None], np.eye(7)
    target = share * one_hot[batch.labels] + (1 - share) * one_hot[batch.partner_labels]
    expected = -(target * log_softmax(student.numpy(), axis=1)).sum(axis=1).mean()
    assert float(hard_label_loss(student, batch)) == pytest.approx(expected, rel=1e-6)


def test_the_hard_label_loss_does_not_change_when_the_pair_is_swapped():
    student, batch = random_logits(0), mixed_batch()
    swapped = VicinalBatch(batch.images, batch.partner_labels, batch.labels, 1 - batch.mixup_lambda)
    assert float(hard_label_loss(student, batch)) == pytest.approx(float(hard_label_loss(student, swapped)), rel=1e-6)


def test_huge_logits_give_a_finite_hard_label_loss():
    student = (1e4 * random_logits(0).sign()).requires_grad_()
    loss = hard_label_loss(student, mixed_batch())
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("method", ["kd", "kd_mixup"])
@pytest.mark.parametrize("temperature", [4.0, "sigma"])
@pytest.mark.parametrize(("alpha", "beta"), [(0, None), (0.2, None), (0.2, 3), (1, None)])
def test_a_trial_weighs_labels_by_alpha_and_the_teacher_by_beta(trial, method, temperature, alpha, beta):
    student, teacher, batch = random_logits(0).float(), random_logits(1).float(), mixed_batch()
    config = trial(method, temperature=temperature, alpha=alpha, beta=beta)
    soft, hard = distillation_loss(student, teacher, temperature), hard_label_loss(student, batch)
    weight = 1 - alpha if beta is None else beta
    assert float(trial_loss(student, teacher, batch, config)) == pytest.approx(
        float(alpha * hard + weight * soft), rel=1e-6
    )


@pytest.mark.parametrize("method", ["classic", "mixup"])
def test_a_method_without_teacher_minimises_the_hard_label_loss(trial, method):
    student, batch = random_logits(0), mixed_batch()
    assert float(trial_loss(student, None, batch, trial(method))) == float(hard_label_loss(student, batch))


def test_distilling_without_teacher_logits_is_refused(trial):
    with pytest.raises((ValueError, TypeError, AssertionError)):
        trial_loss(random_logits(0), None, mixed_batch(), trial("kd", alpha=0.2))


def test_half_precision_logits_are_widened():
    student, teacher = random_logits(0, scale=8).half(), random_logits(1, scale=8).half()
    expected = reference_distillation(student.double().numpy(), teacher.double().numpy(), 2.0)
    assert float(distillation_loss(student, teacher, 2.0)) == pytest.approx(expected, rel=1e-5)


def test_every_method_of_a_config_has_a_loss():
    assert list(METHODS) == list(get_args(Method))
