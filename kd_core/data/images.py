"""Encoded images: where their bytes are stored, and how one of them is found."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from kd_core.config.errors import DataError
from kd_core.config.identity import digest, file_sha256
from kd_core.data.pixels import Content, decode
from kd_core.store.cache import Cached, Room

HASHED_BYTES = 2 * 2**30  # how much of a source is read for its fingerprint


class Images(Protocol):
    """A numbered collection of images, none of them decoded."""

    def content(self, number: int) -> Content:
        """One image as stored: its path, its encoded bytes or its pixels."""
        ...

    def name(self, number: int) -> str:
        """The origin of one image, for error messages."""
        ...


@dataclass(frozen=True)
class ArrayImages:
    """Images that are decoded already, uint8 [N, H, W, 3]."""

    pixels: np.ndarray

    def content(self, number: int) -> np.ndarray:
        """The pixels of one image."""
        return self.pixels[number]

    def name(self, number: int) -> str:
        """The image's number."""
        return f"image {number}"


@dataclass(frozen=True)
class FileImages:
    """One file per image; names holds their paths below root as bytes [N], in an array that forked workers share.

    Root may be a folder of the cache.
    """

    root: os.PathLike[str]
    names: np.ndarray

    def content(self, number: int) -> Path:
        """The path of one image."""
        return Path(self.root, os.fsdecode(self.names[number]))

    def name(self, number: int) -> str:
        """The image's path, or its URL."""
        return f"{self.root}/{os.fsdecode(self.names[number])}"


class ParquetImages:
    """The image column of parquet files, read one row group at a time: fast in ascending order, slow in any other.

    The files are below root, which may be a folder of the cache.
    """

    def __init__(self, root: os.PathLike[str], files: Sequence[Path], column: str) -> None:
        self.root, self.files, self.column = root, files, column
        self._groups: list[tuple[int, int]] = []
        self.num_bytes, num_rows = 0, [0]
        for number, file in enumerate(files):
            with reading(file):
                metadata = pq.read_metadata(file)
                for inside in range(metadata.num_row_groups):
                    group = metadata.row_group(inside)
                    chunks = map(group.column, range(group.num_columns))
                    of_images = (chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] == column)
                    self.num_bytes += sum(chunk.total_uncompressed_size for chunk in of_images)
                    self._groups.append((number, inside))
                    num_rows.append(group.num_rows)
        self._starts = np.cumsum(num_rows)
        self._held: tuple[int, list[bytes]] = -1, []

    def __len__(self) -> int:
        return int(self._starts[-1])

    def content(self, number: int) -> BytesIO:
        """The encoded bytes of one row's image; empty if it is null."""
        group = int(np.searchsorted(self._starts, number, side="right")) - 1
        if self._held[0] != group:
            file, inside = self._groups[group]
            with reading(self.files[file]):
                parquet = pq.ParquetFile(self.files[file], page_checksum_verification=True)
                column = parquet.read_row_group(inside, columns=[self.column])[self.column]
                self._held = group, [_bytes_of(row) for row in column.to_pylist()]
        return BytesIO(self._held[1][number - self._starts[group]])

    def name(self, number: int) -> str:
        """The image's file, and its row in it."""
        group = int(np.searchsorted(self._starts, number, side="right")) - 1
        file = self._groups[group][0]
        first = next(start for start, (of, _) in zip(self._starts, self._groups, strict=False) if of == file)
        return f"{self.files[file]}: row {number - int(first)}"

    def unpacked(self) -> "BlobImages":
        """The same images in one file in the cache folder, written at first use on a node, for fast random access.

        The file is as large as the parquet column; its folder is named by a hash of the parquet files.
        """
        root = Path(self.root)
        identity = digest(["content", self.column, identity_of(self.files, root)])
        names = tuple(file.relative_to(root).as_posix() for file in self.files)
        folder = Cached("unpacked", identity, str(self.root), partial(_unpack, self.root, names, self.column))
        return BlobImages(folder, np.load(Path(folder, "offsets.npy")))


@dataclass(frozen=True)
class BlobImages:
    """Encoded images, one after another in images.bin: image n is bytes offsets[n] to offsets[n + 1], int64 [N + 1]."""

    folder: os.PathLike[str]
    offsets: np.ndarray

    def content(self, number: int) -> BytesIO:
        """The encoded bytes of one image; read, not mapped, so that they do not count as this process's memory."""
        start, stop = self.offsets[number : number + 2].tolist()
        with Path(self.folder, "images.bin").open("rb") as file:
            file.seek(start)
            return BytesIO(file.read(stop - start))

    def name(self, number: int) -> str:
        """The image's origin and row."""
        return f"{self.folder}: row {number}"


@dataclass(frozen=True)
class JoinedImages:
    """Two collections as one, in which the numbers of the second begin at `start`."""

    first: Images
    second: Images
    start: int

    def content(self, number: int) -> Content:
        """One image as its own collection has it."""
        return self.first.content(number) if number < self.start else self.second.content(number - self.start)

    def name(self, number: int) -> str:
        """The image's name in its own collection."""
        return self.first.name(number) if number < self.start else self.second.name(number - self.start)


@dataclass(frozen=True)
class Part:
    """Labelled images from a collection: their labels int64 [N] and their numbers [N] in the collection.

    background is what lies behind transparent pixels.
    """

    labels: np.ndarray
    images: Images
    numbers: np.ndarray
    background: str = "white"

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, indices: np.ndarray) -> "Part":
        """Only the samples at these indices."""
        return replace(self, labels=self.labels[indices], numbers=self.numbers[indices])

    def followed_by(self, other: "Part") -> "Part":
        """The images of both, those of the other one last."""
        start = int(self.numbers.max()) + 1
        return replace(
            self,
            labels=np.concatenate([self.labels, other.labels]),
            images=JoinedImages(self.images, other.images, start),
            numbers=np.concatenate([self.numbers, other.numbers + start]),
        )

    def pixels(self, index: int, image_size: int | None) -> np.ndarray:
        """The decoded pixels of one sample, uint8 [H, W, 3]; raises DataError that names the image."""
        number = int(self.numbers[index])
        return decode(self.images.content(number), self.images.name(number), image_size, self.background)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn the errors of a damaged parquet file into a DataError."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())[:120]
        raise DataError(f"data.path: {file}: is no whole parquet file ({why}); fetch it again") from None


def _bytes_of(row: dict[str, bytes | None] | bytes | None) -> bytes:
    """The bytes of one row's image; empty if it has none."""
    return (row.get("bytes") if isinstance(row, dict) else row) or b""


def require_size(image: np.ndarray, size: tuple[int, int], name: str) -> None:
    """Raise DataError if the size of an image [H, W, 3] differs from size (height, width), that of the first."""
    height, width = image.shape[:2]
    if (height, width) != size:
        raise DataError(
            f"data.image_size: missing, and {name} has {width}×{height} pixels where the first image has "
            f"{size[1]}×{size[0]}; set data.image_size to resize all of them"
        )


def identity_of(files: Sequence[Path], root: Path) -> dict[str, tuple[int, str | None]]:
    """Size in bytes and sha256 of each file, by its path relative to root.

    Up to 2 GiB in total, every file is hashed. Above that, only every n-th, n = ⌈total / 2 GiB⌉, so that about 2 GiB
    are read; the others are identified by name and size, and a change that keeps both is not detected.
    """
    sizes = [file.stat().st_size for file in files]
    stride = hashing_stride(sum(sizes))
    return {
        file.relative_to(root).as_posix(): (size, None if index % stride else file_sha256(file))
        for index, (file, size) in enumerate(zip(files, sizes, strict=True))
    }


def hashing_stride(total_bytes: int) -> int:
    """The n of `identity_of`: every n-th file of a source is hashed."""
    return max(1, -(-total_bytes // HASHED_BYTES))


def _unpack(root: os.PathLike[str], names: Sequence[str], column: str, folder: Path, room: Room) -> None:
    """Write images.bin and offsets.npy into a folder."""
    images = ParquetImages(root, [Path(root, name) for name in names], column)
    room(images.num_bytes, images.num_bytes)
    with (folder / "images.bin").open("wb") as file:
        sizes = [file.write(images.content(number).getbuffer()) for number in range(len(images))]
    np.save(folder / "offsets.npy", np.cumsum([0, *sizes]))
