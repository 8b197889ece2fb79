"""What a trial minimises: alpha · CE(student, mixed labels) + beta · method(student, teacher).

Logits are [B, K]; every loss is a mean over the batch, in nats, computed by log_softmax in float32 or wider.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from kd_core.config import TrialConfig
from kd_core.vicinal import VicinalBatch

SIGMA_FLOOR = 1e-8  # keeps a constant row of logits from dividing by zero


def hard_label_loss(student_logits: torch.Tensor, batch: VicinalBatch) -> torch.Tensor:
    """Cross-entropy against the mixed label λy + (1 − λ)y′ (Zhang 2018; Medina 2026, eq. 5 and 8)."""
    student_logits = student_logits.float()
    own = cross_entropy(student_logits, batch.labels, reduction="none")
    partner = cross_entropy(student_logits, batch.partner_labels, reduction="none")
    return (batch.mixup_lambda * own + (1 - batch.mixup_lambda) * partner).mean()


def distillation_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float | str
) -> torch.Tensor:
    """T²·KL(p_t^T ‖ p_s^T) (Hinton 2015; Medina 2026, eq. 1 and 9), or KL of the rescaled logits where T is sigma."""
    student_logits, teacher_logits = _wide(student_logits), _wide(teacher_logits)
    if temperature == "sigma":
        return divergence(rescaled(student_logits), rescaled(teacher_logits))
    scale = float(temperature)
    return scale**2 * divergence(student_logits / scale, teacher_logits / scale)


def divergence(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
    """KL(softmax(teacher) ‖ softmax(student)), the mean over the batch."""
    student, teacher = log_softmax(student_logits, dim=1), log_softmax(teacher_logits, dim=1)
    return kl_div(student, teacher, reduction="batchmean", log_target=True)


def rescaled(logits: torch.Tensor) -> torch.Tensor:
    """Logits divided by their own standard deviation over the K classes (Choi 2023; in population form)."""
    return logits / (logits.std(dim=1, correction=0, keepdim=True) + SIGMA_FLOOR)


def _wide(logits: torch.Tensor) -> torch.Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


Loss = Callable[[torch.Tensor, torch.Tensor, TrialConfig], torch.Tensor]


def _kd(student_logits: torch.Tensor, teacher_logits: torch.Tensor, config: TrialConfig) -> torch.Tensor:
    assert config.temperature is not None
    return distillation_loss(student_logits, teacher_logits, config.temperature)


METHODS: dict[str, Loss | None] = {"classic": None, "mixup": None, "kd": _kd, "kd_mixup": _kd}


def trial_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor | None, batch: VicinalBatch, config: TrialConfig
) -> torch.Tensor:
    """alpha · CE + beta · method (Medina 2026, eq. 2); a term of weight zero is not computed."""
    loss = student_logits.new_zeros(())
    if config.alpha > 0:
        loss = loss + config.alpha * hard_label_loss(student_logits, batch)
    method = METHODS[config.method]
    if method is not None and config.beta > 0:
        assert teacher_logits is not None
        loss = loss + config.beta * method(student_logits, teacher_logits, config)
    return loss
