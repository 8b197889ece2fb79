"""Tests the model that MLflow runs: what it takes for images, and how it fits them."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from kd_core.data.pixels import decode

RNG = np.random.default_rng(0)


def image(*shape):
    """Random pixels."""
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def test_images_of_any_size_are_fitted_as_those_that_were_trained_on(classifier):
    raw = [image(8, 8, 3), image(31, 17, 3), image(5, 40, 3)]
    fitted = np.stack([decode(each, "", 8) for each in raw])
    np.testing.assert_array_equal(classifier.predict(raw), classifier.predict(fitted))


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 1), (20, 30, 4)])
def test_grey_and_transparent_images_are_read_as_colour(classifier, shape):
    pixels = image(*shape)
    buffer = BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, "PNG")
    colour = decode(buffer, "", None)
    np.testing.assert_array_equal(classifier.predict(pixels), classifier.predict(colour))


def test_one_image_a_batch_and_a_list_give_a_row_of_probabilities_each(classifier):
    batch = image(5, 12, 9, 3)
    made = classifier.predict(batch)
    assert made.shape == (5, 10)
    assert made.dtype == np.float32
    np.testing.assert_allclose(made.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(classifier.predict(batch[2]), made[2:3], rtol=1e-5)
    np.testing.assert_array_equal(classifier.predict(list(batch)), made)
    np.testing.assert_array_equal(classifier.predict(batch.astype(object)), made)
    np.testing.assert_array_equal(classifier.predict(batch.tolist()), made)  # as a server gets them
    assert classifier.predict(image(4, 12, 9)).shape == (4, 10)  # grey ones


def test_a_long_batch_is_taken_in_parts(classifier):
    batch = image(300, 8, 8, 3)
    np.testing.assert_allclose(classifier.predict(batch)[-3:], classifier.predict(batch[-3:]), rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ([], "no image came"),
        (np.zeros((0, 8, 8, 3), np.uint8), "no image came"),
        (np.zeros((8, 8, 3), np.float32), "float32 pixels other than 0 to 255"),
        (np.full((8, 8, 3), 256), "pixels other than 0 to 255"),
        (np.full((8, 8), -1), "pixels other than 0 to 255"),
        (np.zeros((0, 8), np.uint8), "pixels other than 0 to 255"),
        ([np.zeros((8, 8, 2), np.uint8)], r"has the shape \[8, 8, 2\]"),
        ([1, 2], r"has the shape \[\]"),
        (["a.jpg"], r"has the shape \[\]"),
        ([[[1, 2], [3]]], "no array of pixels"),
    ],
)
def test_what_is_no_image_is_one_sentence(classifier, given, problem):
    with pytest.raises(ValueError, match=problem):
        classifier.predict(given)
