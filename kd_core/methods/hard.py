"""Hard labels alone: classic training, and mixup (Zhang 2018), with one loss."""

from kd_core.methods.method import UNLABELLED, Batch, Method, Tensor
from kd_core.methods.terms import over_the_pair, wide


def hard_label_loss(student_logits: Tensor, batch: Batch, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy against the mixed label λy + (1 − λ)y′ (Zhang 2018; Medina 2026, eq. 5 and 8).

    label_smoothing moves that share of the label to the uniform distribution (Szegedy 2016). Of a label that is
    UNLABELLED the cross-entropy is 0, and the mean is over all images: those without a label take nothing from the
    others, and add nothing.
    """
    from torch.nn.functional import cross_entropy

    student_logits = wide(student_logits)

    def against(labels: Tensor) -> Tensor:
        """The cross-entropy of each image, [B], with these labels."""
        return cross_entropy(
            student_logits, labels, reduction="none", label_smoothing=label_smoothing, ignore_index=UNLABELLED
        )

    return over_the_pair(against, batch)


CLASSIC = Method("classic", "the baseline", temperature=None, alpha=1.0, beta=0.0, mixup="never", twin="mixup", place=1)
MIXUP = Method("mixup", "Zhang 2018", temperature=None, alpha=1.0, beta=0.0, mixup="always", twin="classic", place=2)
