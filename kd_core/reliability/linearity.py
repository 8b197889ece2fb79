"""Linearity: how far a model is from linear between pairs of images, and how much nearer than its teacher."""

import numpy as np
import scipy  # submodules are loaded on first use

from kd_core.config.evaluation import EvaluateConfig
from kd_core.measure.linearity import (
    between,
    divergence,
    dominance,
    figures_of,
    information_bound,
    uniform_nonlinearity,
)
from kd_core.measure.resampling import resample_counts, resampled_means
from kd_core.reliability.evaluator import Evaluator, Figures, Model
from kd_core.reliability.readings import readings, with_interval


def evaluate(model: Model, teacher: Model | None, options: EvaluateConfig) -> Figures:
    """The figures of `figures_of`, and the curves [L] behind them over the array lambda, with their intervals, in nats.

    Intervals are over resamples of the pairs, the same ones for a student and its teacher: where gain_low is above 0,
    the student is more linear than its teacher on other such pairs, too. Without intervals there are:

    - nonlinearity_median and nonlinearity_p99: over pairs, of each pair's mean over 0 < λ < 1, and as curves
    - bound: of the mutual information with the teacher (`information_bound`), the mean over 0 < λ < 1 and as a curve
    - the arrays uniform, a line beside nonlinearity, and uniform_dominance, one beside dominance: a model with the same
      corners that says 1/K of every mixed input. Its D stays below 1, so that a D above 1 is never mere ignorance: it
      takes certainty of something else. A linear and a constant model lie on 0, which needs no line
    """
    mixing = np.array(model.outputs["mixed"].axes["lambda"], dtype=np.float64)
    num_pairs, num_classes = model.outputs["mixed"].logits.shape[1:]
    counts = resample_counts(num_pairs, options.resamples, options.seed)
    yield "lambda", mixing
    models = (model,) if teacher is None else (model, teacher)
    for suffix, temperatures in readings(*models):
        spoken = [_log_probabilities(*pair) for pair in zip(models, temperatures, strict=True)]
        values = _values(spoken, mixing)
        yield from _of_means(values, counts, suffix)
        yield from _of_pairs(values["nonlinearity"], suffix)
        yield from _by_pair(values, suffix)
        uniform = uniform_nonlinearity(values["linear_entropy"].mean(axis=1), num_classes)
        yield f"uniform{suffix}", uniform
        yield f"uniform_dominance{suffix}", uniform / np.log(num_classes)
        if teacher is not None:
            bound = information_bound(spoken[1], spoken[0])
            yield f"bound{suffix}", bound
            yield f"linearity/bound{suffix}", float(bound[1:-1].mean())


def _log_probabilities(model: Model, temperature: float) -> np.ndarray:
    """log p [L, P, K] of the mixed inputs, in float64."""
    logits = model.outputs["mixed"].logits
    return np.array([scipy.special.log_softmax(row.astype(np.float64) / temperature, axis=-1) for row in logits])


def _values(spoken: list[np.ndarray], mixing: np.ndarray) -> dict[str, np.ndarray]:
    """Values [L, P] by name, from the log-probabilities of the model and, if there is one, its teacher."""
    student, *teachers = spoken
    values = dict(vars(between(student, mixing)))
    for teacher in teachers:
        values["gain"] = between(teacher, mixing).nonlinearity - values["nonlinearity"]
        values["kl"] = divergence(teacher, student)
    return values


def _of_means(values: dict[str, np.ndarray], counts: np.ndarray, suffix: str) -> Figures:
    """What is a function of means over pairs: curves, their global figures, and the intervals of both."""
    means = _named({name: array.mean(axis=1) for name, array in values.items()})
    draws = _named({name: resampled_means(array, counts) for name, array in values.items()})
    for name, value in means.items():
        yield from with_interval(name + suffix, value, draws[name])


def _named(curves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All curves [..., L] and figures [...] that follow from mean curves, by their names."""
    figures = {f"linearity/{name}": figure for name, figure in figures_of(curves).items()}
    curves["dominance"] = dominance(curves["nonlinearity"], curves["entropy"])
    curves["information"] = curves["linear_entropy"] - curves["nonlinearity"]
    return curves | figures


def _of_pairs(nonlinearity: np.ndarray, suffix: str) -> Figures:
    """Median and 99th percentile over pairs of the nonlinearity [L, P]."""
    for name, share in (("nonlinearity_median", 0.5), ("nonlinearity_p99", 0.99)):
        yield name + suffix, np.quantile(nonlinearity, share, axis=1)
        yield f"linearity/{name}{suffix}", float(np.quantile(nonlinearity[1:-1].mean(axis=0), share))


def _by_pair(values: dict[str, np.ndarray], suffix: str) -> Figures:
    """What of the values [L, P] models are compared by, pair by pair."""
    half = len(values["entropy"]) // 2
    for name in ("nonlinearity", "entropy"):
        yield f"{name}_half{suffix}", values[name][half].astype(np.float32)
    if "gain" in values:
        independence = values["kl"][1:-1].mean(axis=0) - values["kl"][[0, -1]].mean(axis=0)
        yield f"gain_by_pair{suffix}", values["gain"][1:-1].mean(axis=0).astype(np.float32)
        yield f"independence_by_pair{suffix}", independence.astype(np.float32)


LINEARITY = Evaluator(
    "linearity",
    "Medina 2026, equations 10 to 15 and tables 5 and 6; Barber & Agakov 2003",
    inputs=("mixed",),
    evaluate=evaluate,
    options=("resamples", "seed"),
    headlines={"linearity/nonlinearity": "nonlinearity", "linearity/gain": "gain"},
    objectives={"linearity/nonlinearity": "min", "linearity/nonlinearity_scaled": "min"},
    place=1,
)
