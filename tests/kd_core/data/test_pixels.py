"""Encoded images to pixels: depth, transparency, rotation and frames."""

from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image

from kd_core.config.errors import DataError
from kd_core.data.pixels import KINDS, decode


def saved(picture: Image.Image, kind: str, **options) -> BytesIO:
    """An image as the bytes of a file."""
    buffer = BytesIO()
    picture.save(buffer, kind, **options)
    return buffer


def kinds_of(content: BytesIO) -> list[int]:
    """Which of KINDS an image is."""
    with Image.open(content) as image:
        return [number for number, is_so in enumerate(KINDS.values()) if is_so(image)]


GREYS = np.array([[0, 1000], [30_000, 65_535]], dtype=np.uint16)
BACKGROUNDS = {"white": [255, 255, 255], "black": [0, 0, 0], "#ff8000": [255, 128, 0]}


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (Image.fromarray(GREYS), "PNG"),
        (Image.fromarray(GREYS), "TIFF"),
        (Image.fromarray(GREYS.astype(np.int32)), "TIFF"),
    ],
    ids=["png", "tiff", "tiff of 32 bits with values of 16"],
)
def test_sixteen_bits_are_scaled_by_their_depth(picture, kind):
    content = saved(picture, kind)
    pixels = decode(content, "", None)
    np.testing.assert_array_equal(pixels[..., 0], np.rint(GREYS / 257))
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])
    assert kinds_of(content) == [0]


def test_a_dark_image_of_sixteen_bits_stays_dark():
    pixels = decode(saved(Image.fromarray(GREYS // 100), "PNG"), "", None)
    assert pixels.max() == round(655 / 257)


def test_floating_point_from_0_to_1_is_black_to_white_and_other_values_are_asked_for():
    values = np.array([[0, 0.25], [0.5, 1]], dtype=np.float32)
    pixels = decode(saved(Image.fromarray(values), "TIFF"), "", None)
    np.testing.assert_array_equal(pixels[..., 0], [[0, 64], [128, 255]])
    for wrong in (values * 255, values - 1, values * np.nan):
        with pytest.raises(DataError, match=r"floating-point values go from .* save it with 8 or 16 bits"):
            decode(saved(Image.fromarray(wrong), "TIFF"), "x.tif", None)


def shape(mode: str) -> Image.Image:
    """A black square on transparent black, in a mode with transparency."""
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[2:6, 2:6, 3] = 255
    return Image.fromarray(pixels).convert(mode)


def palette() -> Image.Image:
    """The square as colour 1 of a palette, whose colour 0 is transparent."""
    picture = Image.new("P", (8, 8), 0)
    picture.putpalette([0, 0, 0, 0, 0, 0])
    picture.paste(1, (2, 2, 6, 6))
    return picture


@pytest.mark.parametrize(
    "content",
    [
        saved(shape("RGBA"), "PNG"),
        saved(shape("LA"), "PNG"),
        saved(shape("RGBA"), "WEBP", lossless=True),
        saved(palette(), "PNG", transparency=0),
        saved(palette(), "GIF", transparency=0),
    ],
    ids=["rgba", "la", "webp", "palette", "gif"],
)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_transparency_is_laid_on_the_background(content, background):
    pixels = decode(content, "", None, background)
    assert pixels[0, 0].tolist() == pixels[7, 7].tolist() == BACKGROUNDS[background]
    assert pixels[3, 3].tolist() == [0, 0, 0]
    assert kinds_of(content) == [1]


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(content, "", None)[0, 0].tolist() == [255, 0, 0]
    assert 2 in kinds_of(content)


def test_cmyk_is_read_as_the_colours_that_it_means():
    content = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")
    red, green, blue = decode(content, "", None)[4, 4].tolist()
    assert (red > 240, green < 15, blue < 15) == (True, True, True)
    assert kinds_of(content) == [4]


def test_no_warning_of_the_library_reaches_the_user(recwarn):
    picture = palette()
    decode(saved(picture, "PNG", transparency=bytes([0, 255])), "", None)
    assert not recwarn.list


def test_pixels_are_resized_as_an_encoded_image_is():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    for size in (None, 5, 12):
        np.testing.assert_array_equal(decode(pixels, "pixels", size), decode(buffer, "file", size))


def test_a_photograph_is_turned_upright(tmp_path):
    picture = Image.new("RGB", (4, 2), (0, 0, 0))
    picture.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the camera was held upright: turn it clockwise to view it
    picture.save(tmp_path / "photograph.png", exif=exif)
    pixels = decode(tmp_path / "photograph.png", "photograph", None)
    assert pixels.shape == (4, 2, 3)
    assert np.argwhere(pixels[..., 0] == 255).tolist() == [[0, 1]]


def test_a_decompression_bomb_is_one_sentence(tmp_path, monkeypatch):
    Image.new("1", (3000, 3000)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(DataError, match=r"bomb\.png: is no readable image .*decompression bomb.*; remove") as error:
        decode(tmp_path / "bomb.png", "bomb.png", None)
    assert "\n" not in str(error.value)
