"""The image files below a folder, with sizes and hashes; hashes are kept in the cache and checked by time and size."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kd_core.config.identity import digest, file_sha256
from kd_core.data.images import hashing_stride
from kd_core.store.files import cache_folder, writing

_FORMAT = 1  # of the cached file


@dataclass(frozen=True)
class FolderIndex:
    """Files in the order of their paths: paths below root as bytes [N], sizes in bytes [N], times in ns [N]."""

    root: Path
    names: np.ndarray
    sizes: np.ndarray
    times: np.ndarray

    def below(self, folder: str) -> "FolderIndex":
        """The files in one of the root's folders, such as `train`, with paths below that folder."""
        prefix = os.fsencode(folder) + b"/"
        inside = np.char.startswith(self.names, prefix)
        names = [name[len(prefix) :] for name in self.names[inside].tolist()]
        return FolderIndex(self.root / folder, np.array(names, dtype=bytes), self.sizes[inside], self.times[inside])

    def folders(self) -> np.ndarray:
        """The first folder of each path, [N]; empty for a file directly below the root."""
        return np.array([name.rpartition(b"/")[0].partition(b"/")[0] for name in self.names.tolist()], dtype=bytes)

    def identity(self) -> dict[str, tuple[int, str | None]]:
        """Size in bytes and sha256 of each file, by its path, as in `kd_core.data.images.identity_of`."""
        stride = hashing_stride(int(self.sizes.sum()))
        hashes = _kept(self)
        missing = [row for row in range(0, len(self.names), stride) if not hashes[row]]
        for row in missing:
            hashes[row] = file_sha256(self.root / os.fsdecode(self.names[row])).encode()
        if missing:
            _keep(self, hashes)
        hashed = [each.decode() if row % stride == 0 else None for row, each in enumerate(hashes.tolist())]
        names = [os.fsdecode(name) for name in self.names.tolist()]
        return dict(zip(names, zip(self.sizes.tolist(), hashed, strict=True), strict=True))


def index_of(root: Path, suffixes: set[str]) -> FolderIndex:
    """All files below a folder with one of these suffixes, of any case; links to folders are followed."""
    found = list(_files(str(root), "", suffixes, ()))
    names, sizes, times = zip(*found, strict=True) if found else ((), (), ())
    return FolderIndex(
        root, np.array(names, dtype=bytes), np.array(sizes, dtype=np.int64), np.array(times, dtype=np.int64)
    )


def _files(
    folder: str, prefix: str, suffixes: set[str], above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[bytes, int, int]]:
    """Path, size and time of each file; `above` are the folders on the way, which a link may lead back to."""
    status = os.stat(folder)  # noqa: PTH116 - this walks over a million files, without a Path for each
    here = status.st_dev, status.st_ino
    if here in above:
        return
    with os.scandir(folder) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            yield from _files(entry.path, f"{prefix}{entry.name}/", suffixes, (*above, here))
        elif os.path.splitext(entry.name)[1].lower() in suffixes:  # noqa: PTH122
            file = entry.stat()
            yield os.fsencode(prefix + entry.name), file.st_size, file.st_mtime_ns


def _cache(index: FolderIndex) -> Path:
    return cache_folder() / "indexes" / f"{digest([_FORMAT, str(index.root.resolve())])}.npz"


def _kept(index: FolderIndex) -> np.ndarray:
    """The hashes that an earlier index of the same folder had, of the files that have not changed; else empty."""
    hashes = np.zeros(len(index.names), dtype="S64")
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(_cache(index)) as kept:
        now = np.rec.fromarrays([index.names, index.sizes, index.times])
        before = np.rec.fromarrays([kept["names"].astype(index.names.dtype), kept["sizes"], kept["times"]])
        if len(now) == len(before) and bool(np.all(now == before)):
            return kept["hashes"]
        known = dict(zip(before.tolist(), kept["hashes"].tolist(), strict=True))
        hashes[:] = [known.get(row, b"") for row in now.tolist()]
    return hashes


def _keep(index: FolderIndex, hashes: np.ndarray) -> None:
    """Write the index to the cache; where that cannot be written, the next one reads the files again."""
    with suppress(OSError), writing(_cache(index)) as temporary, temporary.open("wb") as file:
        np.savez(file, names=index.names, sizes=index.sizes, times=index.times, hashes=hashes)
