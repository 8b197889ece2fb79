import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from kd_core.methods.fusion import fused_logits, fused_loss
from kd_core.methods.registry import METHODS
from tests.kd_core.methods.samples import batch, kl, logits

RULES = ("mean", "confidence", "entropy")
MEMBERS = (1, 2, 3)
DISTILLING = [name for name, method in METHODS.items() if not method.teacherless]
in_every_rule = pytest.mark.parametrize("rule", RULES)


def members(scale: float = 3.0) -> torch.Tensor:
    """Three teachers, of which one is surer than the others, float64 [3, B, K]."""
    return torch.stack([logits(seed, scale * seed) for seed in MEMBERS])


def average(probabilities: list[np.ndarray], rule: str) -> np.ndarray:
    """The fused probabilities [K] of one image, from those of each member, the slow way."""
    weights = {
        "mean": [1.0 for _ in probabilities],
        "confidence": [each.max() for each in probabilities],
        "entropy": [1 / entropy(each) for each in probabilities],
    }[rule]
    return sum(weight * each for weight, each in zip(weights, probabilities, strict=True)) / sum(weights)


def fused(teachers: torch.Tensor, rule: str, scaled) -> list[np.ndarray]:
    """The fused probabilities of each image; scaled makes of a member's logits those whose softmax is averaged."""
    by_image = teachers.numpy().transpose(1, 0, 2)
    return [average([softmax(scaled(each)) for each in image], rule) for image in by_image]


def loss(name: str, student, teachers, rule, temperature, **options) -> torch.Tensor:
    method = METHODS[name]
    given_options = method.options(**options) if method.options is not None else None
    return fused_loss(method, student, teachers, rule, batch(), temperature, given_options)


@in_every_rule
@pytest.mark.parametrize("temperature", [1.0, 2.0, 8.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
def test_fused_logits_at_a_temperature_have_the_average_of_the_members_probabilities(rule, temperature, dtype):
    teachers = members().to(dtype)
    found = fused_logits(teachers, rule, temperature)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    expected = fused(teachers.double(), rule, lambda each: each / temperature)
    accuracy = {"rtol": 1e-12, "atol": 0} if dtype == torch.float64 else {"rtol": 2e-5, "atol": 1e-12}
    np.testing.assert_allclose((found.double() / temperature).softmax(dim=1).numpy(), expected, **accuracy)


@in_every_rule
@pytest.mark.parametrize("temperature", [1.0, 2.0, 8.0])
@pytest.mark.parametrize("name", ["kd", "kd_mixup"])
def test_knowledge_distillation_from_fused_teachers_equals_its_formula(rule, temperature, name):
    student = logits(0)
    targets = fused(members(), rule, lambda each: each / temperature)
    pairs = zip(targets, student.numpy(), strict=True)
    expected = np.mean([temperature**2 * kl(target, softmax(own / temperature)) for target, own in pairs])
    assert float(loss(name, student, members(), rule, temperature)) == pytest.approx(expected, rel=1e-9)


@in_every_rule
def test_with_sigma_each_member_is_divided_by_its_own_deviation_and_the_average_by_none(rule):
    student, scaled = logits(0), lambda each: each / each.std()
    pairs = zip(fused(members(), rule, scaled), student.numpy(), strict=True)
    expected = np.mean([kl(target, softmax(scaled(own))) for target, own in pairs])
    assert float(loss("kd", student, members(), rule, "sigma")) == pytest.approx(expected, rel=1e-6)


@in_every_rule
@pytest.mark.parametrize("temperature", [1.0, 2.0, 8.0])
def test_zscore_standardises_each_member_and_not_the_average(rule, temperature):
    student, scaled = logits(0), lambda each: (each - each.mean()) / each.std() / temperature
    pairs = zip(fused(members(), rule, scaled), student.numpy(), strict=True)
    expected = np.mean([temperature**2 * kl(target, softmax(scaled(own))) for target, own in pairs])
    assert float(loss("zscore", student, members(), rule, temperature)) == pytest.approx(expected, rel=1e-6)


@in_every_rule
@pytest.mark.parametrize("name", DISTILLING)
def test_the_fusion_of_one_member_is_that_member_to_the_last_bit(rule, name):
    method, student = METHODS[name], logits(0).float()
    for temperature in [2.0, 4.0] + ["sigma"] * method.takes_sigma:
        options = method.options() if method.options else None
        alone = method.loss(student, members()[0].float(), batch(), temperature, options)
        assert torch.equal(loss(name, student, members()[:1].float(), rule, temperature), alone)


@in_every_rule
@pytest.mark.parametrize("name", DISTILLING)
def test_members_that_agree_teach_what_each_would_alone(rule, name):
    method, student = METHODS[name], logits(0)
    teachers = logits(1).expand(3, -1, -1)
    for temperature in [2.0, 4.0] + ["sigma"] * method.takes_sigma:
        options = method.options() if method.options else None
        alone = method.loss(student, teachers[0], batch(), temperature, options)
        assert float(loss(name, student, teachers, rule, temperature)) == pytest.approx(float(alone), rel=1e-9)


@pytest.mark.parametrize("rule", ["confidence", "entropy"])
def test_a_surer_member_weighs_more(rule):
    sure, unsure = torch.tensor([[6.0, 0, 0]]), torch.tensor([[0.0, 1, 0]])
    plain, weighted = (fused_logits(torch.stack([sure, unsure]), each, 1.0).softmax(dim=1) for each in ("mean", rule))
    assert weighted[0, 0] > plain[0, 0]


@given(
    st.sampled_from(RULES),
    st.lists(st.lists(st.floats(-65504, 65504, width=16), min_size=4, max_size=4), min_size=2, max_size=4),
    st.sampled_from([0.5, 1.0, 8.0]),
)
def test_whatever_fits_a_stored_signal_makes_finite_logits_of_a_distribution(rule, values, temperature):
    found = fused_logits(torch.tensor(values)[:, None, :], rule, temperature)
    assert found.isfinite().all()
    torch.testing.assert_close((found / temperature).logsumexp(dim=1), torch.zeros(1), rtol=0, atol=1e-4)
