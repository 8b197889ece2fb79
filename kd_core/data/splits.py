"""Splits the source of a DataConfig into train, validation and test without decoding it; loads no torch."""

from dataclasses import dataclass

import numpy as np

from kd_core.config.data import DataConfig, DataSummary
from kd_core.config.errors import DataError
from kd_core.config.identity import digest, identity_of
from kd_core.data.images import Part
from kd_core.data.sources import Source, read_source, source_identity


@dataclass(frozen=True)
class Parts:
    """The three splits before decoding, their class names, and the source from which they are."""

    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]
    source: Source

    @property
    def splits(self) -> tuple[Part, Part, Part]:
        """Train, validation and test, in this order."""
        return self.train, self.validation, self.test


def summarize(config: DataConfig) -> DataSummary:
    """Summarize the dataset that `kd_core.data.dataset.load` would return; raises DataError with a remedy."""
    parts = parts_of(config)
    image = parts.train.pixels(0, config.image_size)
    num_train, num_validation, num_test = (len(part) for part in parts.splits)
    size = max(image.shape[:2])
    return DataSummary(
        fingerprint=fingerprint_of(config, parts.source),
        num_train=num_train,
        num_validation=num_validation,
        num_test=num_test,
        num_classes=len(parts.class_names),
        image_size=size,
    )


def parts_of(config: DataConfig) -> Parts:
    """Read, limit and split the source of a DataConfig; raises DataError with a remedy."""
    source = read_source(config)
    test, kept = source.test, np.arange(len(source.train))
    if test is None:
        held_out = stratified_sample(source.train.labels, round(config.test * len(kept)))
        test, kept = source.train.of(held_out), np.setdiff1d(kept, held_out)
    if config.limit is not None and config.limit < len(kept):
        kept = kept[stratified_sample(source.train.labels[kept], config.limit)]
    validation = kept[stratified_sample(source.train.labels[kept], round(config.validation * len(kept)))]
    train = np.setdiff1d(kept, validation)
    parts = Parts(source.train.of(train), source.train.of(validation), test, source.class_names, source)
    _check(parts, config)
    return parts


def fingerprint_of(config: DataConfig, source: Source | None = None) -> str:
    """Sixteen hexadecimal digits that change with any image, label or split option, but not with the path.

    They do not depend on streaming. Of large sources, only a part is read (`kd_core.data.images.identity_of`). A source
    that has just been read spares another look at its folder.
    """
    return digest(identity_of(config, path=source_identity(config, source)))


def stratified_sample(labels: np.ndarray, count: int) -> np.ndarray:
    """Sorted indices [count] of a sample with the same share of every class; deterministic for given labels.

    Each sample gets a random rank within its class, as a fraction of the class; the smallest ranks are taken.
    """
    draws = np.random.Philox(key=[0, len(labels)]).random_raw(len(labels))
    by_class = np.lexsort((draws, labels))
    starts = np.searchsorted(labels[by_class], labels[by_class])
    sizes = np.bincount(labels)[labels[by_class]]
    places = (np.arange(len(labels)) - starts + 0.5) / sizes
    return np.sort(by_class[np.lexsort((draws[by_class], places))[:count]])


def _check(parts: Parts, config: DataConfig) -> None:
    """Raise DataError if no classifier can be trained, selected and tested on the data."""
    names = parts.class_names
    if len(names) < 2:
        raise DataError(f"data.path: {config.path}: has {len(names)} class, and a classifier needs two or more")
    for split, part in zip(("train", "validation", "test"), parts.splits, strict=True):
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
