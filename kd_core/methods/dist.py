"""DIST: the correlation with the teacher, between and within classes (Huang 2022)."""

from typing import Annotated

from pydantic import Field

from kd_core.fields import Config
from kd_core.methods.method import Batch, Method, Tensor
from kd_core.methods.terms import wide


class DistConfig(Config):
    """The weights of method: dist."""

    inter: Annotated[float, Field(ge=0)] = 1.0
    """weight of the relation between classes, within each sample"""
    intra: Annotated[float, Field(ge=0)] = 1.0
    """weight of the relation between samples, within each class"""


def dist_loss(
    student_logits: Tensor, teacher_logits: Tensor, batch: Batch, temperature: float, options: DistConfig
) -> Tensor:
    """T²·(inter·(1 − ρ of each sample's classes) + intra·(1 − ρ of each class's samples)), ρ Pearson's (Huang 2022)."""
    student, teacher = ((wide(logits) / temperature).softmax(dim=1) for logits in (student_logits, teacher_logits))
    within_samples = 1 - correlation(student, teacher).mean()
    within_classes = 1 - correlation(student.T, teacher.T).mean()
    return temperature**2 * (options.inter * within_samples + options.intra * within_classes)


def correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson's correlation of each row of [R, C] with the same row of another [R]; 0 where a row is constant."""
    from torch.nn.functional import cosine_similarity

    first, second = (values - values.mean(dim=1, keepdim=True) for values in (first, second))
    return cosine_similarity(first, second, dim=1)


# on CIFAR-100 with weights 1, 2 and 2 and τ = 4, as others report them: beta is the weight of both relations
DIST = Method("dist", "Huang 2022", dist_loss, DistConfig, temperature=4.0, alpha=1.0, beta=2.0, place=7)
