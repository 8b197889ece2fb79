"""What a fused teacher says of images, from what its members say (`kd_core.methods.fusion`), without torch."""

import numpy as np
from scipy.special import log_softmax, logsumexp

from kd_core.methods.fusion import FusionRule


def fused_log_probabilities(member_logits: np.ndarray, rule: FusionRule) -> np.ndarray:
    """The logarithm of the mean of the members' probabilities at T = 1, float64 [N, K], of member_logits [M, N, K].

    The rule weighs the members on each image: equally (mean), by their largest probability (confidence), or by the
    inverse of their entropy (entropy; Kwon 2020).
    """
    log_probabilities = log_softmax(member_logits.astype(np.float64), axis=2)
    log_weights = log_softmax(_log_weights(log_probabilities, rule), axis=0)
    return np.asarray(logsumexp(log_weights[:, :, None] + log_probabilities, axis=0))


def _log_weights(log_probabilities: np.ndarray, rule: FusionRule) -> np.ndarray:
    """The logarithm of each member's weight [M, N], up to a constant of the image."""
    largest = log_probabilities.max(axis=2)
    if rule == "confidence":
        return largest
    if rule == "mean":
        return np.zeros_like(largest)
    entropy = -(np.exp(log_probabilities) * log_probabilities).sum(axis=2)
    return -np.log(np.maximum(entropy, np.finfo(np.float64).tiny))
