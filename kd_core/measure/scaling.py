"""Temperature scaling: one temperature for all logits of a model, fitted on validation."""

import numpy as np
import scipy  # submodules are loaded on first use: `kdsweep status` needs none

TEMPERATURE_RANGE = (0.05, 100.0)
PRIOR_IMAGES = 1.0  # how many images the prior weighs; chosen by simulation, tests/benchmarks/coverage/scaling.py


def fit_temperature(logits: np.ndarray, labels: np.ndarray, prior_images: float = PRIOR_IMAGES) -> float:
    """The most probable temperature T of logits [N, K] / T given labels [N] (Guo 2017, with a weak prior on log T).

    It minimises the sum over images of the negative log-likelihood plus c·(1/T − 1 + log T), c = prior_images: the
    prior of a Gamma-distributed 1/T with mean 1 and variance 1/c, as a density of log T. It is least at T = 1, grows
    linearly in 1/T, so that images which are all right do not make the model infinitely sure, and weighs against N
    images as c images do. The sum is convex in 1/T, so this finds the root of its derivative; without one in
    TEMPERATURE_RANGE it returns the nearer end. c = 0 is maximum likelihood.
    """
    logits = np.asarray(logits, dtype=np.float64)
    label_logits = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0]

    def slope(log_inverse_temperature: float) -> float:
        """The derivative of the penalised NLL with respect to the inverse temperature, by image."""
        inverse = np.exp(log_inverse_temperature)
        probabilities = scipy.special.softmax(logits * inverse, axis=1)
        by_images = np.mean((probabilities * logits).sum(axis=1) - label_logits)
        return float(by_images + prior_images / len(logits) * (1 - 1 / inverse))

    coldest, hottest = TEMPERATURE_RANGE
    if slope(-np.log(hottest)) > 0:
        return hottest
    if slope(-np.log(coldest)) <= 0:
        return coldest
    return float(np.exp(-scipy.optimize.brentq(slope, -np.log(hottest), -np.log(coldest), xtol=1e-10)))  # type: ignore[operator]


def has_optimum(logits: np.ndarray, labels: np.ndarray) -> bool:
    """Whether logits [N, K] and labels [N] alone have a best temperature, so that the prior hardly matters.

    They have none if every label has the largest logit of its image, where the likelihood grows until T = 0, nor if
    the labels' logits are no larger than the others on average, where it grows until T = ∞.
    """
    label_logits = np.take_along_axis(logits, labels[:, None], axis=1)[:, 0].astype(np.float64)
    some_wrong = bool((label_logits < logits.max(axis=1)).any())
    return some_wrong and bool(label_logits.mean() > logits.mean(dtype=np.float64))
