"""What a source of images is before it is split: its parts, classes, files, and what there is to say of it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kd_core.config.data import DataConfig, Note
from kd_core.config.errors import DataError
from kd_core.data.images import Images, Part
from kd_core.store.cache import fetched


@dataclass(frozen=True)
class Source:
    """A source before splitting: its training part, its own validation and test parts if it has them, and its classes.

    identity is a JSON value that changes when an image or a label of the source changes, but not when it is moved;
    it may read the files, so it is a function. Under `unlabelled` it has the images without a label, if there are any.
    digests gives a number of every image's file, uint64 [M], 0 where it was not read, if the identity has them. notes
    are what its user should know, problems what is wrong, each with a remedy.
    """

    train: Part
    class_names: tuple[str, ...]
    identity: Callable[[], dict[str, Any]]
    test: Part | None = None
    validation: Part | None = None
    notes: tuple[Note, ...] = ()
    digests: Callable[[], np.ndarray] | None = None
    problems: tuple[str, ...] = ()
    unlabelled: Part | None = None

    @property
    def parts(self) -> list[Part]:
        """The parts that there are: train, validation, test, unlabelled."""
        return [part for part in (self.train, self.validation, self.test, self.unlabelled) if part is not None]

    def rows_of(self, part: Part | None) -> np.ndarray:
        """Where the images of one of its parts are among all of them, in the order of `parts`; none of None."""
        start = 0
        for each in self.parts:
            if each is part:
                return np.arange(start, start + len(each))
            start += len(each)
        return np.arange(0)

    def with_unlabelled(self, other: "Source") -> "Source":
        """The source, and the images of another one as those without a label."""
        own, others = self.digests, other.digests
        assert others is not None
        return replace(
            self,
            unlabelled=other.train,
            identity=lambda: self.identity() | {"unlabelled": other.identity()},
            notes=(*self.notes, *other.notes),
            digests=None if own is None else lambda: np.concatenate([own(), others()]),
        )


def whole_part(labels: np.ndarray, images: Images) -> Part:
    """All images of a collection, with their labels [N]."""
    return Part(labels.astype(np.int64), images, np.arange(len(labels)))


def folder_of(config: DataConfig, suffixes: set[str]) -> os.PathLike[str]:
    """The folder of a source, or this node's copy of its files with these suffixes; raises DataError."""
    path = config.path or ""
    if "://" in path:
        return fetched(path, suffixes)
    root = Path(path).expanduser()
    if not root.is_dir():
        raise DataError(
            f"data.path: {config.path}: no such folder; give the folder that holds the {config.source} data"
        )
    return root


def refuse(place: object, problems: Sequence[str], key: str = "data.path") -> None:
    """Raise one DataError of all problems, each with its remedy, if there are any."""
    if len(problems) == 1:
        raise DataError(f"{key}: {place}: {problems[0]}")
    if problems:
        listed = "; ".join(f"({number}) {problem}" for number, problem in enumerate(problems, 1))
        raise DataError(f"{key}: {place}: {len(problems)} things are wrong: {listed}")


def some(names: Sequence[str]) -> str:
    """Up to three names, and how many more there are."""
    shown = ", ".join(repr(name) for name in names[:3])
    return shown + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: 1 image, 1,234 images."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
