"""Terms that several losses share, in nats; logits are [B, K] and computed with in float32 or wider."""

from collections.abc import Callable

from kd_core.methods.method import Batch, Tensor

SIGMA_FLOOR = 1e-3  # the least deviation that logits are divided by: a gradient grows by at most its inverse
_EPSILON = 1e-8  # added to any deviation; keeps the bits of trials that are in the store


def wide(logits: Tensor) -> Tensor:
    """Logits in at least float32."""
    from torch import float64

    return logits if logits.dtype == float64 else logits.float()


def divergence(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """KL(softmax(teacher) ‖ softmax(student)) of each sample [B]."""
    from torch.nn.functional import kl_div

    student, teacher = wide(student_logits).log_softmax(dim=1), wide(teacher_logits).log_softmax(dim=1)
    return kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)


def rescaled(logits: Tensor) -> Tensor:
    """Logits divided by their own standard deviation over the K classes (Choi 2023; in population form).

    A deviation below SIGMA_FLOOR counts as SIGMA_FLOOR: float32 does not know the shape of logits so nearly constant,
    and the gradient, which grows as the deviation shrinks, would be that of their rounding.
    """
    logits = wide(logits)
    deviation = logits.std(dim=1, correction=0, keepdim=True)
    return logits / (deviation + _EPSILON).clamp_min(SIGMA_FLOOR)


def label_distribution(batch: Batch, num_classes: int) -> Tensor:
    """The mixed label λ·[i] + (1−λ)·[j] as probabilities float32 [B, K] (Medina 2026, eq. 5)."""
    from torch.nn.functional import one_hot

    weight = batch.mixup_lambda[:, None]
    return weight * one_hot(batch.labels, num_classes) + (1 - weight) * one_hot(batch.partner_labels, num_classes)


def over_the_pair(against: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """The mean of λ times a loss [B] against the labels y plus 1 − λ times that against y′ (Zhang 2018)."""
    own, partner = against(batch.labels), against(batch.partner_labels)
    return (batch.mixup_lambda * own + (1 - batch.mixup_lambda) * partner).mean()
