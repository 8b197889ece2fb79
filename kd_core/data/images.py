"""Encoded images: where the bytes of each one are, and how they become pixels."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageOps

from kd_core.spec.data_config import DataError
from kd_core.spec.keys import digest, file_sha256
from kd_core.store.files import cache_folder

HASHED_BYTES = 2 * 2**30  # how much of a source is read for its fingerprint
Content = Path | BytesIO | np.ndarray  # a file, its bytes, or pixels uint8 [H, W, 3]


class Images(Protocol):
    """A numbered collection of images, none of them decoded."""

    def content(self, number: int) -> Content:
        """What there is of one image."""
        ...

    def name(self, number: int) -> str:
        """Where one image came from, for an error."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images that are pixels already, uint8 [N, H, W, 3]."""

    pixels: np.ndarray

    def content(self, number: int) -> np.ndarray:
        """The pixels of one image."""
        return self.pixels[number]

    def name(self, number: int) -> str:
        """Its number."""
        return f"image {number}"


@dataclass(frozen=True)
class FileImages:
    """One file an image; names are bytes [N] below the root, in one array that no worker process has to copy."""

    root: Path
    names: np.ndarray

    def content(self, number: int) -> Path:
        """The path of one image."""
        return self.root / os.fsdecode(self.names[number])

    def name(self, number: int) -> str:
        """Its path."""
        return str(self.content(number))


class ParquetImages:
    """The image column of parquet files, read one row group at a time: fast in ascending order, slow in any other."""

    def __init__(self, root: Path, files: Sequence[Path], column: str) -> None:
        self.root, self.files, self.column = root, files, column
        metadata = [pq.read_metadata(file) for file in files]
        self._groups = [(file, group) for file, each in enumerate(metadata) for group in range(each.num_row_groups)]
        sizes = [metadata[file].row_group(group).num_rows for file, group in self._groups]
        self._starts = np.cumsum([0, *sizes])
        self._held: tuple[int, list[bytes]] = -1, []

    def __len__(self) -> int:
        return int(self._starts[-1])

    def content(self, number: int) -> BytesIO:
        """The encoded bytes of one row's image; none where it is null."""
        group = int(np.searchsorted(self._starts, number, side="right")) - 1
        if self._held[0] != group:
            file, inside = self._groups[group]
            column = pq.ParquetFile(self.files[file]).read_row_group(inside, columns=[self.column])[self.column]
            self._held = group, [(row or {}).get("bytes") or b"" for row in column.to_pylist()]
        return BytesIO(self._held[1][number - self._starts[group]])

    def name(self, number: int) -> str:
        """Its row, counted through the files."""
        return f"{self.root}: row {number}"

    def unpacked(self) -> "BlobImages":
        """The same images in one file below the cache folder, written at first use, where any is read at once.

        The file takes as much room as the column does in parquet, and is found again by the parquet files' content.
        """
        identity = digest([self.column, identity_of(self.files, self.root)])
        folder = cache_folder() / "unpacked" / identity
        if not folder.is_dir():
            try:
                _unpack(self, folder)
            except OSError as error:
                raise DataError(
                    f"data.path: {self.root}: cannot be unpacked into {folder} ({error}); "
                    "set XDG_CACHE_HOME to a folder with room for the images"
                ) from error
        return BlobImages(folder / "images.bin", np.load(folder / "offsets.npy"), str(self.root))


@dataclass(frozen=True)
class BlobImages:
    """Encoded images end to end in one file: image n is its bytes from offsets[n] to offsets[n + 1], int64 [N + 1]."""

    path: Path
    offsets: np.ndarray
    origin: str

    def content(self, number: int) -> BytesIO:
        """The encoded bytes of one image; read, not mapped, so that they do not count as this process's memory."""
        start, stop = self.offsets[number : number + 2].tolist()
        with self.path.open("rb") as file:
            file.seek(start)
            return BytesIO(file.read(stop - start))

    def name(self, number: int) -> str:
        """Its origin and row."""
        return f"{self.origin}: row {number}"


@dataclass(frozen=True)
class Part:
    """Some labelled images of a collection: labels int64 [N], and the numbers [N] that they have in it."""

    labels: np.ndarray
    images: Images
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, indices: np.ndarray) -> "Part":
        """Only the samples at these indices."""
        return replace(self, labels=self.labels[indices], numbers=self.numbers[indices])

    def pixels(self, index: int, image_size: int | None) -> np.ndarray:
        """uint8 [H, W, 3] of one sample; raises DataError that names the image."""
        number = int(self.numbers[index])
        return decode(self.images.content(number), self.images.name(number), image_size)


def require_size(image: np.ndarray, size: tuple[int, int], name: str) -> None:
    """Raise DataError where an image [H, W, 3] is not of the size (height, width) of the first."""
    height, width = image.shape[:2]
    if (height, width) != size:
        raise DataError(
            f"data.image_size: missing, and {name} has {width}×{height} pixels where the first image has "
            f"{size[1]}×{size[0]}; set data.image_size to resize all of them"
        )


def decode(content: Content, name: str, image_size: int | None) -> np.ndarray:
    """Pixels uint8 [H, W, 3], upright by their EXIF orientation; raises DataError.

    Resized and cropped in the middle to image_size pixels a side where that is given.
    """
    try:
        if isinstance(content, np.ndarray):
            picture = Image.fromarray(content)
        else:
            with Image.open(content) as image:
                ImageOps.exif_transpose(image, in_place=True)
                picture = image.convert("RGB")
    except Exception as error:  # each decoder has its own, and a decompression bomb one more
        raise DataError(f"data.path: {name}: is no readable image ({error}); remove or replace it") from error
    if image_size is not None and picture.size != (image_size, image_size):
        picture = ImageOps.fit(picture, (image_size, image_size), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def identity_of(files: Sequence[Path], root: Path) -> dict[str, tuple[int, str | None]]:
    """Size in bytes and sha256 of each file by its name below a root.

    Up to 2 GiB every file is hashed. Of more, only every n-th, n = ⌈total / 2 GiB⌉, so that about 2 GiB are read; the
    others count by name and size, and a change that keeps both goes unnoticed.
    """
    sizes = [file.stat().st_size for file in files]
    stride = max(1, -(-sum(sizes) // HASHED_BYTES))
    return {
        file.relative_to(root).as_posix(): (size, None if index % stride else file_sha256(file))
        for index, (file, size) in enumerate(zip(files, sizes, strict=True))
    }


def _unpack(images: ParquetImages, folder: Path) -> None:
    """Write images.bin and offsets.npy into a folder that appears when both are whole."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-", ignore_cleanup_errors=True) as scratch:
        with (Path(scratch) / "images.bin").open("wb") as file:
            sizes = [file.write(images.content(number).getbuffer()) for number in range(len(images))]
            os.fsync(file.fileno())
        np.save(Path(scratch) / "offsets.npy", np.cumsum([0, *sizes]))
        try:
            Path(scratch).rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise
