import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from tests.kd_core.methods.samples import batch, logits, loss_of

TEMPERATURES = [0.5, 1.0, 2.0, 4.0, 10.0, "sigma"]


def formula(student: np.ndarray, teacher: np.ndarray, temperature: float | str) -> float:
    if temperature == "sigma":
        student, teacher = student / student.std(axis=1)[:, None], teacher / teacher.std(axis=1)[:, None]
        factor, scale = 1.0, 1.0
    else:
        factor, scale = temperature**2, temperature
    p, log_p = softmax(teacher / scale, axis=1), log_softmax(teacher / scale, axis=1)
    return float(factor * (p * (log_p - log_softmax(student / scale, axis=1))).sum(axis=1).mean())


@pytest.mark.parametrize("mixed", [True, False], ids=["mixed", "unmixed"])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("method", ["kd", "kd_mixup"])
def test_distillation_equals_its_formula(method, temperature, mixed):
    student, teacher = logits(0), logits(1)
    ours = loss_of(method, student, teacher, temperature, batch(mixed))
    assert float(ours) == pytest.approx(formula(student.numpy(), teacher.numpy(), temperature), rel=1e-6)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_a_student_equal_to_its_teacher_has_no_loss_and_no_gradient(temperature):
    student = logits(0).requires_grad_()
    loss = loss_of("kd", student, student.detach(), temperature)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize("temperature", TEMPERATURES)
@given(seed=st.integers(0, 1000), shift=st.floats(-100, 100))
def test_distillation_is_never_negative_and_ignores_a_shift_of_the_logits(temperature, seed, shift):
    student, teacher = logits(seed), logits(seed + 1)
    loss = float(loss_of("kd", student, teacher, temperature))
    assert loss >= 0
    assert float(loss_of("kd", student + shift, teacher - shift, temperature)) == pytest.approx(loss, rel=1e-6)


@given(seed=st.integers(0, 1000), student_scale=st.floats(0.01, 100), teacher_scale=st.floats(0.01, 100))
def test_sigma_ignores_the_scale_of_either_side(seed, student_scale, teacher_scale):
    student, teacher = logits(seed), logits(seed + 1)
    scaled = loss_of("kd", student_scale * student, teacher_scale * teacher, "sigma")
    assert float(scaled) == pytest.approx(float(loss_of("kd", student, teacher, "sigma")), rel=1e-4)


def test_a_hot_temperature_matches_zero_mean_logits():
    """Hinton 2015: T²·KL → Σ(v_s − v_t)²/2K, whose gradient (v_s − v_t)/K does not depend on T."""
    student, teacher = logits(0).requires_grad_(), logits(1)
    loss = loss_of("kd", student, teacher, 1e4)
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
    for values in (-teacher.flip(0), torch.randn(8, 5, generator=generator), torch.full((8, 5), 2.0)):
        student = values.clone().requires_grad_()
        loss = loss_of("kd", student, teacher, temperature)
        loss.backward()
        assert loss.isfinite()
        assert student.grad.isfinite().all()


def test_half_precision_logits_are_widened():
    student, teacher = logits(0, scale=8).half(), logits(1, scale=8).half()
    expected = formula(student.double().numpy(), teacher.double().numpy(), 2.0)
    assert float(loss_of("kd", student, teacher, 2.0)) == pytest.approx(expected, rel=1e-5)
