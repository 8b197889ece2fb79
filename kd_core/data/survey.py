"""A survey of a source before anything runs: what was found, what is odd, and everything that is wrong at once."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from kd_core.config.data import DataConfig, DataSummary, Note
from kd_core.data.doubts import doubts_of_images, doubts_of_labels, doubts_of_looks
from kd_core.data.images import Part
from kd_core.data.look import Look, Progress, look_at, names_in
from kd_core.data.source import Source, count, refuse, some
from kd_core.data.sources import read_source
from kd_core.data.splits import SPLITS, Parts, fingerprint_of, split


@dataclass(frozen=True)
class Survey:
    """The splits of a source, and what a look at every image has shown, if there was one."""

    config: DataConfig
    parts: Parts
    look: Look | None
    notes: tuple[Note, ...]

    @property
    def summary(self) -> DataSummary:
        """The sizes of the dataset that `kd_core.data.dataset.load` would return, and the notes."""
        num_train, num_validation, num_test = (len(part) for part in self.parts.splits)
        return DataSummary(
            fingerprint=fingerprint_of(self.config, self.parts.source),
            num_train=num_train,
            num_validation=num_validation,
            num_test=num_test,
            num_classes=len(self.parts.class_names),
            image_size=max(self.parts.train.pixels(0, self.config.image_size).shape[:2]),
            num_unlabelled=0 if self.parts.unlabelled is None else len(self.parts.unlabelled),
            notes=self.notes,
        )

    @property
    def counts(self) -> dict[str, list[int]]:
        """The images of each class [K], by the name of the split."""
        num_classes = len(self.parts.class_names)
        splits = zip(SPLITS, self.parts.splits, strict=True)
        return {name: np.bincount(part.labels, minlength=num_classes).tolist() for name, part in splits}

    @property
    def formats(self) -> dict[str, int]:
        """The images of each file type and mode, such as `JPEG RGB`, the most frequent first."""
        return dict(Counter(self.look.formats[self.look.readable].tolist()).most_common()) if self.look else {}

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """The smallest and the largest (width, height) in pixels, each side by itself; one if all are equal."""
        if self.look is None:
            return []
        sizes = self.look.sizes[self.look.readable][:, ::-1]
        return list(dict.fromkeys((tuple(sizes.min(axis=0).tolist()), tuple(sizes.max(axis=0).tolist()))))

    def as_json(self) -> dict[str, Any]:
        """The output of `kdsweep data --json`."""
        return {
            "path": self.config.path,
            **self.summary.model_dump(mode="json"),
            "classes": list(self.parts.class_names),
            "images": self.counts,
            "sizes": self.sizes,
            "formats": self.formats,
        }


def survey_of(config: DataConfig, progress: Progress | None = None, *, whole: bool | None = None) -> Survey:
    """Survey the source of a DataConfig; raises one DataError of all that is wrong, each with its remedy.

    whole says whether every image is looked at; by default those of files are, unless they are streamed.
    """
    source = read_source(config)
    if whole is None:
        whole = config.source in ("folder", "parquet") and not config.streaming
    look = look_at(source, progress) if whole else None
    if source.problems:
        rows = np.arange(sum(map(len, source.parts)))
        refuse(config.path, [*source.problems, *(_problems(config, source, look, rows) if look else ())])
    parts = split(config, source)
    if look is not None:
        refuse(config.path, _problems(config, source, look, np.concatenate(list(parts.rows.values()))))
    return Survey(config, parts, look, (*parts.notes, *_notes(parts, look)))


def summarize(config: DataConfig, progress: Progress | None = None) -> DataSummary:
    """The summary of a survey; raises DataError."""
    return survey_of(config, progress).summary


def _problems(config: DataConfig, source: Source, look: Look, rows: np.ndarray) -> list[str]:
    """Which of these images cannot be read, and that they differ in size."""
    problems = []
    damaged, readable = rows[~look.readable[rows]], rows[look.readable[rows]]
    if damaged.size:
        names = dict(enumerate(names_in(source)))
        listed = [f"{names[row]} ({look.problems[row]})" for row in sorted(damaged.tolist())]
        remedy = "remove or replace them, or set data.skip_unreadable: true"
        problems.append(f"{count(len(listed), 'image')} cannot be read: {some(listed)}; {remedy}")
    sizes = np.unique(look.sizes[readable], axis=0)
    if config.image_size is None and len(sizes) > 1:
        (height, width), (most_height, most_width) = sizes.min(axis=0), sizes.max(axis=0)
        problems.append(
            f"has images of {len(sizes):,} sizes, {width}×{height} to {most_width}×{most_height} pixels; set "
            "data.image_size to resize all of them"
        )
    return problems


def _notes(parts: Parts, look: Look | None) -> list[Note]:
    """What a look shows; without one, images in two splits, where the hashes of files are known."""
    files = look.digests if look else parts.source.digests() if parts.source.digests else None
    if files is None:
        return []
    names: dict[str, Any] = dict(zip(SPLITS, map(_Names, parts.splits), strict=True))
    notes = doubts_of_images({name: files[rows] for name, rows in parts.rows.items()}, names)
    notes += doubts_of_labels(files[parts.rows["train"]], parts.train.labels)
    return [*look.notes(), *notes, *doubts_of_looks(look, parts.rows)] if look else notes


@dataclass(frozen=True)
class _Names:
    """The origins of the images of a part, each made when it is asked for."""

    part: Part

    def __getitem__(self, index: int) -> str:
        return self.part.images.name(int(self.part.numbers[index]))
