"""Scores [N] that should be higher for one kind of input, the positives, than for another, and whether they are."""

import numpy as np
import scipy  # submodules are loaded on first use

_TRUE_POSITIVES = 95  # per cent


def maximum_probability(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The greatest probability [..., N] of logits [..., N, K] / temperature, in float64 (Hendrycks & Gimpel 2017)."""
    if logits.ndim > 2:
        return np.array([maximum_probability(part, temperature) for part in logits])
    logits = logits.astype(np.float64)
    return 1 / np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature).sum(axis=1)


def negative_energy(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """T·logsumexp(z / T) [N] of logits [N, K], in float64: high for what was trained on (Liu 2020)."""
    return temperature * scipy.special.logsumexp(logits.astype(np.float64) / temperature, axis=1)


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """The probability that a positive scores higher than a negative, ties counting half; positive [N] is boolean.

    NaN where there are none of either.
    """
    _, tie = np.unique(score, return_inverse=True)
    positives, negatives = np.bincount(tie, positive), np.bincount(tie, ~positive)
    num_pairs = positives.sum() * negatives.sum()
    won = np.sum(positives * (np.cumsum(negatives) - negatives / 2))
    return float(won / num_pairs) if num_pairs else float("nan")


def fpr95(score: np.ndarray, positive: np.ndarray) -> float:
    """The share of negatives at or above the highest threshold that at least 95 % of the positives reach.

    positive [N] is boolean; NaN where there are none of either.
    """
    if positive.all() or not positive.any():
        return float("nan")
    descending = np.sort(score[positive])[::-1]
    rank = -(-_TRUE_POSITIVES * len(descending) // 100)
    return float(np.mean(score[~positive] >= descending[rank - 1]))
