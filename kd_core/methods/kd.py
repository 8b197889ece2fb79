"""Knowledge distillation (Hinton 2015), without and with mixup (Medina 2026)."""

from kd_core.methods.method import Batch, Method, Tensor
from kd_core.methods.terms import divergence, rescaled, wide


def kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, batch: Batch, temperature: float | str, options: None
) -> Tensor:
    """T²·KL(p_t^T ‖ p_s^T) (Hinton 2015; Medina 2026, eq. 1 and 9), or KL of the rescaled logits where T is sigma."""
    if temperature == "sigma":
        return divergence(rescaled(student_logits), rescaled(teacher_logits)).mean()
    scale = float(temperature)
    return scale**2 * divergence(wide(student_logits) / scale, wide(teacher_logits) / scale).mean()


KD = Method("kd", "Hinton 2015", kd_loss, mixup="never", twin="kd_mixup", takes_sigma=True, place=3)
KD_MIXUP = Method("kd_mixup", "Medina 2026, eq. 9", kd_loss, mixup="always", twin="kd", takes_sigma=True, place=4)
