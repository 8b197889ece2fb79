"""The two readings of a model's logits, as trained and temperature-scaled, and how figures of them are named."""

from collections.abc import Iterator

import numpy as np

from kd_core.measure.predictions import RAW, SCALED, SUFFIXES
from kd_core.measure.resampling import interval
from kd_core.reliability.evaluator import Figures, Model


def readings(*models: Model) -> Iterator[tuple[str, tuple[float, ...]]]:
    """The suffix of the names of a reading, and the temperature that divides each model's logits in it."""
    yield SUFFIXES[RAW], (1.0,) * len(models)
    yield SUFFIXES[SCALED], tuple(model.temperature for model in models)


def with_interval(name: str, value: float | np.ndarray, draws: np.ndarray) -> Figures:
    """A figure [...] and the ends of its interval, NAME_low and NAME_high, from draws [R, ...] of it."""
    for ending, array in zip(("", "_low", "_high"), (value, *interval(draws, value)), strict=True):
        yield name + ending, array if np.ndim(array) else float(array)
