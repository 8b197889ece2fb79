"""The loss of a trial: alpha · CE(student, mixed labels) + beta · method(student, teacher)."""

import torch

from kd_core.config.networks import FusedTeacherConfig
from kd_core.config.trial import TrialConfig
from kd_core.methods.dus import dus_loss
from kd_core.methods.fusion import fused_loss
from kd_core.methods.hard import hard_label_loss
from kd_core.methods.method import Batch
from kd_core.methods.registry import METHODS


def trial_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor | None, batch: Batch, config: TrialConfig
) -> torch.Tensor:
    """alpha · CE + beta · method (Medina 2026, eq. 2), of logits [B, K]; a term of weight zero is not computed.

    The teacher's logits are those of its signal: [M, B, K] if it is fused.
    """
    terms = []
    if config.alpha > 0:
        if config.train.uncertainty == "dus":
            hard = dus_loss(student_logits, batch)
        else:
            hard = hard_label_loss(student_logits, batch, config.train.label_smoothing)
        terms.append(config.alpha * hard)
    if METHODS[config.method].loss is not None and config.beta > 0:
        assert teacher_logits is not None
        terms.append(config.beta * _distillation(student_logits, teacher_logits, batch, config))
    return torch.stack(terms).sum()


def _distillation(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, batch: Batch, config: TrialConfig
) -> torch.Tensor:
    """The loss of the trial's method."""
    method, given = METHODS[config.method], (batch, config.temperature, config.options)
    assert method.loss is not None
    if isinstance(config.teacher, FusedTeacherConfig):
        return fused_loss(method, student_logits, teacher_logits, config.teacher.rule, *given)
    return method.loss(student_logits, teacher_logits, *given)
