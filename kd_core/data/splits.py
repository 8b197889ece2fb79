"""A DataConfig as three splits of labelled images, kept in memory or decoded when they are needed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from kd_core.data.images import ParquetImages, Part, decode, require_size
from kd_core.data.sources import read_source, source_identity
from kd_core.data.streaming import StreamedSplit
from kd_core.data.vicinal import ViewsInMemory, ViewSource
from kd_core.spec.data_config import DataConfig, DataError, ViewConfig
from kd_core.spec.keys import digest


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, H, W, 3] and labels int64 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every image, in pixels."""
        return self.images.shape[1], self.images.shape[2]

    def batches(self, batch_size: int, num_workers: int = 0) -> Iterator[torch.Tensor]:
        """The images in order, uint8 [B, H, W, 3]; nothing is decoded, so no worker is needed."""
        for start in range(0, len(self), batch_size):
            yield torch.tensor(self.images[start : start + batch_size])

    def views(self, view: ViewConfig, device: torch.device | str, num_workers: int = 0) -> ViewSource:
        """Where training gets its mixed batches: rendered on the device, so no worker is needed."""
        return ViewsInMemory(self.images, self.labels, view, device)


@dataclass(frozen=True)
class Dataset:
    """Three splits of one source; validation was held out of train, and test is read once."""

    train: Split | StreamedSplit
    validation: Split | StreamedSplit
    test: Split | StreamedSplit
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)


@dataclass(frozen=True)
class DataSummary:
    """What a DataConfig holds, known without decoding more than one image; fingerprint as of `fingerprint_of`."""

    fingerprint: str
    num_train: int
    num_validation: int
    num_test: int
    num_classes: int
    image_size: int


@dataclass(frozen=True)
class _Parts:
    """The three splits before decoding."""

    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]


def load(config: DataConfig) -> Dataset:
    """Read, limit, split and, unless it streams, decode what a DataConfig names; raises DataError with a remedy."""
    parts = _parts(config)
    make = _streamed if config.streaming else _in_memory
    train, validation, test = splits = [make(part, config.image_size) for part in _splits(parts)]
    sizes = sorted({split.size for split in splits})
    if len(sizes) > 1:
        raise DataError(
            f"data.image_size: missing, and the splits have images of {sizes}; set it to resize all of them"
        )
    return Dataset(train, validation, test, parts.class_names, fingerprint_of(config))


def summarize(config: DataConfig) -> DataSummary:
    """The sizes of what `load` would give; raises DataError with a remedy."""
    parts = _parts(config)
    image = parts.train.pixels(0, config.image_size)
    num_train, num_validation, num_test = (len(part) for part in _splits(parts))
    size = max(image.shape[:2])
    return DataSummary(fingerprint_of(config), num_train, num_validation, num_test, len(parts.class_names), size)


def _splits(parts: _Parts) -> tuple[Part, Part, Part]:
    return parts.train, parts.validation, parts.test


def _parts(config: DataConfig) -> _Parts:
    source = read_source(config)
    test, kept = source.test, np.arange(len(source.train))
    if test is None:
        held_out = stratified_sample(source.train.labels, round(config.test * len(kept)))
        test, kept = source.train.of(held_out), np.setdiff1d(kept, held_out)
    if config.limit is not None and config.limit < len(kept):
        kept = kept[stratified_sample(source.train.labels[kept], config.limit)]
    validation = kept[stratified_sample(source.train.labels[kept], round(config.validation * len(kept)))]
    train = np.setdiff1d(kept, validation)
    parts = _Parts(source.train.of(train), source.train.of(validation), test, source.class_names)
    _check(parts, config)
    return parts


def fingerprint_of(config: DataConfig) -> str:
    """Sixteen hexadecimal digits that change when an image, a label or the split does, and not when a path does.

    They are the same whether the images stream or not. Of large sources, only a part is read
    (`kd_core.data.images.identity_of`).
    """
    options = config.model_dump(mode="json", exclude={"path", "streaming"})
    return digest(options | source_identity(config))


def stratified_sample(labels: np.ndarray, count: int) -> np.ndarray:
    """Sorted indices [count] of a sample that holds the same share of every class, always the same for the same labels.

    Each sample gets a random place within its class, as a fraction of the class; the smallest places are taken.
    """
    draws = np.random.Philox(key=[0, len(labels)]).random_raw(len(labels))
    by_class = np.lexsort((draws, labels))
    starts = np.searchsorted(labels[by_class], labels[by_class])
    sizes = np.bincount(labels)[labels[by_class]]
    places = (np.arange(len(labels)) - starts + 0.5) / sizes
    return np.sort(by_class[np.lexsort((draws[by_class], places))[:count]])


def _check(parts: _Parts, config: DataConfig) -> None:
    """Refuse data from which no classifier can be trained, selected and tested."""
    names = parts.class_names
    if len(names) < 2:
        raise DataError(f"data.path: {config.path}: has {len(names)} class, and a classifier needs two or more")
    for split, part in zip(("train", "validation", "test"), _splits(parts), strict=True):
        if not len(part.labels):
            raise DataError(f"data.{split}: leaves no {split} image; raise the share or give more images")
        if part.labels.min() < 0 or part.labels.max() >= len(names):
            raise DataError(f"data.path: {config.path}: the {split} part has labels outside 0 to {len(names) - 1}")
    missing = np.setdiff1d(np.arange(len(names)), parts.train.labels)
    if missing.size:
        raise DataError(
            f"data.limit: {config.limit}: leaves class {names[missing[0]]!r} without a training image; "
            "raise data.limit or lower data.validation"
        )


def _streamed(part: Part, image_size: int | None) -> StreamedSplit:
    if isinstance(part.images, ParquetImages):
        part = Part(part.labels, part.images.unpacked(), part.numbers)
    height, width, _ = part.pixels(0, image_size).shape
    return StreamedSplit(part, (height, width), image_size)


def _in_memory(part: Part, image_size: int | None) -> Split:
    """Every image of a part, decoded by threads."""
    with ThreadPoolExecutor(8) as pool:
        contents = (part.images.content(number) for number in part.numbers.tolist())
        names = map(part.images.name, part.numbers.tolist())
        images = list(pool.map(lambda content, name: decode(content, name, image_size), contents, names))
    for image, number in zip(images, part.numbers.tolist(), strict=True):
        require_size(image, images[0].shape[:2], part.images.name(number))
    return Split(np.stack(images), part.labels)
