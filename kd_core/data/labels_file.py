"""A text file that labels images: path and label in columns, as CSV or TSV, with or without a header."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from upath import UPath

from kd_core.config.errors import DataError
from kd_core.data.part_names import part_named
from kd_core.fields import shown

_PATHS = {"path", "file", "filename", "file_name", "image", "image_path", "img"}
_NAMES = {"image_id", "name", "id"}  # of images, where there is no path
LABEL_WORDS = {"label", "labels", "class", "category", "target", "class_name", "label_name", "label_group"}
_PARTS = {"part", "split", "subset", "set"}


@dataclass(frozen=True)
class Labelled:
    """The label of one image, and the part that it is in where the file says so."""

    label: str
    part: str | None = None


@dataclass(frozen=True)
class _Columns:
    """The places of the columns, and whether a header gives them."""

    path: int
    label: int
    part: int | None = None
    has_header: bool = True


def read_labels(path: str, suffixes: set[str], key: str = "data.labels") -> dict[str, Labelled]:
    """The label of each image by its path as the file gives it; raises DataError with a remedy.

    The columns are found by a header, else the first is the path and the second the label. suffixes are those of
    images, by which a first line that is no header is known.
    """
    try:
        return _labels_in(_rows(path), suffixes, need_header=key == "data.labels")
    except ValueError as error:
        raise DataError(f"{key}: {path}: {error}") from None


def _labels_in(rows: list[list[str]], suffixes: set[str], *, need_header: bool) -> dict[str, Labelled]:
    """The labels of a table; raises ValueError. Without need_header, what stands behind the label may be anything."""
    if not rows:
        raise ValueError("holds no line; give one line of path and label an image")
    columns = _columns_of(rows, suffixes)
    if need_header and not columns.has_header and len(rows[0]) > 2:
        raise ValueError(f"has {len(rows[0])} columns; name two of them path and label in a first line")
    says_part = columns.part is not None and any(_cell(row, columns.part) for row in rows[1:])
    found: dict[str, Labelled] = {}
    for number, row in enumerate(rows[columns.has_header :], 1 + columns.has_header):
        label = row[columns.label].strip() if len(row) > max(columns.path, columns.label) else ""
        if not label or not label.isprintable():
            raise ValueError(f"line {number} has no label: {' '.join(row)[:80]!r}; give path and label")
        if any(cell.strip() for cell in row[len(rows[0]) :]):
            what = f"line {number} has more columns than the first: {' '.join(row)[:80]!r}"
            raise ValueError(f"{what}; quote what holds a comma or space")
        labelled = Labelled(label, _part_in(row, columns, number) if says_part else None)
        name = _below(row[columns.path])
        if found.setdefault(name, labelled) != labelled:
            raise ValueError(
                f"{shown(name)} has two labels, {shown(found[name].label)} and {shown(label)}, in line {number}; "
                "keep one: an image has one label"
            )
    return found


def _columns_of(rows: list[list[str]], suffixes: set[str]) -> _Columns:
    """The columns by the words of a header; of several alike, those that hold images, or the first if all agree."""
    header = [cell.strip().lower() for cell in rows[0]]
    if _suffix(rows[0][0]) in suffixes or not set(header) & (_PATHS | _NAMES | LABEL_WORDS):
        return _Columns(0, 1, has_header=False)
    paths = _places(header, _PATHS | _NAMES) or [0]
    of_images = [place for place in paths if any(_suffix(_cell(row, place)) in suffixes for row in rows[1:])]
    possible = of_images or _places(header, _PATHS) or paths
    path, part = possible[0], next(iter(_places(header, _PARTS)), None)
    others = [place for place in range(len(header)) if place not in (path, part) and (place or header[0])]
    labels = _places(header, LABEL_WORDS) or others  # pandas writes its row numbers first, under no word
    undecided = any(len(places) > 1 and not _agree(rows[1:], places) for places in (possible, labels))
    if path in labels or not labels or undecided:
        raise ValueError(f"has the columns {shown(', '.join(rows[0]))}; name two of them path and label")
    return _Columns(path, labels[0], part)


def _agree(rows: list[list[str]], places: Sequence[int]) -> bool:
    """Whether columns say the same in other words: as many different rows as different cells in each."""
    cells = [tuple(row[place] for place in places) for row in rows if len(row) > max(places)]
    return len({len(set(column)) for column in (cells, *zip(*cells, strict=True))}) == 1


def _part_in(row: Sequence[str], columns: _Columns, number: int) -> str:
    word = _cell(row, columns.part or 0)
    if part := part_named(word):
        return part
    raise ValueError(f"line {number} is of the part {word!r}; write train, validation or test")


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


def _rows(path: str) -> list[list[str]]:
    """The cells of each line that is not empty; raises ValueError."""
    try:
        text = UPath(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is no text in UTF-8 (byte {error.start}); save it as such") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error}); give a CSV or TSV file") from None
    lines = [line for line in text.split("\n") if line.strip()]
    delimiter = max("\t,;", key=lines[0].count) if lines else ","
    if lines and delimiter not in lines[0]:
        lines, delimiter = [" ".join(line.split()) for line in lines], " "
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        return list(reader)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is no CSV ({error}); look for a quote that is not closed") from None


def _places(header: Sequence[str], names: set[str]) -> list[int]:
    return [place for place, name in enumerate(header) if name in names]


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if len(row) > place else ""


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _stem(path: str) -> str:
    return _file_name(path).rpartition(".")[0]


def _below(path: str) -> str:
    """A path as the folder's index writes it."""
    return str(PurePosixPath(path.strip().replace("\\", "/").removeprefix("./")))
