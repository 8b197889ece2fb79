"""What a store's models are asked about how far they can be trusted, as frozen values."""

from typing import Annotated

from pydantic import AfterValidator, Field

from kd_core.config.data import DataConfig
from kd_core.fields import AbsolutePath, Config, Mark, PositiveInt, Seed


def _odd(value: int) -> int:
    """The value; raises ValueError unless it is odd, so that λ = ½ is on the grid."""
    if value % 2 == 0:
        raise ValueError("must be odd, so that one coefficient is a half")
    return value


Odd = Annotated[int, Field(ge=3, le=1001), AfterValidator(_odd)]


class EvaluateConfig(Config):
    """The inputs of the evaluations of a sweep; each evaluator reads some of these."""

    images: PositiveInt | None = 1000
    """how many test images, the same share of every class; null for all of them"""
    pairs: PositiveInt = 1000
    """how many pairs of test images are mixed"""
    lambdas: Odd = 21
    """how many mixing coefficients, evenly from 0 to 1"""
    draws: PositiveInt = 4
    """how many random neighbours of each image"""
    radius: Annotated[float, Field(gt=0, le=1)] = 8 / 255
    """the largest change of a pixel, whose range is 0 to 1, in a random neighbour"""
    corruptions: Annotated[AbsolutePath | None, Mark.PLACE] = None
    """the folder of CIFAR-10-C or CIFAR-100-C as published; by default the test images are corrupted here"""
    ood: DataConfig | None = None
    """a source of images of other classes; without it nothing is asked about them"""
    classes: tuple[str, ...] = ()
    """the classes whose features are drawn; by default those of the paper where there are such, else the five that
    are most often confused"""
    seed: Seed = 0
    """of the choice of images, pairs, corruptions and resamples"""
    resamples: PositiveInt = 1000
    """of images or pairs, for intervals of 95 %"""
