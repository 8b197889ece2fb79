"""The hard-label loss by which CUD fine-tunes a teacher that knows what it does not know (Kim 2026)."""

from kd_core.methods.method import Batch, Tensor
from kd_core.methods.terms import label_distribution, wide

DUS_GAMMA, DUS_BONUS = 2.0, 0.1


def dus_loss(student_logits: Tensor, batch: Batch) -> Tensor:
    """Focal loss (Lin 2017, γ = 2) less an entropy bonus on hard examples: CUD-style teacher fine-tuning (Kim 2026).

    An example is hard where the probability of its label, detached, is below a half.
    """
    log_probabilities = wide(student_logits).log_softmax(dim=1)
    label = label_distribution(batch, student_logits.shape[1]).to(log_probabilities.dtype)
    label_probability = (label * log_probabilities.exp()).sum(dim=1)
    focal = (1 - label_probability) ** DUS_GAMMA * -(label * log_probabilities).sum(dim=1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=1)
    hard = (label_probability.detach() < 0.5).to(entropy.dtype)
    return (focal - DUS_BONUS * hard * entropy).mean()
