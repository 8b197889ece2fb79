"""A text file that labels images: path and label in columns, as CSV or TSV, with or without a header."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from upath import UPath

from kd_core.config.errors import DataError
from kd_core.data.part_names import part_named

_PATHS = {"path", "file", "filename", "file_name", "image", "image_path", "image_id", "img", "name", "id"}
_LABELS = {"label", "class", "category", "target", "class_name", "label_name", "label_group"}
_PARTS = {"part", "split", "subset", "set"}


@dataclass(frozen=True)
class Labelled:
    """The label of one image, and the part that it is in where the file says so."""

    label: str
    part: str | None = None


def read_labels(path: str, suffixes: set[str], key: str = "data.labels") -> dict[str, Labelled]:
    """The label of each image by its path as the file gives it; raises DataError with a remedy.

    The columns are found by a header, else the first is the path and the second the label. suffixes are those of
    images, by which a first line that is no header is known.
    """
    rows = _rows(path, key)
    if not rows:
        raise DataError(f"{key}: {path}: holds no line; give one line of path and label an image")
    header = [cell.strip().lower() for cell in rows[0]]
    has_header = PurePosixPath(rows[0][0]).suffix.lower() not in suffixes and bool(set(header) & (_PATHS | _LABELS))
    at_path, at_label, at_part = 0, 1, None
    if has_header:
        at_path, at_label = _place(header, _PATHS) or 0, _place(header, _LABELS)
        at_label = at_label if at_label is not None else 1
        at_part = _place(header, _PARTS)
    if at_path == at_label:
        raise DataError(f"{key}: {path}: has the columns {', '.join(rows[0])}; name two of them path and label")
    found: dict[str, Labelled] = {}
    for number, row in enumerate(rows[has_header:], 1 + has_header):
        if len(row) <= max(at_path, at_label) or not row[at_label].strip():
            raise DataError(f"{key}: {path}: line {number} has no label: {' '.join(row)[:80]!r}; give path and label")
        part = part_named(row[at_part].strip()) if at_part is not None and len(row) > at_part else None
        labelled = Labelled(row[at_label].strip(), part)
        name = _below(row[at_path])
        if found.setdefault(name, labelled) != labelled:
            raise DataError(
                f"{key}: {path}: {name} has two labels, {found[name].label} and {labelled.label}, in line {number}; "
                "keep one: an image has one label"
            )
    return found


def labels_of(images: Sequence[str], labels: dict[str, Labelled]) -> dict[str, Labelled]:
    """The labels of those images that a file names: by their path, or by a file name that only one of them has."""
    found = {image: labels[image] for image in images if image in labels}
    for name in (_file_name, _stem):
        if len(found) == len(labels):
            break
        counts = Counter(map(name, images))
        alone = (image for image in images if image not in found and counts[name(image)] == 1)
        found |= {image: labels[name(image)] for image in alone if name(image) in labels}
    return found


def _rows(path: str, key: str) -> list[list[str]]:
    try:
        text = UPath(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{key}: {path}: is no text in UTF-8 (byte {error.start}); save it as such") from None
    except OSError as error:
        raise DataError(f"{key}: {path}: cannot be read ({error.strerror or error}); give a CSV or TSV file") from None
    lines = [line for line in text.splitlines() if line.strip()]
    delimiter = max("\t,;", key=lines[0].count) if lines else ","
    if lines and delimiter not in lines[0]:
        return [line.split() for line in lines]
    return list(csv.reader(lines, delimiter=delimiter))


def _place(header: Sequence[str], names: set[str]) -> int | None:
    return next((place for place, name in enumerate(header) if name in names), None)


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _stem(path: str) -> str:
    return _file_name(path).rpartition(".")[0]


def _below(path: str) -> str:
    """A path as the folder's index writes it."""
    return str(PurePosixPath(path.strip().replace("\\", "/").removeprefix("./")))
