"""The learning rate of every step of a recipe."""

import bisect
import math
from collections.abc import Callable

from kd_core.config.recipe import TrainConfig

STEP_DECAY = 0.1  # factor of the learning rate at each milestone


def learning_rate_schedule(config: TrainConfig, steps_per_epoch: int) -> Callable[[int], float]:
    """The learning rate of step 0, 1, … after the head epochs: warm-up, then the schedule of the recipe."""
    warmup = config.warmup_epochs * steps_per_epoch

    def learning_rate(step: int) -> float:
        """The rate of a step, which counts from 0."""
        if config.schedule == "piecewise":
            return _piecewise(config, step / steps_per_epoch)
        if step < warmup:
            return config.learning_rate * (step + 1) / warmup
        return config.learning_rate * _decay(config, step / steps_per_epoch)

    return learning_rate


def _decay(config: TrainConfig, epoch: float) -> float:
    """The fraction of the peak learning rate at a (fractional) epoch after the warm-up."""
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "step":
        return STEP_DECAY ** bisect.bisect_right(sorted(config.milestones), epoch)
    return _interpolated(1.0, 0.0, (epoch - config.warmup_epochs) / (config.epochs - config.warmup_epochs), "cosine")


def _piecewise(config: TrainConfig, epoch: float) -> float:
    begins = 0.0
    for piece in config.pieces:
        if epoch < piece.until:
            return _interpolated(piece.start, piece.end, (epoch - begins) / (piece.until - begins), piece.shape)
        begins = piece.until
    return config.pieces[-1].end


def _interpolated(start: float, end: float, share: float, shape: str) -> float:
    weight = (1 - math.cos(math.pi * share)) / 2 if shape == "cosine" else share
    return start + (end - start) * weight
