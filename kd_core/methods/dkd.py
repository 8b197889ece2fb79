"""Decoupled knowledge distillation: the target class and the other ones apart (Zhao 2022)."""

from typing import Annotated

from pydantic import Field

from kd_core.fields import Config
from kd_core.methods.method import Batch, Method, Tensor
from kd_core.methods.terms import divergence, over_the_pair, wide

IMPOSSIBLE = -1e9  # a logit with probability exactly 0 and finite differences


class DkdConfig(Config):
    """The weights of method: dkd."""

    target: Annotated[float, Field(ge=0)] = 1.0
    """weight of the target classes against the rest (α of the paper)"""
    nontarget: Annotated[float, Field(ge=0)] = 8.0
    """weight of the other classes among themselves (β of the paper)"""


def dkd_loss(
    student_logits: Tensor, teacher_logits: Tensor, batch: Batch, temperature: float, options: DkdConfig
) -> Tensor:
    """T²·(target·TCKD + nontarget·NCKD) (Zhao 2022, eq. 7).

    TCKD compares (p_y, rest), NCKD the other classes among themselves. A label has one target: for a mixed label the
    loss is λ times that with the label y plus 1 − λ times that with y′, as for the cross-entropy (Zhang 2018). So a
    class weighs as much as its share of the label, and one of no weight to speak of has no part in the loss.
    """
    from torch.nn.functional import kl_div, one_hot

    student, teacher = (wide(logits) / temperature for logits in (student_logits, teacher_logits))

    def against(labels: Tensor) -> Tensor:
        """The loss of each image, [B], with these labels as targets."""
        targets = one_hot(labels, student.shape[1]).bool()
        student_parts, student_rest = _parted(student, targets)
        teacher_parts, teacher_rest = _parted(teacher, targets)
        between = kl_div(student_parts, teacher_parts, reduction="none", log_target=True).sum(dim=1)
        return options.target * between + options.nontarget * divergence(student_rest, teacher_rest)

    return temperature**2 * over_the_pair(against, batch)


def _parted(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the target and of all the rest [B, K + 1], and the logits of the rest [B, K]."""
    from torch import cat

    log_probabilities = logits.log_softmax(dim=1)
    rest = log_probabilities.masked_fill(targets, IMPOSSIBLE).logsumexp(dim=1, keepdim=True)
    parts = cat([log_probabilities.masked_fill(~targets, IMPOSSIBLE), rest], dim=1)
    return parts, logits.masked_fill(targets, IMPOSSIBLE)


# on CIFAR-100 as in the supplement and the repository mdistiller, engine/cfg.py (CE_WEIGHT 1, T 4), without its warm-up
# of 20 epochs
DKD = Method("dkd", "Zhao 2022, eq. 7", dkd_loss, DkdConfig, temperature=4.0, alpha=1.0, reads_labels=True, place=6)
