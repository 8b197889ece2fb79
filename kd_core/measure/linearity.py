"""How far a model is from linear between two inputs, in nats, from its log-probabilities (Medina 2026, section 4.3).

Log-probabilities are float64 [L, P, K]: K classes, for P pairs of inputs mixed as λ·x_i + (1 − λ)·x_j, at L mixing
coefficients. These, mixing [L], rise from 0, where the input is x_j, to 1, where it is x_i, symmetrically about ½.
Which input of a pair comes first means nothing, so a value at λ is the mean of those at λ and 1 − λ, and all curves are
symmetric. Global figures are means over the mixed inputs, 0 < λ < 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_TINY = np.finfo(np.float64).tiny
_LEAST_ENTROPY = 1e-12  # nats; what is smaller is rounding, and nothing is divided by it


@dataclass(frozen=True)
class Between:
    """A model between pairs of inputs, values [L, P] in nats, with p_lin = λ·p(x_i) + (1 − λ)·p(x_j).

    - nonlinearity: KL(p_lin ‖ p(x̃)), whose mean over pairs is L_NL (eq. 12)
    - jensen_shannon: the Jensen–Shannon divergence of p_lin and p(x̃), at most ln 2, which no single pair can dominate
    - entropy: H[p(x̃)]
    - linear_entropy: H[p_lin]; less the nonlinearity it is the linearity information I_lin (eq. 14)
    """

    nonlinearity: np.ndarray
    jensen_shannon: np.ndarray
    entropy: np.ndarray
    linear_entropy: np.ndarray


def between(log_probabilities: np.ndarray, mixing: np.ndarray) -> Between:
    """What a model is between pairs, from its log-probabilities [L, P, K] at mixing [L].

    The nonlinearity is 0 for a model that is linear in probability, but also for one that says the same of everything:
    it is no merit by itself. One that is certain of two different classes at the corners and says "any class" between
    them has ln K − ln 2 at λ = ½.
    """
    assert np.allclose(mixing + mixing[::-1], 1), "the grid is symmetric about ½"
    assert (mixing[0], mixing[-1]) == (0, 1), "the corners of a pair are the ends of the grid"
    first, second = np.exp(log_probabilities[-1]), np.exp(log_probabilities[0])
    rows = [
        _at(mixed, share * first + (1 - share) * second) for mixed, share in zip(log_probabilities, mixing, strict=True)
    ]
    return Between(*(both_orders(np.array(column)) for column in zip(*rows, strict=True)))


def _at(mixed: np.ndarray, linear: np.ndarray) -> tuple[np.ndarray, ...]:
    """The values [P] of `Between`, from log p(x̃) and p_lin, both [P, K]."""
    probabilities = np.exp(mixed)
    entropy, linear_entropy = -_dot(probabilities, mixed), _entropy(linear)
    residual = -linear_entropy - _dot(linear, mixed)
    jensen_shannon = _entropy((linear + probabilities) / 2) - (linear_entropy + entropy) / 2
    return np.maximum(residual, 0), np.maximum(jensen_shannon, 0), entropy, linear_entropy


def _dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("...k,...k->...", first, second)


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    return -_dot(probabilities, np.log(np.maximum(probabilities, _TINY)))


def both_orders(values: np.ndarray) -> np.ndarray:
    """The mean of values [L, ...] at λ and at 1 − λ, which is the other order of each pair."""
    return (values + values[::-1]) / 2


def divergence(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """KL(p_t ‖ p_s) [L, P] of log-probabilities [L, P, K]: of real inputs at the corners, of mixed ones between."""
    rows = [_dot(np.exp(theirs), theirs - ours) for theirs, ours in zip(teacher, student, strict=True)]
    return np.maximum(both_orders(np.array(rows)), 0)


def dominance(nonlinearity: np.ndarray, entropy: np.ndarray) -> np.ndarray:
    """D = L_NL / H[p(x̃)] of means over pairs [...] (eq. 13): a ratio of means, no mean of ratios.

    It has no upper limit: a model that is surer of the same classes has less entropy and more residual. An entropy
    below 1e-12 nats counts as that.
    """
    return nonlinearity / np.maximum(entropy, _LEAST_ENTROPY)


def uniform_nonlinearity(linear_entropy: np.ndarray, num_classes: int) -> np.ndarray:
    """ln K − H[p_lin]: the L_NL [...] of a model with the same corners, hence linear_entropy, that says 1/K of x̃.

    A model above it fits its own linear interpolation worse than one that knows nothing of mixed inputs.
    """
    return np.log(num_classes) - linear_entropy


def information_bound(teacher: np.ndarray, student: np.ndarray) -> np.ndarray:
    """A lower bound [L] of the mutual information of a class drawn from p_t(x̃) and the student's p_s(x̃) (eq. 10).

    The bound of Barber & Agakov (2003) is H[E p_t] + E[Σ_k p_t(k)·log p_s(k)] of log-probabilities [L, P, K]: the
    entropy of the teacher's mean prediction, and the student's log-probability of a class in expectation over the
    teacher's probabilities, which eq. 10 leaves out. With the mean entropy E H[p_t] in place of H[E p_t], as eq. 11
    reads it, the sum is −E KL(p_t ‖ p_s), never above 0, and information never is below: that would say nothing.

    It shows how much of what its teacher would answer a student tells at least. It cannot show that the answer is worth
    knowing, since a teacher's confusion counts like its knowledge; nor that a student which deviates from its teacher,
    say by being more linear, knows less, although it lowers the bound. It is at most ln K, and too low for few pairs,
    whose mean prediction is less even than that of many.
    """
    mean = both_orders(np.array([np.exp(row).mean(axis=0) for row in teacher]))
    agreement = [_dot(np.exp(theirs), ours).mean() for theirs, ours in zip(teacher, student, strict=True)]
    return _entropy(mean) + both_orders(np.array(agreement))


def figures_of(curves: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Figures [...] of mean curves [..., L]: the fields of `Between` and, if there is a teacher, gain and kl.

    Means over 0 < λ < 1 of L_NL (nonlinearity), the Jensen–Shannon variant, H (entropy), I_lin (information) and
    Δ_lin (gain, eq. 15); their ratio D (dominance); peaks over λ. kl_real is the mean at the corners, kl_mixed the mean
    over 0 < λ < 1, independence their difference (table 6). With curves [R, L] of resamples these are draws [R]; a peak
    is searched in every one anew.
    """
    inner = {name: curve[..., 1:-1].mean(axis=-1) for name, curve in curves.items()}
    figures = {name: inner[name] for name in ("nonlinearity", "jensen_shannon", "entropy")}
    figures["information"] = inner["linear_entropy"] - inner["nonlinearity"]
    figures["nonlinearity_peak"] = curves["nonlinearity"].max(axis=-1)
    figures["dominance"] = dominance(inner["nonlinearity"], inner["entropy"])
    figures["dominance_peak"] = dominance(curves["nonlinearity"], curves["entropy"]).max(axis=-1)
    if "gain" in curves:
        figures |= {"gain": inner["gain"], "gain_peak": curves["gain"].max(axis=-1)}
        figures |= {"kl_real": curves["kl"][..., [0, -1]].mean(axis=-1), "kl_mixed": inner["kl"]}
        figures["independence"] = figures["kl_mixed"] - figures["kl_real"]
    return figures
