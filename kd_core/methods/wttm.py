"""Weighted transformed teacher matching (Zheng 2024)."""

from kd_core.methods.method import Batch, Method, Tensor
from kd_core.methods.terms import divergence, wide


def wttm_loss(
    student_logits: Tensor, teacher_logits: Tensor, batch: Batch, temperature: float, options: None
) -> Tensor:
    """Σ_k p_t(k)^γ · KL(p_t^T ‖ p_s), γ = 1/T (Zheng 2024): the student at temperature 1, each sample weighted.

    The weight, the power sum of the teacher's probabilities, grows with the teacher's uncertainty.
    """
    student, teacher = wide(student_logits), wide(teacher_logits)
    power_sum = (teacher.log_softmax(dim=1) / temperature).exp().sum(dim=1)
    return (power_sum * divergence(student, teacher / temperature)).mean()


# on CIFAR-100 as in the README of the repository TTM (exponent 0.2, weights 1 and 4, of WTTM beside CRD), where it
# varies with the pair of networks
WTTM = Method("wttm", "Zheng 2024", wttm_loss, temperature=5.0, alpha=1.0, beta=4.0, place=8)
