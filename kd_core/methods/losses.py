"""The loss of a trial: alpha · CE(student, mixed labels) + beta · method(student, teacher).

Logits are [B, K]; every loss is a mean over the batch, in nats, computed by log_softmax in float32 or wider. A method
is a function of the student's logits, the teacher's logits, the batch and the config; METHODS maps names to them.
"""

from collections.abc import Callable

import torch
from torch.nn.functional import cosine_similarity, cross_entropy, kl_div, log_softmax, one_hot, softmax

from kd_core.config.trial import TrialConfig
from kd_core.stream.vicinal import VicinalBatch

SIGMA_FLOOR = 1e-3  # the least deviation that logits are divided by: a gradient grows by at most its inverse
IMPOSSIBLE = -1e9  # a logit with probability exactly 0 and finite differences
_EPSILON = 1e-8  # added to any deviation; keeps the bits of trials that are in the store
DUS_GAMMA, DUS_BONUS = 2.0, 0.1


def hard_label_loss(student_logits: torch.Tensor, batch: VicinalBatch, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy against the mixed label λy + (1 − λ)y′ (Zhang 2018; Medina 2026, eq. 5 and 8).

    label_smoothing moves that share of the label to the uniform distribution (Szegedy 2016).
    """
    student_logits = wide(student_logits)

    def against(labels: torch.Tensor) -> torch.Tensor:
        """The cross-entropy of each image, [B], with these labels."""
        return cross_entropy(student_logits, labels, reduction="none", label_smoothing=label_smoothing)

    own, partner = against(batch.labels), against(batch.partner_labels)
    return (batch.mixup_lambda * own + (1 - batch.mixup_lambda) * partner).mean()


def distillation_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float | str
) -> torch.Tensor:
    """T²·KL(p_t^T ‖ p_s^T) (Hinton 2015; Medina 2026, eq. 1 and 9), or KL of the rescaled logits where T is sigma."""
    if temperature == "sigma":
        return divergence(rescaled(student_logits), rescaled(teacher_logits)).mean()
    scale = float(temperature)
    return scale**2 * divergence(wide(student_logits) / scale, wide(teacher_logits) / scale).mean()


def zscore_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """τ²·KL of logits standardised to mean 0 and deviation τ⁻¹ over the classes (Sun 2024, algorithms 1 and 2)."""

    def standardised(logits: torch.Tensor) -> torch.Tensor:
        """Logits with a mean of 0 over the classes, rescaled."""
        return rescaled(logits - logits.mean(dim=1, keepdim=True))

    return distillation_loss(standardised(wide(student_logits)), standardised(wide(teacher_logits)), temperature)


def dkd_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    batch: VicinalBatch,
    temperature: float,
    target: float,
    nontarget: float,
) -> torch.Tensor:
    """T²·(target·TCKD + nontarget·NCKD) (Zhao 2022, eq. 7).

    TCKD compares (p_y, rest), NCKD the other classes among themselves. A label has one target: for a mixed label the
    loss is λ times that with the label y plus 1 − λ times that with y′, as for the cross-entropy (Zhang 2018). So a
    class weighs as much as its share of the label, and one of no weight to speak of has no part in the loss.
    """
    student, teacher = (wide(logits) / temperature for logits in (student_logits, teacher_logits))

    def against(labels: torch.Tensor) -> torch.Tensor:
        """The loss of each image, [B], with these labels as targets."""
        targets = one_hot(labels, student.shape[1]).bool()
        student_parts, student_rest = _parted(student, targets)
        teacher_parts, teacher_rest = _parted(teacher, targets)
        between = kl_div(student_parts, teacher_parts, reduction="none", log_target=True).sum(dim=1)
        return target * between + nontarget * divergence(student_rest, teacher_rest)

    own, partner = against(batch.labels), against(batch.partner_labels)
    return temperature**2 * (batch.mixup_lambda * own + (1 - batch.mixup_lambda) * partner).mean()


def _parted(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of the target and of all the rest [B, K + 1], and the logits of the rest [B, K]."""
    log_probabilities = log_softmax(logits, dim=1)
    rest = torch.logsumexp(log_probabilities.masked_fill(targets, IMPOSSIBLE), dim=1, keepdim=True)
    parts = torch.cat([log_probabilities.masked_fill(~targets, IMPOSSIBLE), rest], dim=1)
    return parts, logits.masked_fill(targets, IMPOSSIBLE)


def dist_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float, inter: float, intra: float
) -> torch.Tensor:
    """T²·(inter·(1 − ρ of each sample's classes) + intra·(1 − ρ of each class's samples)), ρ Pearson's (Huang 2022)."""
    student, teacher = (softmax(wide(logits) / temperature, dim=1) for logits in (student_logits, teacher_logits))
    within_samples = 1 - correlation(student, teacher).mean()
    within_classes = 1 - correlation(student.T, teacher.T).mean()
    return temperature**2 * (inter * within_samples + intra * within_classes)


def wttm_loss(student_logits: torch.Tensor, teacher_logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Σ_k p_t(k)^γ · KL(p_t^T ‖ p_s), γ = 1/T (Zheng 2024): the student at temperature 1, each sample weighted.

    The weight, the power sum of the teacher's probabilities, grows with the teacher's uncertainty.
    """
    student, teacher = wide(student_logits), wide(teacher_logits)
    power_sum = torch.exp(log_softmax(teacher, dim=1) / temperature).sum(dim=1)
    return (power_sum * divergence(student, teacher / temperature)).mean()


def cud_loss(
    student_logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    batch: VicinalBatch,
    temperature: float,
    share: float,
    margin: float,
) -> torch.Tensor:
    """T²·KL(W-Clip(p_t^T) ‖ p_s^T), CUD-style after Kim 2026, of which no code is public."""
    target = clipped_teacher(teacher_logits, batch, temperature, share, margin)
    student = log_softmax(wide(student_logits) / temperature, dim=1)
    return temperature**2 * (torch.special.xlogy(target, target) - target * student).sum(dim=1).mean()


def clipped_teacher(
    teacher_logits: torch.Tensor, batch: VicinalBatch, temperature: float, share: float, margin: float
) -> torch.Tensor:
    """Teacher probabilities [B, K] with min(share·p(k*), margin·(p(k*) − p(y))) moved from a wrong top class k* to y.

    For a mixed label the teacher is wrong only where k* is neither class; p(y) is λp(i) + (1−λ)p(j), and the moved
    probability is split by λ.
    """
    probabilities = softmax(wide(teacher_logits) / temperature, dim=1)
    label = label_distribution(batch, probabilities.shape[1]).to(probabilities.dtype)
    top_probability, top = probabilities.max(dim=1, keepdim=True)
    wrong = ~target_mask(batch, probabilities.shape[1]).gather(1, top)
    label_probability = (label * probabilities).sum(dim=1, keepdim=True)
    moved = wrong * torch.minimum(share * top_probability, margin * (top_probability - label_probability))
    return probabilities + moved * label - torch.zeros_like(probabilities).scatter(1, top, moved)


def dus_loss(student_logits: torch.Tensor, batch: VicinalBatch) -> torch.Tensor:
    """Focal loss (Lin 2017, γ = 2) less an entropy bonus on hard examples: CUD-style teacher fine-tuning (Kim 2026).

    An example is hard where the probability of its label, detached, is below a half.
    """
    log_probabilities = log_softmax(wide(student_logits), dim=1)
    label = label_distribution(batch, student_logits.shape[1]).to(log_probabilities.dtype)
    label_probability = (label * log_probabilities.exp()).sum(dim=1)
    focal = (1 - label_probability) ** DUS_GAMMA * -(label * log_probabilities).sum(dim=1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1)
    hard = (label_probability.detach() < 0.5).to(entropy.dtype)
    return (focal - DUS_BONUS * hard * entropy).mean()


def divergence(student_logits: torch.Tensor, teacher_logits: torch.Tensor) -> torch.Tensor:
    """KL(softmax(teacher) ‖ softmax(student)) of each sample [B]."""
    student, teacher = log_softmax(wide(student_logits), dim=1), log_softmax(wide(teacher_logits), dim=1)
    return kl_div(student, teacher, reduction="none", log_target=True).sum(dim=1)


def rescaled(logits: torch.Tensor) -> torch.Tensor:
    """Logits divided by their own standard deviation over the K classes (Choi 2023; in population form).

    A deviation below SIGMA_FLOOR counts as SIGMA_FLOOR: float32 does not know the shape of logits so nearly constant,
    and the gradient, which grows as the deviation shrinks, would be that of their rounding.
    """
    logits = wide(logits)
    deviation = logits.std(dim=1, correction=0, keepdim=True)
    return logits / (deviation + _EPSILON).clamp_min(SIGMA_FLOOR)


def correlation(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Pearson's correlation of each row of [R, C] with the same row of another [R]; 0 where a row is constant."""
    first, second = (values - values.mean(dim=1, keepdim=True) for values in (first, second))
    return cosine_similarity(first, second, dim=1)


def label_distribution(batch: VicinalBatch, num_classes: int) -> torch.Tensor:
    """The mixed label λ·[i] + (1−λ)·[j] as probabilities float32 [B, K] (Medina 2026, eq. 5)."""
    weight = batch.mixup_lambda[:, None]
    return weight * one_hot(batch.labels, num_classes) + (1 - weight) * one_hot(batch.partner_labels, num_classes)


def target_mask(batch: VicinalBatch, num_classes: int) -> torch.Tensor:
    """The classes with positive weight in each label, boolean [B, K]: one, or two if the sample is mixed."""
    return label_distribution(batch, num_classes) > 0


def wide(logits: torch.Tensor) -> torch.Tensor:
    """Logits in at least float32."""
    return logits if logits.dtype == torch.float64 else logits.float()


Loss = Callable[[torch.Tensor, torch.Tensor, VicinalBatch, TrialConfig], torch.Tensor]


def _kd(student: torch.Tensor, teacher: torch.Tensor, batch: VicinalBatch, config: TrialConfig) -> torch.Tensor:
    assert config.temperature is not None
    return distillation_loss(student, teacher, config.temperature)


def _zscore(student: torch.Tensor, teacher: torch.Tensor, batch: VicinalBatch, config: TrialConfig) -> torch.Tensor:
    return zscore_loss(student, teacher, _number(config))


def _dkd(student: torch.Tensor, teacher: torch.Tensor, batch: VicinalBatch, config: TrialConfig) -> torch.Tensor:
    assert config.dkd is not None
    return dkd_loss(student, teacher, batch, _number(config), config.dkd.target, config.dkd.nontarget)


def _dist(student: torch.Tensor, teacher: torch.Tensor, batch: VicinalBatch, config: TrialConfig) -> torch.Tensor:
    assert config.dist is not None
    return dist_loss(student, teacher, _number(config), config.dist.inter, config.dist.intra)


def _wttm(student: torch.Tensor, teacher: torch.Tensor, batch: VicinalBatch, config: TrialConfig) -> torch.Tensor:
    return wttm_loss(student, teacher, _number(config))


def _cud(student: torch.Tensor, teacher: torch.Tensor, batch: VicinalBatch, config: TrialConfig) -> torch.Tensor:
    assert config.cud is not None
    return cud_loss(student, teacher, batch, _number(config), config.cud.share, config.cud.margin)


def _number(config: TrialConfig) -> float:
    assert isinstance(config.temperature, float)
    return config.temperature


METHODS: dict[str, Loss | None] = {
    "classic": None,
    "mixup": None,
    "kd": _kd,
    "kd_mixup": _kd,
    "zscore": _zscore,
    "dkd": _dkd,
    "dist": _dist,
    "wttm": _wttm,
    "cud": _cud,
}


def trial_loss(
    student_logits: torch.Tensor, teacher_logits: torch.Tensor | None, batch: VicinalBatch, config: TrialConfig
) -> torch.Tensor:
    """alpha · CE + beta · method (Medina 2026, eq. 2); a term of weight zero is not computed."""
    terms = []
    if config.alpha > 0:
        if config.train.uncertainty == "dus":
            hard = dus_loss(student_logits, batch)
        else:
            hard = hard_label_loss(student_logits, batch, config.train.label_smoothing)
        terms.append(config.alpha * hard)
    method = METHODS[config.method]
    if method is not None and config.beta > 0:
        assert teacher_logits is not None
        terms.append(config.beta * method(student_logits, teacher_logits, batch, config))
    return torch.stack(terms).sum()
