from pathlib import Path

import numpy as np
import pytest
import torch

from kd_core.config.data import DataConfig
from kd_core.config.evaluation import EvaluateConfig
from kd_core.data.dataset import load
from kd_core.evaluate.corruptions import CORRUPTIONS, corrupted
from kd_core.evaluate.inputs import SETS, Inputs, Source, pairs_of, stratified


@pytest.fixture(scope="module")
def source(cifar100: Path) -> Source:
    data = DataConfig(source="parquet", path=str(cifar100), label_column="fine_label", validation=0.5)
    config = EvaluateConfig(images=8, pairs=5, lambdas=5, draws=2, ood=DataConfig(source="digits"))
    return Source(load(data), config)


def images_of(inputs: Inputs, size: int = 3) -> torch.Tensor:
    """All images of a set, in batches of a size that divides nothing."""
    batches = list(inputs.images(size))
    assert {len(batch) for batch in batches[:-1]} <= {size}
    images = torch.cat(batches)
    return images if images.dtype == torch.float32 else images.permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("name", SETS)
def test_a_set_has_as_many_images_as_its_axes_say_and_is_the_same_again(source, name):
    inputs = SETS[name](source)
    images = images_of(inputs)
    assert len(images) == np.prod(inputs.shape)
    assert (float(images.min()) >= 0, float(images.max()) <= 1) == (True, True)
    assert torch.equal(images, images_of(SETS[name](Source(source.dataset, source.config)), size=100))


def test_images_are_chosen_by_class_in_equal_shares(source):
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    assert np.bincount(labels[stratified(labels, 20, seed=0)]).tolist() == [12, 6, 2]
    assert stratified(labels, None, seed=0).tolist() == list(range(100))
    assert stratified(labels, 1000, seed=0).tolist() == list(range(100))
    assert stratified(labels, 20, seed=0).tolist() != stratified(labels, 20, seed=1).tolist()
    clean = SETS["clean"](source)
    np.testing.assert_array_equal(clean.labels, source.dataset.test.labels[source.numbers])


def test_pairs_are_of_different_images():
    pairs = pairs_of(3, 1000, seed=0)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(map(tuple, pairs.tolist())) == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}


def test_mixed_images_lie_on_the_line_between_the_two_of_their_labels(source):
    inputs = SETS["mixed"](source)
    images = images_of(inputs).unflatten(0, inputs.shape)
    pixels, (first, *_, last) = images_of(SETS["clean"](source)), inputs.axes["lambda"]
    assert (first, last) == (0, 1)
    pairs = pairs_of(8, 5, seed=0)
    np.testing.assert_array_equal(inputs.labels, source.labels[pairs])
    for index, weight in enumerate(inputs.axes["lambda"]):
        expected = weight * pixels[pairs[:, 0]] + (1 - weight) * pixels[pairs[:, 1]]
        torch.testing.assert_close(images[index], expected, atol=1e-6, rtol=0)


def test_neighbours_are_within_the_radius_and_differ(source):
    inputs = SETS["near"](source)
    images, pixels = images_of(inputs).unflatten(0, inputs.shape), images_of(SETS["clean"](source))
    distance = (images - pixels).abs().amax(dim=(2, 3, 4))
    assert (distance <= source.config.radius + 1e-6).all()
    assert (distance > source.config.radius / 2).all()
    assert not torch.equal(images[0], images[1])


def test_corrupted_images_are_those_of_their_corruption_and_severity(source):
    inputs = SETS["corrupted"](source)
    images = images_of(inputs).unflatten(0, inputs.shape)
    assert inputs.axes == {"corruption": tuple(CORRUPTIONS), "severity": (1, 2, 3, 4, 5)}
    number = int(source.numbers[3])
    expected = corrupted(source.image(number), "fog", 4, source.config.seed, number)
    place = list(CORRUPTIONS).index("fog")
    np.testing.assert_array_equal((images[place, 3, 3] * 255).round().byte().permute(1, 2, 0).numpy(), expected)


def test_images_of_another_source_come_in_this_ones_size_and_without_labels(source):
    inputs = SETS["outside"](source)
    assert inputs.labels.tolist() == [-1] * 8
    assert images_of(inputs).shape == (8, 3, 32, 32)
