"""Distillation of standardised logits (Sun 2024)."""

from kd_core.methods.kd import kd_loss
from kd_core.methods.method import Batch, Method, Tensor
from kd_core.methods.terms import rescaled, wide


def zscore_loss(
    student_logits: Tensor, teacher_logits: Tensor, batch: Batch, temperature: float, options: None
) -> Tensor:
    """τ²·KL of logits standardised to mean 0 and deviation τ⁻¹ over the classes (Sun 2024, algorithms 1 and 2)."""
    student, teacher = (standardised(logits) for logits in (student_logits, teacher_logits))
    return kd_loss(student, teacher, batch, temperature, options)


def standardised(logits: Tensor) -> Tensor:
    """Logits with a mean of 0 over the classes, rescaled."""
    logits = wide(logits)
    return rescaled(logits - logits.mean(dim=1, keepdim=True))


# on CIFAR-100 as in the repository logit-standardization-KD: --base-temp 2 --kd-weight 9, CE_WEIGHT 0.1
ZSCORE = Method(
    "zscore",
    "Sun 2024, algorithms 1 and 2",
    zscore_loss,
    alpha=0.1,
    beta=9.0,
    fixes_scale=False,
    rescale=standardised,
    loss_of_rescaled=kd_loss,
    place=5,
)
