"""A folder of image files as a source: which of its folders are parts and which are classes, and what is neither."""

import difflib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kd_core.config.data import DataConfig, Note, note
from kd_core.config.identity import file_sha256
from kd_core.data.folder_index import index_of
from kd_core.data.folder_layout import layout_of, without_training
from kd_core.data.images import FileImages, Part
from kd_core.data.labels_file import Labelled, labels_of, read_labels
from kd_core.data.part_names import part_named
from kd_core.data.source import Source, count, folder_of, refuse, some

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
LABEL_SUFFIXES = {".csv", ".tsv", ".txt"}
_FLAT = {"images", "image", "imgs", "img", "all", "unknown", "data", "unlabelled", "unlabeled"}  # no names of a class


@dataclass(frozen=True)
class _Rows:
    """The rows of a part in the index, and the name of the class of each, "" without one."""

    rows: list[int]
    classes: list[str]


class _Folder:
    """One folder on its way to a source; problems are gathered, so that all of them are told at once."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.place = folder_of(config, IMAGE_SUFFIXES | LABEL_SUFFIXES)
        self.index = index_of(Path(self.place), IMAGE_SUFFIXES)
        self.problems: list[str] = []
        self.notes: list[Note] = []
        self.annotations: dict[str, str] = {}
        self._refuse_names_that_are_no_text()
        self._leave_out_damaged_files()
        self.paths = [name.decode() for name in self.index.names.tolist()]

    def source(self) -> Source:
        """The source, with everything that is wrong with it as problems."""
        if self.config.labels is not None:
            parts = self._by_labels_file(read_labels(self.config.labels, IMAGE_SUFFIXES), self.config.labels)
        else:
            folders = self._folders()
            parts = {part: self._by_class_folder(folder) for part, folder in folders.items()}
            names = sorted({name for name in parts["train"].classes if name})
            parts = {part: self._annotated(part, rows, folders[part], names) for part, rows in parts.items()}
            self._find_empty_classes(folders["train"], names)
        names = sorted({name for name in parts["train"].classes if name})
        if not names and not self.problems:
            self.problems.append(
                "holds no class folders of images; make one folder of images a class, or give data.labels"
            )
        made = {part: self._part(part, rows, names) for part, rows in parts.items()}
        self._tell_rest(names)
        train, validation, test = (made.get(part) for part in ("train", "validation", "test"))
        assert train is not None
        rows = np.concatenate([part.numbers for part in (train, validation, test) if part is not None])
        digests = partial(self._digests, rows)
        return Source(
            train, tuple(names), self._identity, test, validation, tuple(self.notes), digests, tuple(self.problems)
        )

    def _digests(self, rows: np.ndarray) -> np.ndarray:
        """A number of the hash of each of these files, 0 where it was not read."""
        hashes = [sha256 for _, sha256 in self.index.identity().values()]
        return np.array([int(hashes[row][:16], 16) if hashes[row] else 0 for row in rows.tolist()], dtype=np.uint64)

    def _identity(self) -> dict[str, Any]:
        files: dict[str, Any] = {"files": self.index.identity()}
        return files | ({"annotations": self.annotations} if self.annotations else {})

    def _refuse_names_that_are_no_text(self) -> None:
        try:
            b"/".join(self.index.names.tolist()).decode()
        except UnicodeDecodeError:
            wrong = sorted(name.decode(errors="backslashreplace") for name in self.index.names if not _is_text(name))
            refuse(self.place, [f"names that are not valid UTF-8: {some(wrong)}; rename them"])

    def _leave_out_damaged_files(self) -> None:
        """Empty files and links to nothing are known without decoding."""
        empty = self.index.sizes == 0
        damaged = [f"{os.fsdecode(name)} (empty)" for name in self.index.names[empty].tolist()]
        damaged += [f"{name} (a link to nothing)" for name in self.index.rest.dangling]
        if damaged and self.config.skip_unreadable:
            self.notes.append(note("left out", count(len(damaged), "unreadable image"), damaged))
            self.index = self.index.without(empty)
        elif damaged:
            remedy = "remove or replace them, or set data.skip_unreadable: true"
            self.problems.append(f"{count(len(damaged), 'image')} cannot be read: {some(damaged)}; {remedy}")
        if closed := self.index.rest.closed:
            self.problems.append(f"{some(closed)} cannot be opened by this user; change the permissions")

    def _folders(self) -> dict[str, str]:
        layout = layout_of(self.paths)
        self.problems += layout.problems
        tops = {*layout.folders.values()} - {""}
        beside = [path for path in self.paths if path.split("/", 1)[0] not in tops] if tops else []
        if beside:
            examples = [*layout.beside, *(path for path in beside if "/" not in path)]
            self.notes.append(note("left out", f"{count(len(beside), 'image')} beside the parts", examples))
        return layout.folders

    def _by_class_folder(self, folder: str) -> _Rows:
        prefix = f"{folder}/" if folder else ""
        rows = [row for row, path in enumerate(self.paths) if path.startswith(prefix)]
        below = [self.paths[row][len(prefix) :] for row in rows]
        inner = [path for path in below if path.count("/") > 1 and not _is_flat({path.split("/")[1]})]
        if inner:
            text = f"{count(len(inner), 'image')} in folders below class folders, each of the class above"
            folders = dict.fromkeys(prefix + path.rpartition("/")[0] for path in inner)
            self.notes.append(note("doubtful", text, folders))
        return _Rows(rows, [_normal(path.split("/", 1)[0]) if "/" in path else "" for path in below])

    def _annotated(self, part: str, rows: _Rows, folder: str, names: Sequence[str]) -> _Rows:
        """A part without class folders: labelled by a text file in it, as in Tiny-ImageNet, or not at all."""
        found = set(rows.classes)
        if part == "train" or found & set(names) or len(found) > 1 or not _is_flat(found):
            return rows
        texts = [path for path in self.index.rest.other if _is_label_file(path) and path.rpartition("/")[0] == folder]
        for text in texts:
            file = Path(self.index.root, text)
            labels = read_labels(str(file), IMAGE_SUFFIXES, "data.path")
            matched = labels_of([self.paths[row] for row in rows.rows], labels)
            if matched and {labelled.label for labelled in matched.values()} <= set(names):
                self.annotations[text] = file_sha256(file)
                self.notes.append(note("taken", f"labels of the {part} part from a file", [text]))
                return _Rows(rows.rows, [m.label if (m := matched.get(self.paths[row])) else "" for row in rows.rows])
        remedy = "give their labels in a file as data.labels, or sort them into one folder a class"
        text = f"the {part} part, {count(len(rows.rows), 'image')} in no class folders; {remedy}"
        self.notes.append(note("left out", text, [f"{folder}/"]))
        return _Rows([], [])

    def _by_labels_file(self, labels: dict[str, Labelled], path: str) -> dict[str, _Rows]:
        """Rows by a labels file; its part column decides on the part, or else a folder that is named like one."""
        matched = labels_of(self.paths, labels)
        missing = len(labels) - len(matched)
        if missing:
            known = {id(labelled) for labelled in matched.values()}
            lost = [name for name, labelled in labels.items() if id(labelled) not in known]
            self.problems.append(
                f"{count(missing, 'image')} of data.labels: {path}: are not there: {some(lost)}; "
                "give paths below data.path, or remove the lines"
            )
        unsaid = [image for image, labelled in matched.items() if labelled.part is None]
        folders = {image: _part_folder(image) for image in unsaid}
        by_folder = len({*folders.values()}) > 1
        if by_folder and "train" not in folders.values():
            self.problems += without_training(sorted({_folder(image) for image in unsaid if folders[image]}))
        elif by_folder and None in folders.values():
            others = [image for image in unsaid if folders[image] is None]
            text = f"{count(len(others), 'image')} in folders that name no part, for training"
            self.notes.append(note("taken", text, dict.fromkeys(map(_folder, others))))
        parts: dict[str, _Rows] = {"train": _Rows([], [])}
        for row, image in enumerate(self.paths):
            if image in matched:
                labelled = matched[image]
                part = labelled.part or (folders[image] if by_folder else None) or "train"
                into = parts.setdefault(part, _Rows([], []))
                into.rows.append(row)
                into.classes.append(_normal(labelled.label))
        self.notes.append(note("taken", f"labels of {count(len(matched), 'image')} from data.labels", [path]))
        if len(matched) < len(self.paths):
            rest = (image for image in self.paths if image not in matched)
            text = f"{count(len(self.paths) - len(matched), 'image')} that data.labels does not name"
            self.notes.append(note("left out", text, rest))
        return parts

    def _find_empty_classes(self, folder: str, names: Sequence[str]) -> None:
        prefix = f"{folder}/" if folder else ""
        children = [path[len(prefix) :] for path in self.index.rest.folders if path.startswith(prefix)]
        for name in sorted({_normal(child) for child in children if "/" not in child} - set(names)):
            others = [path for path in self.index.rest.other if _normal(path).startswith(f"{prefix}{name}/")]
            why = f" that is read, but {some(others)}" if others else ""
            if folder or not part_named(name):
                self.problems.append(f"class {name!r} has no image{why}; add images, or remove its folder")

    def _part(self, part: str, rows: _Rows, names: Sequence[str]) -> Part | None:
        """The labelled images of a part; None if it has none."""
        numbers = {name: number for number, name in enumerate(names)}
        unknown = sorted({name for name in rows.classes if name and name not in numbers})
        if unknown:
            near = difflib.get_close_matches(unknown[0], names, n=1)
            remedy = f"rename it {near[0]!r} if that is meant, or remove it" if near else "remove it"
            self.problems.append(
                f"class folder {some(unknown)} of the {part} part is not among the training classes; {remedy}"
            )
        unclassed = [self.paths[row] for row, name in zip(rows.rows, rows.classes, strict=True) if not name]
        if unclassed:
            text = f"{count(len(unclassed), 'image')} of the {part} part in no class folder"
            self.notes.append(note("left out", text, unclassed))
        labels = np.array([numbers.get(name, -1) for name in rows.classes], dtype=np.int64)
        classed = labels >= 0
        if not classed.any() and part != "train":
            return None
        images = FileImages(self.place, self.index.names)
        return Part(labels[classed], images, np.array(rows.rows, dtype=np.int64)[classed])

    def _tell_rest(self, names: Sequence[str]) -> None:
        """Say what lies there and was not read, and that classes named by numbers are in the order of text."""
        rest = self.index.rest
        if rest.hidden:
            text = count(len(rest.hidden), "hidden file or folder", "hidden files and folders")
            self.notes.append(note("left out", text, rest.hidden))
        others = [path for path in rest.other if "/" in path and path not in self.annotations]
        if others:
            suffixes = ", ".join(sorted({PurePosixPath(path).suffix.lower() or "none" for path in others})[:5])
            text = f"{count(len(others), 'file')} whose ending ({suffixes}) is no image's"
            self.notes.append(note("left out", text, others))
        if of_parts := [name for name in names if part_named(name) and self.config.labels is None]:
            text = "classes that are named like parts, since no class folders are in them"
            self.notes.append(note("doubtful", text, of_parts))
        if all(name.isdecimal() for name in names) and sorted(names, key=int) != list(names):
            self.notes.append(
                note(
                    "doubtful",
                    "classes are in the order of their names as text, and a checkpoint may have another",
                    names,
                )
            )


def read_folder(config: DataConfig) -> Source:
    """The source in a folder of image files, one folder a class, or with a labels file; raises DataError.

    Classes are in the order of their names as text. What is wrong with the folder is in its problems.
    """
    return _Folder(config).source()


def _normal(name: str) -> str:
    """A name in one Unicode form: two systems may write é in two ways."""
    return unicodedata.normalize("NFC", name)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _part_folder(path: str) -> str | None:
    """The part that the innermost folder of an image with such a name means, if it is in one."""
    return next(filter(None, map(part_named, reversed(_folder(path).split("/")))), None)


def _is_flat(folders: set[str]) -> bool:
    return all(name.lower() in _FLAT for name in folders if name)


def _is_label_file(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in LABEL_SUFFIXES


def _is_text(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
