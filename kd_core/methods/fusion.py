"""Several teachers that teach as one: on each image, a mean of their tempered probabilities."""

from typing import Any, Literal

from kd_core.methods.method import Batch, Method, Tensor
from kd_core.methods.terms import rescaled, wide

FusionRule = Literal["mean", "confidence", "entropy"]


def fused_loss(
    method: Method,
    student_logits: Tensor,
    member_logits: Tensor,
    rule: FusionRule,
    batch: Batch,
    temperature: float | str | None,
    options: Any,
) -> Tensor:
    """The loss of a method whose teacher is the fusion of members, of which member_logits [M, B, K] are.

    Where a loss rescales the logits of each side (temperature: sigma, or the method's own rule), each member's are
    rescaled so before their probabilities are averaged, and the average is not rescaled again. The fusion of one
    member is that member, to the last bit.
    """
    assert method.loss is not None
    if len(member_logits) == 1:
        return method.loss(student_logits, member_logits[0], batch, temperature, options)
    rescale, loss = method.rescale, method.loss_of_rescaled or method.loss
    if temperature == "sigma":
        rescale, temperature = rescaled, 1.0  # by which the plain loss divides nothing
    if rescale is not None:
        from torch import stack

        student_logits, member_logits = rescale(student_logits), stack([rescale(each) for each in member_logits])
    assert isinstance(temperature, int | float)
    return loss(student_logits, fused_logits(member_logits, rule, temperature), batch, temperature, options)


def fused_logits(member_logits: Tensor, rule: FusionRule, temperature: float) -> Tensor:
    """Logits z [B, K] of which softmax(z/T) is the mean of the members' softmax(z_m/T), of member_logits [M, B, K].

    The mean (You 2017) is plain, or weighted on each image by the members' largest tempered probability (confidence),
    or by the inverse of the entropy of their tempered probabilities (entropy; Kwon 2020), with weights of sum 1.
    """
    log_probabilities = (wide(member_logits) / temperature).log_softmax(dim=2)
    log_weights = _log_weights(log_probabilities, rule).log_softmax(dim=0)
    return temperature * (log_weights[:, :, None] + log_probabilities).logsumexp(dim=0)


def _log_weights(log_probabilities: Tensor, rule: FusionRule) -> Tensor:
    """The logarithm of each member's weight [M, B], up to a constant of the image."""
    from torch import finfo

    largest = log_probabilities.amax(dim=2)
    if rule == "confidence":
        return largest
    if rule == "mean":
        return largest.new_zeros(largest.shape)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(dim=2)
    return -entropy.clamp_min(finfo(entropy.dtype).tiny).log()
