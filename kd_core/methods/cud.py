"""CUD-style distillation, from a teacher corrected where it is wrong, after Kim 2026, of which no code is public."""

from kd_core.fields import Config, Fraction
from kd_core.methods.method import Batch, Method, Tensor
from kd_core.methods.terms import label_distribution, wide


class CudConfig(Config):
    """How far method: cud corrects the teacher."""

    share: Fraction = 0.5
    """at most this share of the top class's probability, η"""
    margin: Fraction = 1.0
    """at most this share of its lead over the label, m; 1 moves at most the whole lead"""


def cud_loss(
    student_logits: Tensor, teacher_logits: Tensor, batch: Batch, temperature: float, options: CudConfig
) -> Tensor:
    """T²·KL(W-Clip(p_t^T) ‖ p_s^T)."""
    target = clipped_teacher(teacher_logits, batch, temperature, options)
    student = (wide(student_logits) / temperature).log_softmax(dim=1)
    return temperature**2 * (target.xlogy(target) - target * student).sum(dim=1).mean()


def clipped_teacher(teacher_logits: Tensor, batch: Batch, temperature: float, options: CudConfig) -> Tensor:
    """Teacher probabilities [B, K] with min(share·p(k*), margin·(p(k*) − p(y))) moved from a wrong top class k* to y.

    For a mixed label the teacher is wrong only where k* is neither class; p(y) is λp(i) + (1−λ)p(j), and the moved
    probability is split by λ.
    """
    probabilities = (wide(teacher_logits) / temperature).softmax(dim=1)
    label = label_distribution(batch, probabilities.shape[1])
    top_probability, top = probabilities.max(dim=1, keepdim=True)
    wrong = label.gather(1, top) == 0
    label = label.to(probabilities.dtype)
    lead = top_probability - (label * probabilities).sum(dim=1, keepdim=True)
    moved = wrong * (options.share * top_probability).minimum(options.margin * lead)
    return probabilities + moved * label - probabilities.new_zeros(probabilities.shape).scatter(1, top, moved)


CUD = Method("cud", "Kim 2026", cud_loss, CudConfig, reads_labels=True, place=9)
