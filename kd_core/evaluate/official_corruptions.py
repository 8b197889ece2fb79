"""The corrupted test images of CIFAR-10-C and CIFAR-100-C, as published (Hendrycks & Dietterich 2019).

A folder holds NAME.npy uint8 [5·N, 32, 32, 3] for each corruption, the N test images at severity 1, then at 2, up to 5,
and labels.npy [5·N].
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kd_core.config.errors import DataError
from kd_core.evaluate.corruptions import CORRUPTIONS, NUM_SEVERITIES
from kd_core.fields import shown

LABELS = "labels"
_FILES = {name: name for name in CORRUPTIONS} | {"jpeg": "jpeg_compression"}
_PIXELS = (32, 32, 3)
_HASHED_BYTES = 2**20  # of either end of a file


@dataclass(frozen=True)
class OfficialCorruptions:
    """The published corruptions of some test images: those that are drawn here, too, come first and in their order."""

    folder: Path
    names: tuple[str, ...]
    """of the corruptions, as `kd_core.evaluate.corruptions` calls them, or else as their files are named"""
    num_images: int
    """N, at each severity"""

    def images(self, name: str, severity: int, numbers: np.ndarray) -> np.ndarray:
        """The test images of these numbers int64 [n], 0 to N − 1, at severity 1 to 5: uint8 [n, 32, 32, 3].

        Only they are read.
        """
        assert 1 <= severity <= NUM_SEVERITIES, severity
        assert ((numbers >= 0) & (numbers < self.num_images)).all(), "no such image"
        images = _mapped(_file_of(self.folder, name))
        return np.array(images[(severity - 1) * self.num_images + numbers])

    def identity(self) -> dict[str, Any]:
        """Size in bytes and sha256 of each corruption's file, by its name.

        Hashed are the first and the last MiB, since all files have 3 GB, most of which is never read: files that were
        made in another way differ there, but a change in the middle alone is not detected.
        """
        return {name: _identity_of(_file_of(self.folder, name)) for name in self.names}


def official(folder: str | Path, labels: np.ndarray) -> OfficialCorruptions:
    """Find the corruptions in a folder as published, of the N test images with these labels int64 [N].

    It must hold the six that are drawn here, and may hold more. Raises DataError if a file is missing or another.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise _error(folder, "is no folder; give the one that holds the files of CIFAR-10-C or CIFAR-100-C")
    _check_labels(folder / f"{LABELS}.npy", labels)
    present = {file.stem for file in folder.glob("*.npy") if not file.name.startswith(".")}
    names = (*CORRUPTIONS, *sorted(present - {LABELS, *CORRUPTIONS, *_FILES.values()}))
    for name in names:
        _check_images(_file_of(folder, name), len(labels))
    return OfficialCorruptions(folder, names, len(labels))


def _check_labels(file: Path, labels: np.ndarray) -> None:
    given, expected = _mapped(file), np.tile(labels, NUM_SEVERITIES)
    remedy = "give the folder of the data set that is evaluated, with all its test images in their order"
    if given.shape != expected.shape or given.dtype.kind not in "iu":
        raise _error(file, f"holds {_kind_of(given)}, not integers {list(expected.shape)}, five a test image; {remedy}")
    if num_others := np.count_nonzero(given != expected):
        raise _error(file, f"has other labels than the test images in {num_others:,} of {len(given):,} rows; {remedy}")


def _check_images(file: Path, num_images: int) -> None:
    given, shape = _mapped(file), (NUM_SEVERITIES * num_images, *_PIXELS)
    if given.shape != shape or given.dtype != np.uint8:
        problem = f"holds {_kind_of(given)}, not uint8 {list(shape)}, each test image at five severities"
        raise _error(file, f"{problem}; fetch it again, or remove what is no corruption")


def _mapped(file: Path) -> np.ndarray:
    """The array of a .npy file, mapped into memory; raises DataError. Pickled objects are never loaded."""
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except FileNotFoundError:
        raise _error(file, "is missing; fetch the whole folder again") from None
    except Exception as error:  # a garbled header raises whatever Python's parser does
        raise _error(file, f"is no whole .npy file of numbers ({shown(error)}); fetch it again") from None


def _kind_of(array: np.ndarray) -> str:
    return f"{shown(array.dtype)} {list(array.shape)}"


def _identity_of(file: Path) -> dict[str, Any]:
    """Its size, and the sha256 of its ends, or of all of it where they meet."""
    size = file.stat().st_size
    with file.open("rb") as content:
        ends = hashlib.sha256(content.read(_HASHED_BYTES))
        content.seek(max(content.tell(), size - _HASHED_BYTES))
        ends.update(content.read())
    return {"size_bytes": size, "sha256": ends.hexdigest()}


def _file_of(folder: Path, name: str) -> Path:
    return folder / f"{_FILES.get(name, name)}.npy"


def _error(path: Path, problem: str) -> DataError:
    return DataError(f"evaluate.corruptions: {path}: {problem}")
