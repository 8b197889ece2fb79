"""A folder of image files as a source: which of its folders are parts and which are classes, and what is neither."""

import difflib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from kd_core.config.data import DataConfig, Note, note
from kd_core.config.errors import DataError
from kd_core.config.identity import file_sha256
from kd_core.data.folder_index import index_of
from kd_core.data.folder_layout import layout_of, without_training
from kd_core.data.images import FileImages, Part
from kd_core.data.labels_file import Labelled, labels_of, read_labels
from kd_core.data.part_names import part_named
from kd_core.data.source import Source, count, folder_of, refuse, some
from kd_core.methods.method import UNLABELLED

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
LABEL_SUFFIXES = {".csv", ".tsv", ".txt"}
_FLAT = {"images", "image", "imgs", "img", "all", "unknown", "data", "unlabelled", "unlabeled"}  # no names of a class


@dataclass(frozen=True)
class _Rows:
    """The rows of a part in the index [n], and the class of each [n] as a place in names; "" is the name of none."""

    rows: np.ndarray
    classes: np.ndarray
    names: list[str]

    @property
    def found(self) -> set[str]:
        """The names of the classes that a row has."""
        return {self.names[place] for place in np.unique(self.classes).tolist()} - {""}


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
        places: dict[str, int] = {}  # of each folder with images, of which there are few
        folders = (path.rpartition("/")[0] for path in self.paths)
        self.folder_of = np.fromiter((places.setdefault(folder, len(places)) for folder in folders), np.int64)
        self.folders = list(places)

    def source(self) -> Source:
        """The source, with everything that is wrong with it as problems."""
        if self.config.labels is not None:
            parts = self._by_labels_file(read_labels(self.config.labels, IMAGE_SUFFIXES), self.config.labels)
        else:
            folders = self._folders_of_parts()
            parts = {part: self._by_class_folder(folder) for part, folder in folders.items()}
            names = sorted(parts["train"].found)
            parts = {part: self._annotated(part, rows, folders[part], names) for part, rows in parts.items()}
            self._find_empty_classes(folders["train"], names)
        names = sorted(parts["train"].found)
        if not names and not self.problems:
            self.problems.append(
                "holds no class folders of images; make one folder of images a class, or give data.labels"
            )
        made = {part: self._part(part, rows, names) for part, rows in parts.items()}
        self._tell_rest(names)
        train, validation, test = (made.get(part) for part in ("train", "validation", "test"))
        assert train is not None
        rows = np.concatenate([part.numbers for part in (train, validation, test) if part is not None])
        digests = partial(self.index.digests, rows)
        return Source(
            train, tuple(names), self._identity, test, validation, tuple(self.notes), digests, tuple(self.problems)
        )

    def unlabelled(self) -> Source:
        """All images as one part without labels, whatever their folders are called; raises DataError."""
        refuse(self.place, self.problems or ([] if self.paths else ["holds no image; give the folder that holds them"]))
        self._tell_rest(())
        rows = np.arange(len(self.paths))
        part = Part(np.full(len(rows), UNLABELLED), FileImages(self.place, self.index.names), rows)
        notes = (each.model_copy(update={"text": f"of data.unlabelled, {each.text}"}) for each in self.notes)
        return Source(part, (), self._identity, notes=tuple(notes), digests=partial(self.index.digests, rows))

    def _identity(self) -> dict[str, Any]:
        files: dict[str, Any] = {"files": self.index.identity()}
        return files | ({"annotations": self.annotations} if self.annotations else {})

    def _refuse_names_that_are_no_text(self) -> None:
        if wrong := self.index.names_that_are_no_text:
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

    def _folders_of_parts(self) -> dict[str, str]:
        layout = layout_of(self.folders)
        self.problems += layout.problems
        tops = {*layout.folders.values()} - {""}
        is_beside = np.array(
            [bool(tops) and folder.split("/", 1)[0] not in tops for folder in self.folders], dtype=bool
        )
        beside = np.flatnonzero(is_beside[self.folder_of])
        if beside.size:
            loose = (self.paths[row] for row in beside.tolist() if "/" not in self.paths[row])
            text = f"{count(len(beside), 'image')} beside the parts"
            self.notes.append(note("left out", text, chain(layout.beside, loose)))
        return layout.folders

    def _by_class_folder(self, part: str) -> _Rows:
        prefix = f"{part}/" if part else ""
        inside = np.array([not part or folder == part or folder.startswith(prefix) for folder in self.folders], bool)
        below = [folder[len(prefix) :].split("/") for folder in self.folders]
        rows = np.flatnonzero(inside[self.folder_of])
        deeper = np.array([len(names) > 1 and not _is_flat({names[1]}) for names in below], dtype=bool) & inside
        if deeper.any():
            number = int(deeper[self.folder_of].sum())
            text = f"{count(number, 'image')} in folders below class folders, each of the class above"
            self.notes.append(
                note("doubtful", text, (self.folders[place] for place in np.flatnonzero(deeper).tolist()))
            )
        return _Rows(rows, self.folder_of[rows], [_normal(names[0]) for names in below])

    def _annotated(self, part: str, rows: _Rows, folder: str, names: Sequence[str]) -> _Rows:
        """A part without class folders: labelled by a text file in it, as in Tiny-ImageNet, or not at all."""
        if part == "train" or rows.found & set(names) or len(rows.found) > 1 or not _is_flat(rows.found):
            return rows
        texts = [path for path in self.index.rest.other if _is_label_file(path) and path.rpartition("/")[0] == folder]
        for text in texts:
            file = Path(self.index.root, text)
            labels = read_labels(str(file), IMAGE_SUFFIXES, "data.path")
            images = [self.paths[row] for row in rows.rows.tolist()]
            matched = labels_of(images, labels)
            if matched and {labelled.label for labelled in matched.values()} <= set(names):
                self.annotations[text] = file_sha256(file)
                self.notes.append(note("taken", f"labels of the {part} part from a file", [text]))
                return _rows(rows.rows, [matched[image].label if image in matched else "" for image in images])
        remedy = "give their labels in a file as data.labels, or sort them into one folder a class"
        text = f"the {part} part, {count(len(rows.rows), 'image')} in no class folders; {remedy}"
        self.notes.append(note("left out", text, [f"{folder}/"]))
        return _rows(np.arange(0), [])

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
        parts: dict[str, list[tuple[int, str]]] = {"train": []}
        for row, image in enumerate(self.paths):
            if image in matched:
                labelled = matched[image]
                part = labelled.part or (folders[image] if by_folder else None) or "train"
                parts.setdefault(part, []).append((row, labelled.label))
        self.notes.append(note("taken", f"labels of {count(len(matched), 'image')} from data.labels", [path]))
        if len(matched) < len(self.paths):
            rest = (image for image in self.paths if image not in matched)
            text = f"{count(len(self.paths) - len(matched), 'image')} that data.labels does not name"
            self.notes.append(note("left out", text, rest))
        return {
            part: _rows(np.array([row for row, _ in pairs], dtype=np.int64), [label for _, label in pairs])
            for part, pairs in parts.items()
        }

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
        unknown = sorted(rows.found - numbers.keys())
        if unknown:
            near = difflib.get_close_matches(unknown[0], names, n=1)
            remedy = f"rename it {near[0]!r} if that is meant, or remove it" if near else "remove it"
            self.problems.append(
                f"class folder {some(unknown)} of the {part} part is not among the training classes; {remedy}"
            )
        labels = np.array([numbers.get(name, -1) for name in rows.names], dtype=np.int64)[rows.classes]
        unclassed = rows.rows[np.array([not name for name in rows.names], dtype=bool)[rows.classes]]
        if unclassed.size:
            text = f"{count(len(unclassed), 'image')} of the {part} part in no class folder"
            self.notes.append(note("left out", text, (self.paths[row] for row in unclassed.tolist())))
        classed = labels >= 0
        if not classed.any() and part != "train":
            return None
        images = FileImages(self.place, self.index.names)
        return Part(labels[classed], images, rows.rows[classed])

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
            text = "classes in the order of their names as text, of a checkpoint say its own by teachers.NAME.classes"
            self.notes.append(note("doubtful", text, names))


def read_folder(config: DataConfig) -> Source:
    """The source in a folder of image files, one folder a class, or with a labels file; raises DataError.

    Classes are in the order of their names as text. What is wrong with the folder is in its problems.
    """
    return _Folder(config).source()


def _rows(rows: np.ndarray, labels: Sequence[str]) -> _Rows:
    """Rows by the name of the class of each."""
    names = list(dict.fromkeys(labels))
    places = {name: place for place, name in enumerate(names)}
    classes = np.array([places[label] for label in labels], dtype=np.int64)
    return _Rows(rows, classes, [_normal(name) for name in names])


def read_unlabelled(config: DataConfig) -> Source:
    """The images below data.unlabelled, at any depth, as the training part of a source; raises DataError."""
    try:
        return _Folder(config.model_copy(update={"source": "folder", "path": config.unlabelled})).unlabelled()
    except DataError as error:
        raise DataError(str(error).replace("data.path", "data.unlabelled", 1)) from None


def _normal(name: str) -> str:
    """A name in one Unicode form: two systems may write é in two ways."""
    return unicodedata.normalize("NFC", name)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _part_folder(path: str) -> str | None:
    """The part that the innermost folder of an image with such a name means, if it is in one."""
    return next(filter(None, map(part_named, reversed(_folder(path).split("/")))), None)


def _is_flat(folders: set[str]) -> bool:
    return all(name.lower() in _FLAT for name in folders)


def _is_label_file(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in LABEL_SUFFIXES
