"""The sets of inputs on which models are evaluated: clean, mixed, near, corrupted and outside.

Each is a pure function of the data, the options and their seed, so that equal keys mean equal inputs; all but the last
are made from one stratified choice of test images.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from kd_core.config.evaluation import EvaluateConfig
from kd_core.data.dataset import Dataset, Split, load
from kd_core.data.streaming import StreamedSplit
from kd_core.evaluate.corruptions import CORRUPTIONS, NUM_SEVERITIES, corrupted
from kd_core.evaluate.official_corruptions import OfficialCorruptions, official

_PAIRS, _NOISE = range(2)  # what is drawn, by the counter of the generator


@dataclass(frozen=True)
class Inputs:
    """One set of inputs: its name, the labels and leading axes of its outputs, and its images.

    images yields all of them in order, uint8 [b, H, W, 3] or float32 [b, 3, H, W] in [0, 1], at most a batch at a time;
    the axes come first: all images of the first entry of each axis, then all of the next.
    """

    name: str
    labels: np.ndarray
    images: Callable[[int], Iterator[torch.Tensor]]
    axes: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    with_features: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The leading axes of the outputs: [*axes, N]."""
        return (*map(len, self.axes.values()), len(self.labels))


@dataclass(frozen=True)
class Source:
    """What sets of inputs are made from: a data set and the options of the evaluation."""

    dataset: Dataset
    config: EvaluateConfig

    @cached_property
    def numbers(self) -> np.ndarray:
        """The places of the chosen test images, int64 [N], ascending."""
        return stratified(self.dataset.test.labels, self.config.images, self.config.seed)

    @property
    def labels(self) -> np.ndarray:
        """Their labels, int64 [N]."""
        return self.dataset.test.labels[self.numbers]

    @cached_property
    def official(self) -> OfficialCorruptions | None:
        """The published corruptions of the test images, if a folder of them is given."""
        folder = self.config.corruptions
        return None if folder is None else official(folder, self.dataset.test.labels)

    def image(self, number: int) -> np.ndarray:
        """One test image by its place, uint8 [H, W, 3]."""
        return image_of(self.dataset.test, number)


def clean(source: Source) -> Inputs:
    """The chosen test images as they are, with features."""
    return Inputs("clean", source.labels, lambda size: _batches(map(source.image, source.numbers), size), {}, True)


def near(source: Source) -> Inputs:
    """Random neighbours of each chosen image: noise uniform in [−radius, radius] on every pixel, clipped to [0, 1]."""
    radius, seed, draws = source.config.radius, source.config.seed, source.config.draws

    def images() -> Iterator[np.ndarray]:
        """Every neighbour, float32 [3, H, W]."""
        for draw in range(draws):
            for number in source.numbers.tolist():
                pixels = source.image(number).astype(np.float32).transpose(2, 0, 1) / 255
                noise = generator(seed, _NOISE, draw, number).uniform(-radius, radius, pixels.shape)
                yield np.clip(pixels + noise.astype(np.float32), 0, 1)

    return Inputs("near", source.labels, lambda size: _batches(images(), size), {"draw": tuple(range(draws))})


def mixed(source: Source) -> Inputs:
    """Pairs of different chosen images on a grid of λ from 0 to 1: x̃ = λ·x_i + (1 − λ)·x_j, as `stream.vicinal.mix`."""
    pairs = pairs_of(len(source.numbers), source.config.pairs, source.config.seed)
    lambdas = tuple(np.linspace(0, 1, source.config.lambdas).tolist())

    def images() -> Iterator[np.ndarray]:
        """Every mixed image, float32 [3, H, W]."""
        for weight in lambdas:
            for pair in source.numbers[pairs].tolist():
                first, second = (source.image(number).astype(np.float32) / 255 for number in pair)
                mixed = np.float32(weight) * first + np.float32(1 - weight) * second
                yield mixed.transpose(2, 0, 1)

    return Inputs("mixed", source.labels[pairs], lambda size: _batches(images(), size), {"lambda": lambdas})


def corrupted_images(source: Source) -> Inputs:
    """The chosen images under every corruption and severity, as published if they are there, else made here."""
    given = source.official
    names = given.names if given is not None else tuple(CORRUPTIONS)
    severities = tuple(range(1, NUM_SEVERITIES + 1))

    def images() -> Iterator[np.ndarray]:
        """Every corrupted image, uint8 [H, W, 3]."""
        for name in names:
            for severity in severities:
                if given is not None:
                    yield from given.images(name, severity, source.numbers)
                else:
                    for number in source.numbers.tolist():
                        yield corrupted(source.image(number), name, severity, source.config.seed, number)

    axes = {"corruption": names, "severity": severities}
    return Inputs("corrupted", source.labels, lambda size: _batches(images(), size), axes)


def outside(source: Source) -> Inputs:
    """As many test images of another source as are chosen of this one, without labels; raises DataError."""
    assert source.config.ood is not None
    test = load(source.config.ood.model_copy(update={"image_size": source.dataset.test.size[0]})).test
    numbers = stratified(test.labels, source.config.images, source.config.seed).tolist()
    labels = np.full(len(numbers), -1, dtype=np.int64)
    return Inputs("outside", labels, lambda size: _batches((image_of(test, number) for number in numbers), size))


SETS: dict[str, Callable[[Source], Inputs]] = {
    "clean": clean,
    "mixed": mixed,
    "near": near,
    "corrupted": corrupted_images,
    "outside": outside,
}


def image_of(split: Split | StreamedSplit, number: int) -> np.ndarray:
    """One image of a split by its place, uint8 [H, W, 3]."""
    return split.images[number] if isinstance(split, Split) else split.image(number).numpy()


def stratified(labels: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    """The places of count of the images with these labels [N], the same share of each class; all if count is None.

    Of each class, images come in a random order; those go first whose rank is the smallest share of their class.
    """
    order = generator(seed, 0, 0, 0).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    sizes = np.bincount(labels, minlength=1)
    starts = np.cumsum(sizes) - sizes
    ranks = (np.arange(len(labels)) - np.repeat(starts, sizes) + 0.5) / np.repeat(sizes, sizes)
    chosen = by_class[np.argsort(ranks, kind="stable")[:count]]
    return np.sort(chosen)


def pairs_of(num_images: int, count: int, seed: int) -> np.ndarray:
    """Pairs of different places, int64 [count, 2], drawn with replacement."""
    random = generator(seed, _PAIRS, 1, 0)
    first = random.integers(num_images, size=count)
    return np.stack([first, (first + random.integers(1, num_images, size=count)) % num_images], axis=1)


def generator(seed: int, what: int, draw: int, number: int) -> np.random.Generator:
    """The counter-based generator (Salmon 2011) of one draw for one image."""
    return np.random.Generator(np.random.Philox(key=[seed, what], counter=[0, 0, draw, number]))


def _batches(images: Iterator[np.ndarray], size: int) -> Iterator[torch.Tensor]:
    batch: list[np.ndarray] = []
    for image in images:
        batch.append(image)
        if len(batch) == size:
            yield torch.from_numpy(np.stack(batch))
            batch = []
    if batch:
        yield torch.from_numpy(np.stack(batch))
