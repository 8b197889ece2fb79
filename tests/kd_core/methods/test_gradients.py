"""Every method of distillation against an independent float64 computation of its formula, sample by sample."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from scipy.stats import entropy, pearsonr

from kd_core.config.methods import TEACHERLESS
from kd_core.methods import losses
from kd_core.stream.vicinal import VicinalBatch

NUM, CLASSES = 8, 6
DISTILLING = [name for name in losses.METHODS if name not in TEACHERLESS]
EQUAL_IS_ZERO = ["kd", "kd_mixup", "zscore", "dkd", "dist"]  # wttm and cud change the teacher before they compare


def logits(seed, scale=3.0):
    return scale * torch.randn(NUM, CLASSES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch(mixed=True):
    """Labels, partners (one of them the same class) and λ, with one unmixed sample."""
    labels, partners = torch.tensor([0, 1, 2, 3, 4, 5, 0, 1]), torch.tensor([1, 0, 2, 5, 0, 3, 4, 2])
    weight = torch.tensor([0.3, 0.7, 0.2, 1.0, 0.5, 0.9, 0.05, 0.6]) if mixed else torch.ones(NUM)
    return VicinalBatch(torch.zeros(NUM, 3, 1, 1), labels, partners, weight.double())


def label_of(sample, mixed):
    """The mixed label of a sample as a distribution, the slow way."""
    whole, label = batch(mixed), np.zeros(CLASSES)
    label[int(whole.labels[sample])] += float(whole.mixup_lambda[sample])
    label[int(whole.partner_labels[sample])] += 1 - float(whole.mixup_lambda[sample])
    return label


def kl(teacher, student):
    return float(entropy(teacher, student))


def zscore_reference(student, teacher, temperature, mixed):
    z = lambda x: (x - x.mean()) / x.std() / temperature  # noqa: E731
    return temperature**2 * kl(softmax(z(teacher)), softmax(z(student)))


def dkd_reference(student, teacher, temperature, mixed, label, target=1.0, nontarget=8.0):
    loss = 0.0
    for label_class, weight in enumerate(label):
        parts = [(p[label_class], 1 - p[label_class]) for p in (softmax(x / temperature) for x in (teacher, student))]
        others = [softmax(np.delete(x, label_class) / temperature) for x in (teacher, student)]
        loss += weight * temperature**2 * (target * kl(*parts) + nontarget * kl(*others))
    return loss


def wttm_reference(student, teacher, temperature, mixed):
    powers = softmax(teacher) ** (1 / temperature)
    return powers.sum() * kl(powers / powers.sum(), softmax(student))


def cud_reference(student, teacher, temperature, mixed, label, share=0.5, margin=1.0):
    target, top = softmax(teacher / temperature), int(np.argmax(teacher))
    if label[top] == 0:
        moved = min(share * target[top], margin * (target[top] - (label * target).sum()))
        target = target + moved * label
        target[top] -= moved
    return temperature**2 * kl(target, softmax(student / temperature))


def reference(method, student, teacher, temperature, mixed):
    student, teacher = student.numpy(), teacher.numpy()
    if method == "dist":
        p, q = softmax(student / temperature, axis=1), softmax(teacher / temperature, axis=1)
        rows = np.mean([1 - pearsonr(*pair)[0] for pair in zip(p, q, strict=True)])
        columns = np.mean([1 - pearsonr(*pair)[0] for pair in zip(p.T, q.T, strict=True)])
        return temperature**2 * (rows + columns)
    values = []
    for sample in range(NUM):
        pair = (student[sample], teacher[sample], temperature, mixed)
        if method in ("dkd", "cud"):
            slow = dkd_reference if method == "dkd" else cud_reference
            values.append(slow(*pair, label_of(sample, mixed)))
        elif method in ("kd", "kd_mixup"):
            p, q = student[sample] / temperature, teacher[sample] / temperature
            values.append(temperature**2 * float((softmax(q) * (log_softmax(q) - log_softmax(p))).sum()))
        else:
            values.append({"zscore": zscore_reference, "wttm": wttm_reference}[method](*pair))
    return np.mean(values)


def loss_of(trial, method, student, teacher, temperature=None, mixed=True, **edits):
    config = trial(method, teacher=TEACHER, temperature=temperature, **{"alpha": 0.0} | edits)
    return losses.trial_loss(student, teacher, batch(mixed), config)


TEACHER = {"model": "test_efficientnet", "image_size": 16}


@pytest.mark.parametrize("mixed", [True, False], ids=["mixed", "unmixed"])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("method", DISTILLING)
def test_a_method_equals_its_formula(trial, method, temperature, mixed):
    student, teacher = logits(0), logits(1)
    expected = reference(method, student, teacher, temperature, mixed)
    assert float(loss_of(trial, method, student, teacher, temperature, mixed)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("option", "value"), [("target", 0.5), ("nontarget", 2.0)])
def test_the_weights_of_dkd_reach_its_loss(trial, option, value):
    student, teacher = logits(0), logits(1)
    slow = [
        dkd_reference(student[n].numpy(), teacher[n].numpy(), 4.0, True, label_of(n, True), **{option: value})
        for n in range(NUM)
    ]
    assert float(loss_of(trial, "dkd", student, teacher, dkd={option: value})) == pytest.approx(np.mean(slow), rel=1e-6)


@pytest.mark.parametrize(("option", "value"), [("share", 0.2), ("margin", 0.3)])
def test_the_limits_of_cud_reach_its_loss(trial, option, value):
    student, teacher = logits(0), logits(1)
    slow = [
        cud_reference(student[n].numpy(), teacher[n].numpy(), 2.0, True, label_of(n, True), **{option: value})
        for n in range(NUM)
    ]
    assert float(loss_of(trial, "cud", student, teacher, cud={option: value})) == pytest.approx(np.mean(slow), rel=1e-6)


@pytest.mark.parametrize("method", EQUAL_IS_ZERO)
def test_a_student_equal_to_its_teacher_has_no_loss(trial, method):
    assert float(loss_of(trial, method, logits(0), logits(0))) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("method", DISTILLING)
@given(seed=st.integers(0, 200), shift=st.floats(-50, 50))
def test_a_shift_of_all_logits_changes_nothing(trial, method, seed, shift):
    student, teacher = logits(seed), logits(seed + 1)
    before, after = (loss_of(trial, method, student + s, teacher - s) for s in (0, shift))
    assert float(after) == pytest.approx(float(before), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", ["huge", "one-hot", "constant", "equal"])
@pytest.mark.parametrize("method", DISTILLING)
def test_extreme_logits_give_a_finite_loss_and_gradient(trial, method, kind):
    one_hot = torch.nn.functional.one_hot(batch().labels, CLASSES).float()
    teacher = {
        "huge": 1e4 * torch.sign(logits(1)).float(),
        "one-hot": 1e4 * (2 * one_hot - 1),
        "constant": torch.zeros(NUM, CLASSES),
        "equal": logits(0).float(),
    }[kind]
    student = (1e4 * torch.sign(logits(0)).float() if kind == "huge" else teacher.clone()).requires_grad_()
    loss = loss_of(trial, method, student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def slow_deviation_loss(student, teacher, method):
    """The loss with a deviation of at least SIGMA_FLOOR, in float64 and sample by sample."""
    values = []
    for row, target in zip(student, teacher, strict=True):
        p, q = (x / torch.clamp(x.var(correction=0).sqrt(), min=losses.SIGMA_FLOOR) for x in (row, target))
        scale = 1.0 if method == "sigma" else 2.0
        log_p, log_q = torch.log_softmax(p / scale, dim=0), torch.log_softmax(q / scale, dim=0)
        values.append(scale**2 * (log_q.exp() * (log_q - log_p)).sum())
    return torch.stack(values).mean()


@pytest.mark.parametrize("method", ["sigma", "zscore"])
@pytest.mark.parametrize("deviation", [0.0, 1e-7, 1e-5, 1e-3, 1e-2, 1.0, 1e3])
def test_nearly_constant_logits_have_moderate_gradients(trial, method, deviation):
    teacher = logits(1).float()
    student = (2.0 + deviation * logits(0, scale=1.0)).float().requires_grad_()
    config = {"sigma": ("kd", "sigma"), "zscore": ("zscore", 2.0)}[method]
    loss_of(trial, config[0], student, teacher, config[1]).backward()
    slow = student.detach().double().requires_grad_()
    slow_deviation_loss(slow, teacher.double(), method).backward()
    largest = max(1.0, 1 / max(deviation, losses.SIGMA_FLOOR))
    assert student.grad.abs().max() <= 2 * largest / NUM
    if deviation > 0:  # at exactly 0 the deviation has no derivative
        torch.testing.assert_close(student.grad.double(), slow.grad, rtol=2e-3, atol=2e-5 * largest)


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
def test_the_floor_of_the_deviation_leaves_ordinary_logits_alone_bit_for_bit(scale):
    ordinary = logits(0, scale=scale).float()
    before = ordinary / (ordinary.std(dim=1, correction=0, keepdim=True) + 1e-8)
    assert torch.equal(losses.rescaled(ordinary), before)


@pytest.mark.parametrize("method", ["zscore", "dist"])
def test_what_is_scale_free_ignores_the_scale(trial, method):
    student, teacher = logits(0), logits(1)
    if method == "zscore":
        assert float(loss_of(trial, method, 7 * student, 0.1 * teacher)) == pytest.approx(
            float(loss_of(trial, method, student, teacher)), rel=1e-6
        )
    else:
        p, q = torch.rand(NUM, CLASSES), torch.rand(NUM, CLASSES)
        torch.testing.assert_close(losses.correlation(3 * p + 1, q), losses.correlation(p, q))


def test_the_clipped_teacher_is_a_distribution_that_is_right_where_it_was_wrong():
    teacher, everything = logits(1), batch(mixed=False)
    clipped = losses.clipped_teacher(teacher, everything, 1.0, share=1.0, margin=1.0)
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
    clipped = losses.clipped_teacher(teacher, mixed, 1.0, share=0.5, margin=1.0)
    changed = (clipped - torch.softmax(teacher, dim=1)).abs().sum(dim=1) > 1e-9
    assert changed.tolist() == (mixed.mixup_lambda == 1).tolist()


def test_a_class_of_no_weight_to_speak_of_is_no_target_of_dkd(trial):
    student, teacher, config = logits(0), logits(1), trial("dkd", teacher=TEACHER, alpha=0)
    hard = batch(mixed=False)
    for weight in (1e-20, 1e-9):
        nearly = replace(hard, mixup_lambda=torch.full((NUM,), weight), labels=hard.partner_labels)
        nearly = replace(nearly, partner_labels=hard.labels)
        ours, plain = (float(losses.trial_loss(student, teacher, each, config)) for each in (nearly, hard))
        assert ours == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize("method", ["dkd", "cud"])
def test_the_order_of_a_pair_does_not_matter(trial, method):
    student, teacher, mixed = logits(0), logits(1), batch()
    swapped = replace(
        mixed, labels=mixed.partner_labels, partner_labels=mixed.labels, mixup_lambda=1 - mixed.mixup_lambda
    )
    config = trial(method, teacher=TEACHER, alpha=0)
    both = [float(losses.trial_loss(student, teacher, each, config)) for each in (mixed, swapped)]
    assert both[0] == pytest.approx(both[1], rel=1e-9)


def test_label_smoothing_mixes_in_the_uniform_label():
    student, everything = logits(0), batch()
    plain = losses.hard_label_loss(student, everything)
    uniform = -torch.log_softmax(student, dim=1).mean()
    smoothed = losses.hard_label_loss(student, everything, label_smoothing=0.1)
    torch.testing.assert_close(smoothed, 0.9 * plain + 0.1 * uniform)


def test_dus_is_focal_less_an_entropy_bonus_on_hard_examples():
    student, everything = logits(0), batch(mixed=False)
    values = []
    for sample, row in enumerate(student.numpy()):
        p, label = softmax(row), int(everything.labels[sample])
        focal = -((1 - p[label]) ** losses.DUS_GAMMA) * np.log(p[label])
        values.append(focal - losses.DUS_BONUS * (p[label] < 0.5) * entropy(p))
    assert float(losses.dus_loss(student, everything)) == pytest.approx(np.mean(values), rel=1e-6)
