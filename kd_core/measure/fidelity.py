"""How faithfully a student repeats its teacher on the same inputs: N samples, K classes, any axes before them."""

import numpy as np
import scipy  # submodules are loaded on first use


def agreement(student_logits: np.ndarray, teacher_logits: np.ndarray) -> np.ndarray:
    """Whether both predict the same class, boolean [..., N], from logits [..., N, K] (Stanton 2021)."""
    return student_logits.argmax(axis=-1) == teacher_logits.argmax(axis=-1)


def log_odds(logits: np.ndarray, classes: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """ln p(k)/(1 − p(k)) [N] of the class k of each sample, classes [N], from logits [N, K] / temperature.

    It is the class's logit less the logsumexp of the others, which stays exact and finite where p(k) rounds to 1.
    """
    logits = logits.astype(np.float64) / temperature
    of_class = np.take_along_axis(logits, classes[:, None], axis=1)[:, 0]
    np.put_along_axis(logits, classes[:, None], -np.inf, axis=1)
    return of_class - scipy.special.logsumexp(logits, axis=1)


def slope_and_correlation(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of y [N] on x [N] by least squares, and Pearson's correlation; NaN where x, or either, is constant."""
    x, y = x - x.mean(), y - y.mean()
    of_x, of_y, of_both = float(x @ x), float(y @ y), float(x @ y)
    slope = of_both / of_x if of_x > 0 else float("nan")
    return slope, of_both / (of_x * of_y) ** 0.5 if of_x * of_y > 0 else float("nan")
