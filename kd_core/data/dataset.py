"""Three splits of images, kept in memory or decoded when they are needed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from kd_core.config.data import DataConfig, ViewConfig
from kd_core.config.errors import DataError
from kd_core.data.images import ParquetImages, Part, require_size
from kd_core.data.pixels import decode
from kd_core.data.splits import fingerprint_of, parts_of
from kd_core.data.streaming import StreamedSplit
from kd_core.methods.method import UNLABELLED
from kd_core.stream.vicinal import ViewsInMemory, ViewSource

_BLOCK = 512  # encoded images that are in memory at a time


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, H, W, 3] and labels int64 [N], UNLABELLED of images without one."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every image, in pixels."""
        return self.images.shape[1], self.images.shape[2]

    def batches(self, batch_size: int) -> Iterator[torch.Tensor]:
        """The images in order, uint8 [B, H, W, 3]."""
        for start in range(0, len(self), batch_size):
            yield torch.tensor(self.images[start : start + batch_size])

    def views(self, view: ViewConfig, device: torch.device | str) -> ViewSource:
        """The source of the mixed training batches, rendered on the device."""
        return ViewsInMemory(self.images, self.labels, view, device)


@dataclass(frozen=True)
class Dataset:
    """Three splits of one source; validation was held out of train, and test is read once.

    Train ends with the images that have no label; those of the other splits have one.
    """

    train: Split | StreamedSplit
    validation: Split | StreamedSplit
    test: Split | StreamedSplit
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def num_train(self) -> int:
        """The number of training images with a label, which are the first ones."""
        return int(np.count_nonzero(self.train.labels != UNLABELLED))

    @property
    def num_unlabelled(self) -> int:
        """The number of training images without a label."""
        return len(self.train) - self.num_train

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)


def load(config: DataConfig, num_workers: int = 0) -> Dataset:
    """Read, limit, split and, unless streaming, decode the images of a DataConfig; raises DataError with a remedy.

    num_workers processes decode what is streamed, with equal results.
    """
    parts = parts_of(config)
    train, validation, test = map(_unpacked, parts.splits) if config.streaming else parts.splits
    if parts.unlabelled is not None:
        train = train.followed_by(parts.unlabelled)
    make = partial(_streamed, num_workers) if config.streaming else _in_memory
    train, validation, test = splits = [make(part, config.image_size) for part in (train, validation, test)]
    sizes = sorted({split.size for split in splits})
    if len(sizes) > 1:
        raise DataError(
            f"data.image_size: missing, and the splits have images of {sizes}; set it to resize all of them"
        )
    return Dataset(train, validation, test, parts.class_names, fingerprint_of(config, parts.source))


def _unpacked(part: Part) -> Part:
    return replace(part, images=part.images.unpacked()) if isinstance(part.images, ParquetImages) else part


def _streamed(num_workers: int, part: Part, image_size: int | None) -> StreamedSplit:
    height, width, _ = part.pixels(0, image_size).shape
    return StreamedSplit(part, (height, width), image_size, num_workers)


def _in_memory(part: Part, image_size: int | None) -> Split:
    """Every image of a part, decoded by threads, a block at a time."""
    images, numbers = [], part.numbers.tolist()
    with ThreadPoolExecutor(8) as pool:
        for start in range(0, len(numbers), _BLOCK):
            block = numbers[start : start + _BLOCK]
            contents = [part.images.content(number) for number in block]
            names = [part.images.name(number) for number in block]
            images += pool.map(partial(decode, image_size=image_size, background=part.background), contents, names)
    for image, number in zip(images, numbers, strict=True):
        if image.shape != images[0].shape:
            require_size(image, images[0].shape[:2], part.images.name(number))
    return Split(np.stack(images), part.labels)
