"""Encoded images to pixels: grey values of any depth, transparency, rotation, and one frame of several.

All become uint8 [H, W, 3]. Depth is that of the file's format, never of what an image happens to hold, so that bright
and dark images stay so.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kd_core.config.errors import DataError

_SIXTEEN_BITS = 65_535
Content = Path | BytesIO | np.ndarray  # a file, its bytes, or pixels uint8 [H, W, 3]
warnings.filterwarnings("ignore", module=r"PIL\.")  # we say ourselves what is odd, once for all images
logging.getLogger("PIL").setLevel(logging.ERROR)


def decode(content: Content, name: str, image_size: int | None, background: str = "white") -> np.ndarray:
    """Decode an image to pixels uint8 [H, W, 3], turned by its EXIF orientation; raises DataError.

    If image_size is given, it is resized and centre-cropped to image_size pixels a side. Transparent pixels are laid on
    the background; of an animation, the first frame is taken.
    """
    try:
        if isinstance(content, np.ndarray):
            picture = Image.fromarray(content)
        else:
            with opened(content) as image:
                picture = eight_bit_rgb(image, background)
    except Exception as error:  # each decoder raises its own errors, as do decompression bombs
        problem = f"is no readable image ({problem_of(error, content)})"
        raise DataError(
            f"data.path: {name}: {problem}; remove or replace it, or set data.skip_unreadable: true"
        ) from error
    if image_size is not None and picture.size != (image_size, image_size):
        picture = ImageOps.fit(picture, (image_size, image_size), Image.Resampling.BICUBIC)
    return np.asarray(picture)


@contextmanager
def opened(content: Path | BytesIO) -> Iterator[Image.Image]:
    """An image, opened; raises the errors of Pillow, also where the checksums of a PNG file do not fit.

    Pillow compares those of the pixels only if asked to: of flipped bits, it decodes one in ten to other pixels.
    """
    with Image.open(content) as image:
        is_png = image.format == "PNG"
        if is_png:
            image.verify()  # after which it cannot be decoded
        else:
            yield image
    if is_png:
        with Image.open(content) as image:
            yield image


KINDS = {
    "of 16 bits or floating point, scaled to 8 bits": lambda image: image.mode[0] in "IF",
    "with transparency, laid on data.background": lambda image: has_transparency(image),
    "of several frames, of which the first is taken": lambda image: getattr(image, "n_frames", 1) > 1,
    "turned by their EXIF orientation": lambda image: image.getexif().get(0x0112, 1) != 1,
    "in CMYK": lambda image: image.mode == "CMYK",
}  # what is unusual about an opened image, in the words in which it is counted


def problem_of(error: Exception, content: Content) -> str:
    """Why an image cannot be decoded, in a few words."""
    if isinstance(content, BytesIO) and not content.getbuffer().nbytes:
        return "it has no bytes, or only a path"
    if isinstance(error, UnidentifiedImageError):
        return "in no format that is known"
    return " ".join(str(error).split())[:200] or type(error).__name__


def has_transparency(image: Image.Image) -> bool:
    """Whether an image has an alpha channel, or a transparent colour."""
    return image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info


def eight_bit_rgb(image: Image.Image, background: str) -> Image.Image:
    """An opened image in RGB of 8 bits, turned, and laid on the background where it is transparent."""
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode[0] in "IF":
        return Image.fromarray(_eight_bits(image)).convert("RGB")
    if not has_transparency(image):
        return image.convert("RGB")
    drawn = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", drawn.size, background), drawn).convert("RGB")


def _eight_bits(image: Image.Image) -> np.ndarray:
    """Grey values uint8 [H, W] of an image of 16 bits, or of floating-point numbers from 0 to 1; raises ValueError."""
    values = np.asarray(image)
    if image.mode == "F":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ValueError(
                f"its floating-point values go from {values.min():.4g} to {values.max():.4g}, and 0 to 1 is black to "
                "white; save it with 8 or 16 bits"
            )
        return np.rint(values * 255).astype(np.uint8)
    if values.min() < 0 or values.max() > _SIXTEEN_BITS:
        raise ValueError(f"its values go from {values.min()} to {values.max()}; save it with 8 or 16 bits")
    return np.rint(values * (255 / _SIXTEEN_BITS)).astype(np.uint8)
