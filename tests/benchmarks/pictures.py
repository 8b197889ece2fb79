"""Pictures whose pixels are known, in every format and mode, and whole or damaged."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from kd_core.config.errors import DataError
from kd_core.data.pixels import decode

SIZE = 8  # pixels a side, but of images of other sizes
_LOSSY = 14.0  # the mean difference that compression may make; two pictures differ by far more


@dataclass(frozen=True)
class Picture:
    """An encoded image and what it shows: pixels uint8 [H, W, 3 or 4], of four channels where it is transparent.

    pixels is None if it cannot be decoded; tolerance is the mean difference that its encoding makes; said is a part of
    the note that it is due. Of a damaged one, it may be said that it cannot be read; link is
    where it leads if it is a link.
    """

    content: bytes
    pixels: np.ndarray | None
    suffix: str = ".png"
    tolerance: float = 0.0
    said: str = ""
    damaged: bool = False
    link: str = ""


def pixels_of(generator: random.Random, width: int = SIZE, height: int = SIZE) -> np.ndarray:
    """A smooth picture between four random colours, uint8 [H, W, 3], another at each call."""
    corners = np.frombuffer(generator.randbytes(12), np.uint8).reshape(2, 2, 3)
    return np.asarray(Image.fromarray(corners).resize((width, height), Image.Resampling.BILINEAR))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def picture(generator: random.Random) -> Picture:
    """A plain picture in PNG."""
    pixels = pixels_of(generator)
    return Picture(encoded(Image.fromarray(pixels), "PNG"), pixels)


def unusual(generator: random.Random) -> Picture:
    """A picture of another format, mode or size."""
    return generator.choice(_UNUSUAL)(generator)


def _compressed(generator: random.Random) -> Picture:
    pixels = pixels_of(generator)
    content = encoded(Image.fromarray(pixels), "JPEG", quality=95, subsampling=0)
    return Picture(content, pixels, ".jpg", _LOSSY)


def _lossless(generator: random.Random) -> Picture:
    kind, suffix = generator.choice([("BMP", ".bmp"), ("TIFF", ".tiff"), ("PPM", ".ppm"), ("WEBP", ".webp")])
    pixels = pixels_of(generator)
    return Picture(encoded(Image.fromarray(pixels), kind, lossless=True), pixels, suffix)


def _of_another_size(generator: random.Random) -> Picture:
    pixels = pixels_of(generator, 11, 7)
    return Picture(encoded(Image.fromarray(pixels), "PNG"), pixels)


def _transparent(generator: random.Random) -> Picture:
    pixels = np.dstack([pixels_of(generator), pixels_of(generator)[..., :1]])
    image = Image.fromarray(pixels)
    if generator.random() < 0.5:
        image = image.convert("LA")
        pixels = np.asarray(image.convert("RGBA"))
    return Picture(encoded(image, "PNG"), pixels, tolerance=1.5, said="with transparency")


def _with_a_transparent_colour(generator: random.Random) -> Picture:
    image = Image.fromarray(pixels_of(generator)).quantize(16)
    transparent = np.asarray(image) == 3
    pixels = np.dstack([np.asarray(image.convert("RGB")), np.where(transparent, 0, 255).astype(np.uint8)])
    return Picture(encoded(image, "PNG", transparency=3), pixels, tolerance=1.5, said="with transparency")


def _deep(generator: random.Random) -> Picture:
    """Grey values of 16 bits, or of floating point, which are refused above 1."""
    grey = pixels_of(generator)[..., 0]
    pixels, said = np.dstack([grey] * 3), "of 16 bits or floating point"
    kind = generator.random()
    if kind < 0.5:
        return Picture(encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"), pixels, said=said)
    if kind < 0.8:
        return Picture(encoded(Image.fromarray(grey.astype(np.float32) / 255), "TIFF"), pixels, ".tif", said=said)
    return Picture(encoded(Image.fromarray(grey.astype(np.float32) + 1.5), "TIFF"), None, ".tif")


def _in_cmyk(generator: random.Random) -> Picture:
    pixels = pixels_of(generator)
    content = encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=95, subsampling=0)
    return Picture(content, pixels, ".jpeg", _LOSSY, "in CMYK")


def _animated(generator: random.Random) -> Picture:
    frames = [Image.fromarray(pixels_of(generator)).quantize(256) for _ in range(2)]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    return Picture(content, np.asarray(frames[0].convert("RGB")), ".gif", 1.0, "of several frames")


def _turned(generator: random.Random) -> Picture:
    """Stored on its side, with the orientation that turns it upright."""
    pixels, exif = pixels_of(generator), Image.Exif()
    exif[0x0112] = 6
    return Picture(encoded(Image.fromarray(pixels), "PNG", exif=exif), np.rot90(pixels, -1).copy(), said="turned by")


_UNUSUAL: list[Callable[[random.Random], Picture]] = [
    *(_compressed, _lossless, _of_another_size, _transparent, _with_a_transparent_colour),
    *(_deep, _in_cmyk, _animated, _turned),
]


def spoilt(whole: Picture, generator: random.Random) -> Picture:
    """The picture with its file damaged.

    A file cut short shows what it was or nothing, and so does a PNG with a flipped bit, which has checksums. Other
    formats have none: there, what can be decoded of the flipped bytes is what the file shows now.
    """
    content, kind = bytearray(whole.content), generator.random()
    if kind < 0.4 and content:
        for _ in range(generator.choice([1, 1, 3])):
            content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
        if whole.content.startswith(b"\x89PNG"):
            return replace(whole, content=bytes(content), damaged=True)
        return replace(_seen(bytes(content)), suffix=whole.suffix)
    if kind < 0.7:
        return replace(whole, content=bytes(content[: generator.randrange(len(content) + 1)]), damaged=True)
    lost = [b"", b"version https://git-lfs.github.com/spec/v1\n", b"<html>404</html>", bytes(len(content))]
    return replace(whole, content=generator.choice(lost), pixels=None, damaged=True)


def _seen(content: bytes) -> Picture:
    """What can be decoded of a file that may be damaged."""
    try:
        return Picture(content, decode(io.BytesIO(content), "", None), tolerance=1e-3, damaged=True)
    except DataError:
        return Picture(content, None, damaged=True)
