"""Sources of labelled images, split into train, validation and test, as arrays that fit in memory."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from kd_core.config import DataConfig, digest, file_sha256

IMAGE_SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
TEST_NAMES = ("test", "val", "validation")  # what sets call the part that is read once, in this order


class DataError(ValueError):
    """The data cannot be read as asked for; the message says what, where and what to do."""


@dataclass(frozen=True)
class Split:
    """Images uint8 [N, H, W, 3] and labels int64 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Three splits of one source; validation was held out of train, and test is read once."""

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    fingerprint: str

    @property
    def num_classes(self) -> int:
        """K, the number of classes."""
        return len(self.class_names)


@dataclass(frozen=True)
class Part:
    """One part of a source before decoding: labels [N], and how to get the pixels of chosen indices."""

    labels: np.ndarray
    decode: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, indices: np.ndarray) -> "Part":
        """Only the samples at these indices."""
        return Part(self.labels[indices], lambda chosen: self.decode(indices[chosen]))


@dataclass(frozen=True)
class DataSummary:
    """What a DataConfig holds, known without decoding more than one image."""

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
    """Read, limit, split and decode what a DataConfig names; raises DataError with a remedy."""
    parts = _parts(config)
    train, validation, test = (Split(part.decode(np.arange(len(part))), part.labels) for part in _splits(parts))
    sizes = sorted({split.images.shape[1:3] for split in (train, validation, test)})
    if len(sizes) > 1:
        raise DataError(
            f"data.image_size: missing, and the splits have images of {sizes}; set it to resize all of them"
        )
    return Dataset(train, validation, test, parts.class_names, fingerprint_of(config))


def summarize(config: DataConfig) -> DataSummary:
    """The sizes of what `load` would give; raises DataError with a remedy."""
    parts = _parts(config)
    image = parts.train.decode(np.array([0]))[0]
    sizes = len(parts.train), len(parts.validation), len(parts.test)
    return DataSummary(*sizes, num_classes=len(parts.class_names), image_size=max(image.shape[:2]))


def _splits(parts: _Parts) -> tuple[Part, Part, Part]:
    return parts.train, parts.validation, parts.test


def _parts(config: DataConfig) -> _Parts:
    source, test, class_names = _SOURCES[config.source](config)
    kept = np.arange(len(source.labels))
    if test is None:
        held_out = stratified_sample(source.labels, round(config.test * len(kept)))
        test, kept = source.of(held_out), np.setdiff1d(kept, held_out)
    if config.limit is not None and config.limit < len(kept):
        kept = kept[stratified_sample(source.labels[kept], config.limit)]
    validation = kept[stratified_sample(source.labels[kept], round(config.validation * len(kept)))]
    parts = _Parts(source.of(np.setdiff1d(kept, validation)), source.of(validation), test, class_names)
    _check(parts, config)
    return parts


def fingerprint_of(config: DataConfig) -> str:
    """Sixteen hexadecimal digits that change when an image, a label or the split does, and not when a path does."""
    options = config.model_dump(mode="json", exclude={"path"})
    if config.source == "digits":
        return digest(options | {"sha256": hashlib.sha256(_bundled_digits().images.tobytes()).hexdigest()})
    root = _folder(config)
    files = _parquet_files(root) if config.source == "parquet" else _image_files(root)
    return digest(options | {"files": {file.relative_to(root).as_posix(): file_sha256(file) for file in files}})


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


def _folder(config: DataConfig) -> Path:
    root = Path(config.path or "").expanduser()
    if not root.is_dir():
        raise DataError(
            f"data.path: {config.path}: no such folder; give the folder that holds the {config.source} data"
        )
    return root


def _bundled_digits() -> Any:
    from sklearn.datasets import load_digits

    return load_digits()


def _digits(_: DataConfig) -> tuple[Part, Part | None, tuple[str, ...]]:
    digits = _bundled_digits()
    images = np.repeat(np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None], 3, axis=3)
    return Part(digits.target.astype(np.int64), lambda chosen: images[chosen]), None, tuple("0123456789")


def _image_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)


def _image_folder(config: DataConfig) -> tuple[Part, Part | None, tuple[str, ...]]:
    root = _folder(config)
    has_parts = (root / "train").is_dir()
    train_root = root / "train" if has_parts else root
    test_root = next((root / name for name in TEST_NAMES if has_parts and (root / name).is_dir()), None)
    class_names = tuple(sorted(each.name for each in train_root.iterdir() if each.is_dir() and _image_files(each)))
    if not class_names:
        raise DataError(f"data.path: {root}: holds no class folders of images; make one folder of images a class")
    test = _folder_part(test_root, class_names, config) if test_root else None
    return _folder_part(train_root, class_names, config), test, class_names


def _folder_part(root: Path, class_names: tuple[str, ...], config: DataConfig) -> Part:
    unknown = [folder.name for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name not in class_names]
    if unknown and _image_files(root / unknown[0]):
        raise DataError(f"data.path: {root}: class folder {unknown[0]!r} is not among the training classes; remove it")
    files = [(file, label) for label, name in enumerate(class_names) for file in _image_files(root / name)]

    def decode(chosen: np.ndarray) -> np.ndarray:
        return _decode((files[index][0] for index in chosen), [str(files[index][0]) for index in chosen], config)

    return Part(np.array([label for _, label in files], dtype=np.int64), decode)


def _parquet_files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.parquet"))


def _parquet(config: DataConfig) -> tuple[Part, Part | None, tuple[str, ...]]:
    root = _folder(config)
    files = _parquet_files(root)
    train = [file for file in files if file.name.startswith("train")]
    test = next((part for name in TEST_NAMES if (part := [f for f in files if f.name.startswith(name)])), None)
    if not train:
        raise DataError(f"data.path: {root}: holds no train*.parquet file; name the files train-…, test-…")
    train_part, class_names = _parquet_part(train, config)
    return train_part, _parquet_part(test, config)[0] if test else None, class_names


def _parquet_part(files: list[Path], config: DataConfig) -> tuple[Part, tuple[str, ...]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    labels = np.concatenate([column.to_numpy() for column in columns]).astype(np.int64)
    if labels.min(initial=0) < 0:
        raise DataError(f"data.label_column: {label}: has labels outside 0 to K − 1 in {files[0].parent}; remove them")
    class_names = _class_names(schema.metadata, label) or tuple(map(str, range(labels.max() + 1)))

    def decode(chosen: np.ndarray) -> np.ndarray:
        column = pa.chunked_array([c for f in files for c in pq.read_table(f, columns=[image])[image].chunks])
        encoded = column.take(pa.array(chosen))
        names = [f"{files[0].parent}: row {index}" for index in chosen]
        return _decode((BytesIO(value.as_py()["bytes"] or b"") for value in encoded), names, config)

    return Part(labels, decode), class_names


def _class_names(metadata: dict[bytes, bytes] | None, label: str) -> tuple[str, ...]:
    hugging_face = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    return tuple(hugging_face.get("info", {}).get("features", {}).get(label, {}).get("names", ()))


def _decode(sources: Iterator[Any], names: Sequence[str], config: DataConfig) -> np.ndarray:
    """Pixels uint8 [N, H, W, 3] of encoded images, in order; names say where each came from."""
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda source, name: _decode_one(source, name, config.image_size), sources, names))
    for image, name in zip(images, names, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"data.image_size: missing, and {name} has {image.shape[1]}×{image.shape[0]} pixels where the first "
                f"image has {images[0].shape[1]}×{images[0].shape[0]}; set data.image_size to resize all of them"
            )
    return np.stack(images) if images else np.zeros((0, 1, 1, 3), np.uint8)


def _decode_one(source: Any, name: str, image_size: int | None) -> np.ndarray:
    try:
        with Image.open(source) as image:
            picture = image.convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"data.path: {name}: is no readable image ({error}); remove or replace it") from error
    if image_size is not None and picture.size != (image_size, image_size):
        picture = ImageOps.fit(picture, (image_size, image_size), Image.Resampling.BICUBIC)
    return np.asarray(picture)


_SOURCES = {"digits": _digits, "folder": _image_folder, "parquet": _parquet}
