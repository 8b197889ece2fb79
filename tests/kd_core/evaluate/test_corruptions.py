"""The six common corruptions."""

import math
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import kstest

from kd_core.evaluate.corruptions import CORRUPTIONS, NUM_SEVERITIES, corrupted, motion_blur, plasma

SEVERITIES = range(1, NUM_SEVERITIES + 1)
SHAPES = [(32, 32), (17, 23), (96, 64), (1, 1), (8, 8), (70, 5)]
RANDOM = ("gaussian_noise", "motion_blur", "fog")


def textured(height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    """An image uint8 [H, W, 3] with coarse and fine structure."""
    generator = np.random.default_rng(seed)
    levels = [generator.integers(0, 256, (size, size, 3), dtype=np.uint8) for size in (4, 12, 32)]
    resized = [np.asarray(Image.fromarray(level).resize((width, height))).astype(float) for level in levels]
    return np.average(resized, axis=0, weights=(4, 2, 1)).astype(np.uint8)


def bits(seed: int = 0) -> np.random.Philox:
    """A source of random bits."""
    return np.random.Philox(key=[seed, 0])


def test_there_are_six_with_constants_for_five_severities():
    assert list(CORRUPTIONS) == ["gaussian_noise", "motion_blur", "fog", "jpeg", "contrast", "pixelate"]
    assert {len(each) for how in CORRUPTIONS.values() for each in (how.small, how.large)} == {NUM_SEVERITIES}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_images_of_any_shape_stay_images_of_that_shape_and_are_left_alone(corruption, shape):
    for image in (textured(*shape), *(np.full((*shape, 3), grey, np.uint8) for grey in (0, 128, 255))):
        before = image.copy()
        image.setflags(write=False)
        for severity in SEVERITIES:
            result = corrupted(image, corruption, severity, seed=0, number=0)
            assert (result.dtype, result.shape) == (np.uint8, image.shape)
            assert result.flags.writeable
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_corruption_depends_on_image_severity_seed_and_number_alone(corruption):
    image = textured()
    keys = [(severity, seed, number) for severity in SEVERITIES for seed in (0, 2**63 - 1) for number in (0, 7)]
    first = [corrupted(image, corruption, *key) for key in keys]
    again = [corrupted(image, corruption, *key) for key in reversed(keys)][::-1]
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_images_of_other_numbers_and_seeds_are_corrupted_otherwise_where_that_is_random(corruption, severity):
    image = textured()
    for keys in ([(0, number) for number in range(8)], [(seed, 0) for seed in range(8)]):
        num_different = len({corrupted(image, corruption, severity, *key).tobytes() for key in keys})
        assert num_different > 5 if corruption in RANDOM else num_different == 1


def test_corruptions_draw_apart():
    """Else a brighter pixel of the noise would be a denser one of the fog."""
    image = np.full((32, 32, 3), 128, np.uint8)
    noise, haze = (
        corrupted(image, name, 1, seed=0, number=0).astype(float)[..., 0].ravel() for name in ("gaussian_noise", "fog")
    )
    assert abs(np.corrcoef(noise, haze)[0, 1]) < 0.1


@pytest.mark.parametrize("side", [32, 96])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_higher_severity_is_further_from_the_image(corruption, side):
    images = [textured(side, side, seed) for seed in range(60)]

    def error(severity):
        distances = [
            corrupted(image, corruption, severity, seed=0, number=number) - image.astype(float)
            for number, image in enumerate(images)
        ]
        return np.mean(np.square(distances))

    errors = [error(severity) for severity in SEVERITIES]
    assert errors == sorted(errors)
    assert 0 < errors[0] < errors[-1]


@pytest.mark.parametrize(("side", "larger"), [(64, 65), (63, 224)])
def test_images_of_up_to_64_pixels_a_side_have_the_constants_of_small_ones(side, larger):
    for shape, factor in (((side, side), 0.75), ((side, larger), 0.4), ((larger, side), 0.4)):
        image = textured(*shape)
        expected = image.mean(axis=(0, 1)) + (image - image.mean(axis=(0, 1))) * factor
        difference = expected - corrupted(image, "contrast", 1, seed=0, number=0)
        assert difference.min() > -1e-9
        assert difference.max() < 1


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_is_normal_with_its_standard_deviation(severity):
    image = np.full((64, 64, 3), 128, np.uint8)
    noise = corrupted(image, "gaussian_noise", severity, seed=0, number=0) + 0.5 - image  # rounded down
    sigma = 255 * (0.04, 0.06, 0.08, 0.09, 0.1)[severity - 1]
    assert noise.std() == pytest.approx(sigma, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=4 * sigma / math.sqrt(noise.size))
    dithered = noise + np.random.default_rng(0).uniform(-0.5, 0.5, noise.shape)
    assert kstest(dithered.ravel(), "norm", args=(0, sigma)).pvalue > 0.001
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T)[np.triu_indices(3, 1)]).max() < 0.06


def blurred_by_definition(image: np.ndarray, radius: int, sigma: float, angle: float) -> np.ndarray:
    """The blur pixel by pixel, at an angle in degrees."""
    height, width, _ = image.shape
    weights = [math.exp(-(distance**2) / (2 * sigma**2)) for distance in range(2 * radius + 1)]
    result = np.zeros(image.shape)
    for row in range(height):
        for column in range(width):
            for distance, weight in enumerate(weights):
                from_row = row + round(distance * math.sin(math.radians(angle)))
                from_column = column + round(distance * math.cos(math.radians(angle)))
                pixel = image[min(max(from_row, 0), height - 1), min(max(from_column, 0), width - 1)]
                result[row, column] += pixel * (weight / sum(weights))
    return np.rint(result)


@pytest.mark.parametrize(("radius", "sigma"), [(6, 1), (3, 5)])
@pytest.mark.parametrize("seed", range(4))
def test_motion_blur_equals_its_definition(seed, radius, sigma):
    image = textured(11, 14, seed)
    angle = 90 * ((int(bits(seed).random_raw()) >> 12) + 0.5) / 2**52 - 45
    np.testing.assert_array_equal(
        motion_blur(image, bits(seed), (radius, sigma)), blurred_by_definition(image, radius, sigma, angle)
    )


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    colour=st.lists(st.integers(0, 255), min_size=3, max_size=3),
    severity=st.sampled_from(SEVERITIES),
    side=st.sampled_from([9, 70]),
    number=st.integers(0, 2**40),
)
def test_blur_contrast_and_pixelate_leave_an_image_of_one_colour(colour, severity, side, number):
    image = np.full((side, 40, 3), colour, np.uint8)
    for corruption in ("motion_blur", "contrast", "pixelate"):
        np.testing.assert_array_equal(corrupted(image, corruption, severity, seed=0, number=number), image)


@pytest.mark.parametrize("decay", [1.4, 3])
@pytest.mark.parametrize("side", [2, 8, 32, 128])
def test_plasma_goes_from_0_to_1(side, decay):
    heights = plasma(side, decay, bits())
    assert heights.shape == (side, side)
    assert (heights.min(), heights.max()) == (0, 1)


def test_plasma_is_rougher_the_slower_its_wobble_decays():
    def roughness(decay):
        maps = [plasma(64, decay, bits(seed)) for seed in range(20)]
        return np.mean([np.abs(np.diff(each, axis=axis)).mean() / each.std() for each in maps for axis in (0, 1)])

    assert roughness(3) < roughness(2) < roughness(1.4)


def plasma_by_definition(side: int, decay: float, random: np.random.Philox) -> np.ndarray:
    """Diamond-square point by point; wobbles are drawn round by round, centres first, then edges across and down."""
    heights, step, amplitude = {(0, 0): 0.0}, side, 1.0
    while step > 1:
        half, corners = step // 2, [(row, column) for row in range(0, side, step) for column in range(0, side, step)]
        for offset in ((half, half), (0, half), (half, 0)):
            reach = half if offset == (half, half) else 0
            for corner in corners:
                row, column = corner[0] + offset[0], corner[1] + offset[1]
                around = [(-reach, -reach), (-reach, reach), (reach, -reach), (reach, reach)]
                if not reach:
                    around = [(0, -half), (0, half), (-half, 0), (half, 0)]
                mean = sum(heights[(row + down) % side, (column + right) % side] for down, right in around) / 4
                uniform = ((int(random.random_raw()) >> 12) + 0.5) / 2**52
                heights[row, column] = mean + amplitude * (2 * uniform - 1)
        step, amplitude = half, amplitude / decay**2
    landscape = np.array([[heights[row, column] for column in range(side)] for row in range(side)])
    return (landscape - landscape.min()) / np.ptp(landscape)


@pytest.mark.parametrize("decay", [1.4, 3])
@pytest.mark.parametrize("side", [2, 4, 32])
def test_plasma_equals_its_definition(side, decay):
    expected = plasma_by_definition(side, decay, bits(5))
    np.testing.assert_allclose(plasma(side, decay, bits(5)), expected, atol=1e-12)


@pytest.mark.parametrize(("shape", "strength"), [((32, 32), 1.5), ((96, 128), 3)])
def test_fog_is_the_image_and_the_plasma_scaled_to_the_brightest_value(shape, strength):
    image = textured(*shape)
    foggy = corrupted(image, "fog", 5, seed=0, number=0)
    brightest = int(image.max())
    assert foggy.max() <= brightest
    haze = foggy * ((brightest / 255 + strength) / brightest) - image / 255  # strength times plasma, rounded
    step = (brightest / 255 + strength) / brightest
    assert haze.max(axis=2) == pytest.approx(haze.min(axis=2), abs=step + 1e-9)
    assert haze.min() == pytest.approx(0, abs=step + 0.5)
    assert haze.max() <= strength


def test_black_stays_black_in_fog():
    image = np.zeros((32, 32, 3), np.uint8)
    np.testing.assert_array_equal(corrupted(image, "fog", 5, seed=0, number=0), image)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(("shape", "qualities"), [((17, 23), (80, 65, 58, 50, 40)), ((96, 64), (25, 18, 15, 10, 7))])
def test_jpeg_is_that_of_pillow(shape, qualities, severity):
    image, buffer = textured(*shape), BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=qualities[severity - 1])
    np.testing.assert_array_equal(corrupted(image, "jpeg", severity, seed=0, number=0), Image.open(buffer))


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize(
    ("shape", "factors"), [((17, 23), (0.95, 0.9, 0.85, 0.75, 0.65)), ((96, 64), (0.6, 0.5, 0.4, 0.3, 0.25))]
)
def test_pixelate_is_that_of_pillow(shape, factors, severity):
    image, factor = textured(*shape), factors[severity - 1]
    coarse = Image.fromarray(image).resize((int(shape[1] * factor), int(shape[0] * factor)), Image.Resampling.BOX)
    expected = coarse.resize((shape[1], shape[0]), Image.Resampling.BOX)
    np.testing.assert_array_equal(corrupted(image, "pixelate", severity, seed=0, number=0), expected)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((1, 4, 4, 3), np.uint8)])
def test_only_an_image_is_corrupted(image):
    with pytest.raises(AssertionError):
        corrupted(image, "contrast", 1, seed=0, number=0)


@pytest.mark.parametrize("severity", [0, 6])
def test_there_is_no_other_severity(severity):
    with pytest.raises(AssertionError):
        corrupted(textured(), "contrast", severity, seed=0, number=0)
