"""The image files below a folder, with sizes and hashes; hashes are kept in the cache and checked by time and size.

What else is there is remembered: a class can be empty because nothing in it is read.
"""

import errno
import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from kd_core.config.identity import digest, file_sha256
from kd_core.data.images import hashing_stride
from kd_core.data.part_names import is_hidden
from kd_core.store.files import cache_folder, writing

_FORMAT = 1  # of the cached file
_NOWHERE = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR)  # errors of a link to nothing, or to itself


@dataclass
class Rest:
    """What is below a folder beside its images, as paths below it."""

    folders: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)  # files with another ending
    dangling: list[str] = field(default_factory=list)  # links to an image that is not there
    closed: list[str] = field(default_factory=list)  # folders and files that this user may not open


@dataclass(frozen=True)
class FolderIndex:
    """Files in the order of their paths: paths below root as bytes [N], sizes in bytes [N], times in ns [N]."""

    root: Path
    names: np.ndarray
    sizes: np.ndarray
    times: np.ndarray
    rest: Rest

    @property
    def names_that_are_no_text(self) -> list[str]:
        """The names that are not valid UTF-8, with what is wrong in them escaped."""
        names = self.names.tolist()
        try:
            b"/".join(names).decode()  # all at once, since nearly always all are
        except UnicodeDecodeError:
            escaped = [name.decode(errors="backslashreplace") for name in names]
            return sorted(text for text, name in zip(escaped, names, strict=True) if text.encode() != name)
        return []

    def without(self, rows: np.ndarray) -> "FolderIndex":
        """The same files but those in these rows, a mask [N]."""
        return FolderIndex(self.root, self.names[~rows], self.sizes[~rows], self.times[~rows], self.rest)

    @cached_property
    def hashes(self) -> np.ndarray:
        """The sha256 of each file in hexadecimal, as bytes [N]; empty for those that are not hashed."""
        stride = hashing_stride(int(self.sizes.sum()))
        hashes = _kept(self)
        missing = [row for row in range(0, len(self.names), stride) if not hashes[row]]
        for row in missing:
            with suppress(PermissionError):  # a look at the image says so
                hashes[row] = file_sha256(self.root / os.fsdecode(self.names[row])).encode()
        if missing:
            _keep(self, hashes)
        hashes[np.arange(len(hashes)) % stride > 0] = b""
        return hashes

    def identity(self) -> dict[str, tuple[int, str | None]]:
        """Size in bytes and sha256 of each file, by its path, as in `kd_core.data.images.identity_of`."""
        hashed = [sha256.decode() or None for sha256 in self.hashes.tolist()]
        names = [os.fsdecode(name) for name in self.names.tolist()]
        return dict(zip(names, zip(self.sizes.tolist(), hashed, strict=True), strict=True))

    def digests(self, rows: np.ndarray) -> np.ndarray:
        """A number of the content of the files in these rows, uint64 [n]; 0 for those that are not hashed.

        Equal files have equal numbers, and others differ but for one pair in 2^64: they mix the hash's first two words.
        """
        words = self.hashes[rows].astype("S64").view("<u8").reshape(len(rows), 8)
        return words[:, 0] * np.uint64(0x9E3779B97F4A7C15) + words[:, 1]


def index_of(root: Path, suffixes: set[str]) -> FolderIndex:
    """All files below a folder with one of these suffixes, of any case; links to folders are followed."""
    rest = Rest()
    found = list(_files(str(root), "", suffixes, (), rest))
    names, sizes, times = zip(*found, strict=True) if found else ((), (), ())
    return FolderIndex(
        root, np.array(names, dtype=bytes), np.array(sizes, dtype=np.int64), np.array(times, dtype=np.int64), rest
    )


def _files(
    folder: str, prefix: str, suffixes: set[str], above: tuple[tuple[int, int], ...], rest: Rest
) -> Iterator[tuple[bytes, int, int]]:
    """Path, size and time of each image; `above` are the folders on the way, which a link may lead back to."""
    status = os.stat(folder)  # noqa: PTH116 - this walks over a million files, without a Path for each
    here = status.st_dev, status.st_ino
    if here in above:
        return
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except PermissionError:
        rest.closed.append(prefix)
        return
    for entry in entries:
        path = prefix + entry.name
        if is_hidden(entry.name):
            rest.hidden.append(path)
        elif _is_folder(entry):
            rest.folders.append(path)
            yield from _files(entry.path, f"{path}/", suffixes, (*above, here), rest)
        elif os.path.splitext(entry.name)[1].lower() not in suffixes:  # noqa: PTH122
            rest.other.append(path)
        else:
            try:
                file = entry.stat()
            except OSError as error:
                (rest.dangling if error.errno in _NOWHERE else rest.closed).append(path)
            else:
                if stat.S_ISREG(file.st_mode):
                    yield os.fsencode(path), file.st_size, file.st_mtime_ns
                else:  # a pipe, from which one would read forever
                    rest.other.append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


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
