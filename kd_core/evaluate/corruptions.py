"""Six common corruptions of images at five severities (Hendrycks & Dietterich 2019), drawn by image number.

The constants are those of the authors' repository hendrycks/robustness: of make_cifar_c.py for images of at most 64
pixels a side, of imagenet_c/corruptions.py for larger ones.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image
from scipy.special import ndtri

NUM_SEVERITIES = 5
_LARGEST_SMALL = 64  # pixels a side


@dataclass(frozen=True)
class Corruption:
    """A function of an image uint8 [H, W, 3], a source of random bits and a constant, and its constants by severity."""

    corrupt: Callable[[np.ndarray, np.random.Philox, Any], np.ndarray]
    small: tuple[Any, ...]
    large: tuple[Any, ...]


def corrupted(image: np.ndarray, corruption: str, severity: int, seed: int, number: int) -> np.ndarray:
    """The image uint8 [H, W, 3] corrupted, at severity 1 to 5, as drawn for this seed and number of the image.

    It depends on nothing else, such as what was drawn before. Seed and number are at least 0 and below 2⁶⁴.
    """
    assert (image.dtype, image.shape[2:]) == (np.uint8, (3,)), f"{image.dtype} {image.shape}"
    assert 1 <= severity <= NUM_SEVERITIES, severity
    how = CORRUPTIONS[corruption]
    constants = how.small if max(image.shape) <= _LARGEST_SMALL else how.large
    place = list(CORRUPTIONS).index(corruption)
    random = np.random.Philox(key=[seed, number], counter=[0, 0, severity, place])
    return how.corrupt(image, random, constants[severity - 1])


def gaussian_noise(image: np.ndarray, random: np.random.Philox, sigma: float) -> np.ndarray:
    """Independent normal noise on each channel of each pixel, of standard deviation sigma where white is 1."""
    return _pixels(image + 255 * sigma * ndtri(_uniform(random, image.size)).reshape(image.shape))


def motion_blur(image: np.ndarray, random: np.random.Philox, line: tuple[int, float]) -> np.ndarray:
    """Blur along a line of (radius, sigma) in pixels, at an angle that is uniform from −45° to 45°.

    As ImageMagick defines it: a pixel becomes the mean of the 2·radius + 1 pixels that begin with it and lie one after
    the other along the line, each rounded to the grid, with weights exp(−distance²/2σ²). Edges are repeated outwards.
    """
    radius, sigma = line
    angle = math.radians(90 * _uniform(random, 1).item() - 45)
    distances = np.arange(2 * radius + 1)
    weights = np.exp(-(distances**2) / (2 * sigma**2))
    rows = np.rint(distances * math.sin(angle)).astype(int) + 2 * radius
    columns = np.rint(distances * math.cos(angle)).astype(int)
    height, width = image.shape[:2]
    padded = np.pad(image.astype(np.float64), ((2 * radius, 2 * radius), (0, 2 * radius), (0, 0)), mode="edge")
    blurred = np.zeros(image.shape)
    for weight, row, column in zip(weights / weights.sum(), rows, columns, strict=True):
        blurred += weight * padded[row : row + height, column : column + width]
    return _pixels(np.rint(blurred))


def fog(image: np.ndarray, random: np.random.Philox, haze: tuple[float, float]) -> np.ndarray:
    """(image + strength·plasma)·m/(m + strength), where white is 1 and m is the brightest value of the image.

    The haze is the strength and the decay of `plasma`, whose map is the smallest that covers the image.
    """
    strength, decay = haze
    height, width = image.shape[:2]
    side = 2 ** max(1, (max(height, width) - 1).bit_length())
    fogged = image + 255 * strength * plasma(side, decay, random)[:height, :width, None]
    brightest = int(image.max())
    return _pixels(fogged * (brightest / (brightest + 255 * strength)))


def plasma(side: int, decay: float, random: np.random.Philox) -> np.ndarray:
    """A fractal landscape [side, side] from 0 to 1, periodic in both directions; side is a power of two from 2 on.

    By diamond-square (Fournier 1982): each round halves the distance of the points. The centre of each square of points
    gets the mean of its four corners, then the middle of each edge that of its four neighbours, each plus a uniform
    number from −a to a. The script decays the square root of a, so that a falls by decay² a round.
    """
    heights, amplitude = np.zeros((1, 1)), 1.0
    while (num := len(heights)) < side:
        wobble, across, down = amplitude * (2 * _uniform(random, 3 * num * num).reshape(3, num, num) - 1)
        below, right = np.roll(heights, -1, axis=0), np.roll(heights, -1, axis=1)
        centres = (heights + below + right + np.roll(below, -1, axis=1)) / 4 + wobble
        finer = np.empty((2 * num, 2 * num))
        finer[::2, ::2], finer[1::2, 1::2] = heights, centres
        finer[::2, 1::2] = (heights + right + centres + np.roll(centres, 1, axis=0)) / 4 + across
        finer[1::2, ::2] = (heights + below + centres + np.roll(centres, 1, axis=1)) / 4 + down
        heights, amplitude = finer, amplitude / decay**2
    heights -= heights.min()
    return heights / heights.max()


def jpeg(image: np.ndarray, random: np.random.Philox, quality: int) -> np.ndarray:
    """The image after JPEG of this quality, as Pillow writes and reads it."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.array(Image.open(buffer))


def contrast(image: np.ndarray, random: np.random.Philox, factor: float) -> np.ndarray:
    """Each channel's distances from its mean over the image, times the factor."""
    mean = image.mean(axis=(0, 1), dtype=np.float64)
    return _pixels((image - mean) * factor + mean)


def pixelate(image: np.ndarray, random: np.random.Philox, factor: float) -> np.ndarray:
    """The image shrunk by the factor and enlarged again, by Pillow's box filter."""
    height, width = image.shape[:2]
    coarse = (max(1, int(width * factor)), max(1, int(height * factor)))
    picture = Image.fromarray(image).resize(coarse, Image.Resampling.BOX)
    return np.array(picture.resize((width, height), Image.Resampling.BOX))


def _uniform(random: np.random.Philox, count: int) -> np.ndarray:
    """The next float64 [count] in the open interval (0, 1), from raw output, which numpy never changes."""
    return ((random.random_raw(count) >> np.uint64(12)) + 0.5) * 2.0**-52


def _pixels(values: np.ndarray) -> np.ndarray:
    """Values as uint8, clipped to 0 to 255 and rounded down, as in the published files."""
    return values.clip(0, 255).astype(np.uint8)


CORRUPTIONS: dict[str, Corruption] = {  # the place counts in what is drawn: a new one comes last
    "gaussian_noise": Corruption(gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)),
    "motion_blur": Corruption(
        motion_blur,
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "fog": Corruption(
        fog,
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    ),
    "jpeg": Corruption(jpeg, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
    "contrast": Corruption(contrast, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05)),
    "pixelate": Corruption(pixelate, (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25)),
}
