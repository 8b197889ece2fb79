"""The sources of a DataConfig by name: scikit-learn's digits, torchvision's CIFAR, folders, parquet files."""

import hashlib
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kd_core.config.data import DataConfig
from kd_core.config.errors import DataError
from kd_core.data.folder import read_folder, read_unlabelled
from kd_core.data.images import ArrayImages
from kd_core.data.parquet import read_parquet
from kd_core.data.source import Source, whole_part
from kd_core.store.files import cache_folder


def read_source(config: DataConfig) -> Source:
    """Read the labels and locate the images of a source; raises DataError with a remedy."""
    source = _READERS[config.source](config)
    if config.unlabelled is not None:
        source = source.with_unlabelled(read_unlabelled(config))
    train, test, validation, unlabelled = (
        part and replace(part, background=config.background)
        for part in (source.train, source.test, source.validation, source.unlabelled)
    )
    assert train is not None
    return replace(source, train=train, test=test, validation=validation, unlabelled=unlabelled)


def source_identity(config: DataConfig, source: Source | None = None) -> dict[str, Any]:
    """A JSON value that changes when an image of the source changes, but not when the source is moved.

    A source that has just been read spares another look at its folder; CIFAR needs not be there.
    """
    if config.source in ("cifar10", "cifar100"):
        return {"md5": _cifar_class(config).tgz_md5}
    return (source or read_source(config)).identity()


def _digits(_: DataConfig) -> Source:
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    images = np.repeat(np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None], 3, axis=3)
    part = whole_part(digits.target, ArrayImages(images))
    return Source(part, tuple("0123456789"), lambda: {"sha256": hashlib.sha256(digits.images.tobytes()).hexdigest()})


def _cifar_class(config: DataConfig) -> Any:
    from torchvision import datasets

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[config.source]


def _cifar(config: DataConfig) -> Source:
    """CIFAR-10 or CIFAR-100 (Krizhevsky 2009) from torchvision, which downloads it once and checks its md5."""
    root = Path(config.path).expanduser() if config.path else cache_folder()
    published = _cifar_class(config)
    try:
        train, test = (published(root, train=train, download=True) for train in (True, False))
    except (OSError, RuntimeError, EOFError, tarfile.TarError) as error:
        raise DataError(
            f"data.path: {root}: {config.source} cannot be downloaded into it ({error}); "
            f"put {published.filename} there, from {published.url}, or use source: parquet"
        ) from error
    train_part, test_part = (whole_part(np.array(part.targets), ArrayImages(part.data)) for part in (train, test))
    return Source(train_part, tuple(train.classes), lambda: source_identity(config), test_part)


_READERS: dict[str, Callable[[DataConfig], Source]] = {
    "digits": _digits,
    "cifar10": _cifar,
    "cifar100": _cifar,
    "folder": read_folder,
    "parquet": read_parquet,
}
