"""The sources of a DataConfig: scikit-learn's digits, torchvision's CIFAR, folders of images, parquet shards."""

import hashlib
import json
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kd_core.config.data import DataConfig
from kd_core.config.errors import DataError
from kd_core.data.folder_index import FolderIndex, index_of
from kd_core.data.images import ArrayImages, FileImages, ParquetImages, Part, identity_of
from kd_core.store.cache import fetched
from kd_core.store.files import cache_folder

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
TEST_NAMES = ("test", "val", "validation")  # names of a source's test part, in order of preference


@dataclass(frozen=True)
class Source:
    """A source before splitting: its training part, its own test part if it has one, its class names; and its files.

    Those are in the folder root, which may be one of the cache; index is that of a folder source.
    """

    train: Part
    test: Part | None
    class_names: tuple[str, ...]
    root: os.PathLike[str] | None = None
    index: FolderIndex | None = None


def read_source(config: DataConfig) -> Source:
    """Read the labels and locate the images of a source; raises DataError with a remedy."""
    return _READERS[config.source](config)


def source_identity(config: DataConfig, source: Source | None = None) -> dict[str, Any]:
    """A JSON value that changes when an image of the source changes, but not when the source is moved.

    A source that has just been read spares another look at its folder.
    """
    if config.source == "digits":
        return {"sha256": hashlib.sha256(_bundled_digits().images.tobytes()).hexdigest()}
    if config.source in ("cifar10", "cifar100"):
        return {"md5": _cifar_class(config).tgz_md5}
    source = source or read_source(config)
    if source.index is not None:
        return {"files": source.index.identity()}
    root = Path(source.root or "")
    return {"files": identity_of(_parquet_files(root), root)}


def _folder(config: DataConfig, suffixes: set[str]) -> os.PathLike[str]:
    """The folder of a source, or this node's copy of its files with these suffixes."""
    path = config.path or ""
    if "://" in path:
        return fetched(path, suffixes)
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(
            f"data.path: {config.path}: no such folder; give the folder that holds the {config.source} data"
        )
    return root


def _whole(labels: np.ndarray, images: Any) -> Part:
    return Part(labels.astype(np.int64), images, np.arange(len(labels)))


def _bundled_digits() -> Any:
    from sklearn.datasets import load_digits

    return load_digits()


def _digits(_: DataConfig) -> Source:
    digits = _bundled_digits()
    images = np.repeat(np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None], 3, axis=3)
    return Source(_whole(digits.target, ArrayImages(images)), None, tuple("0123456789"))


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
    train_part, test_part = (_whole(np.array(each.targets), ArrayImages(each.data)) for each in (train, test))
    return Source(train_part, test_part, tuple(train.classes))


def _image_folder(config: DataConfig) -> Source:
    place = _folder(config, IMAGE_SUFFIXES)
    root = Path(place)
    index = index_of(root, IMAGE_SUFFIXES)
    has_parts = (root / "train").is_dir()
    train = index.below("train") if has_parts else index
    test_name = next((name for name in TEST_NAMES if has_parts and (root / name).is_dir()), None)
    class_names = tuple(sorted({os.fsdecode(name) for name in np.unique(train.folders()).tolist() if name}))
    if not class_names:
        raise DataError(f"data.path: {place}: holds no class folders of images; make one folder of images a class")
    train_part = _folder_part(place, "train" if has_parts else "", train, class_names)
    test = _folder_part(place, test_name, index.below(test_name), class_names) if test_name else None
    return Source(train_part, test, class_names, place, index)


def _folder_part(root: os.PathLike[str], folder: str, index: FolderIndex, class_names: tuple[str, ...]) -> Part:
    folders, inverse = np.unique(index.folders(), return_inverse=True)
    numbers = {os.fsencode(name): number for number, name in enumerate(class_names)}
    unknown = [os.fsdecode(name) for name in folders.tolist() if name and name not in numbers]
    if unknown:
        raise DataError(
            f"data.path: {root}/{folder}: class folder {unknown[0]!r} is not among the training classes; remove it"
        )
    labels = np.array([numbers.get(name, -1) for name in folders.tolist()], dtype=np.int64)[inverse]
    classed = labels >= 0  # images directly below the root belong to no class
    return _whole(labels[classed], FileImages(root, index.names[classed], folder))


def _parquet_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


def _parquet(config: DataConfig) -> Source:
    place = _folder(config, {".parquet"})
    files = _parquet_files(Path(place))
    train = [file for file in files if file.name.startswith("train")]
    test = next((part for name in TEST_NAMES if (part := [f for f in files if f.name.startswith(name)])), None)
    if not train:
        raise DataError(f"data.path: {place}: holds no train*.parquet file; name the files train-…, test-…")
    train_part, class_names = _parquet_part(place, train, config)
    return Source(train_part, _parquet_part(place, test, config)[0] if test else None, class_names, place)


def _parquet_part(root: os.PathLike[str], files: list[Path], config: DataConfig) -> tuple[Part, tuple[str, ...]]:
    schema = pq.read_schema(files[0])
    image = next((f.name for f in schema if pa.types.is_struct(f.type) and f.type.get_field_index("bytes") >= 0), None)
    if image is None:
        raise DataError(f"data.path: {files[0]}: has no image column (a struct with bytes) among {schema.names}")
    label = config.label_column or next((field.name for field in schema if pa.types.is_integer(field.type)), "")
    if label not in schema.names or not pa.types.is_integer(schema.field(label).type):
        raise DataError(f"data.label_column: {label}: is no integer column of {files[0]}, which has {schema.names}")
    columns = [pq.read_table(file, columns=[label])[label] for file in files]
    if any(column.null_count for column in columns):
        raise DataError(f"data.label_column: {label}: has rows without a label in {files[0].parent}; remove them")
    labels = np.concatenate([column.to_numpy() for column in columns])
    if labels.min(initial=0) < 0:
        raise DataError(f"data.label_column: {label}: has labels outside 0 to K − 1 in {files[0].parent}; remove them")
    class_names = _class_names(schema.metadata, label) or tuple(map(str, range(labels.max() + 1)))
    return _whole(labels, ParquetImages(root, files, image)), class_names


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    hugging_face = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    return tuple(hugging_face.get("info", {}).get("features", {}).get(label, {}).get("names", ()))


_READERS: dict[str, Callable[[DataConfig], Source]] = {
    "digits": _digits,
    "cifar10": _cifar,
    "cifar100": _cifar,
    "folder": _image_folder,
    "parquet": _parquet,
}
