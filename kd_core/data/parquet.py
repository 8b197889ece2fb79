"""Parquet files as a source, in the Hugging Face layout or near it: which are parts, and which columns are meant."""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from kd_core.config.data import DataConfig, Note, note
from kd_core.config.errors import DataError
from kd_core.data.images import ParquetImages, Part, identity_of
from kd_core.data.label_values import LabelValues, is_label, named, problem_of, spelt_out, unlabelled, values_of
from kd_core.data.parquet_columns import (
    Shard,
    column_of,
    image_column,
    is_image,
    is_list,
    label_column,
    read_shard,
)
from kd_core.data.part_names import is_hidden, part_in
from kd_core.data.source import Source, count, folder_of, refuse, some


class _Parquet:
    """Parquet files on their way to a source."""

    def __init__(self, config: DataConfig) -> None:
        self.config = config
        self.place = folder_of(config, {".parquet"})
        self.root = Path(self.place)
        self.notes: list[Note] = []
        files = [file for file in sorted(self.root.rglob("*")) if file.suffix.lower() == ".parquet" and file.is_file()]
        hidden = {file for file in files if any(map(is_hidden, file.relative_to(self.root).parts))}
        self.files = [file for file in files if file not in hidden]
        if hidden:
            text = count(len(hidden), "hidden parquet file")
            self.notes.append(note("left out", text, sorted(str(file.relative_to(self.root)) for file in hidden)))
        self.parts = {part: self._shards(files) for part, files in self._files_by_part().items()}
        train = self.parts["train"]
        self.shards = [*train, *(shard for part, shards in self.parts.items() if part != "train" for shard in shards)]
        self.image = image_column(self.shards, config.image_column)
        self.label, notes = label_column(self.shards, train, config.label_column)
        self.notes += [*notes, note("taken", f"images of the column {self.image!r}, labels of {self.label!r}")]
        self.names = next(filter(None, (shard.class_names(self.label) for shard in train)), ())
        self._require_columns()

    def source(self) -> Source:
        """The source; raises DataError."""
        labels = {part: self._labels(shards) for part, shards in self.parts.items()}
        classes, names = self._classes(labels["train"])
        made = {part: self._part(part, classes, values) for part, values in labels.items()}
        train = made["train"]
        assert train is not None
        test, validation = made.get("test"), made.get("validation")
        if test is None and "test" in self.parts and validation is not None:
            test, validation = validation, None
            self.notes.append(
                note("taken", "the validation part as test part, since the labels of test are not published")
            )
        return Source(train, names, self._identity, test, validation, tuple(self.notes))

    def _identity(self) -> dict[str, Any]:
        return {"files": identity_of(self.files, self.root)}

    def _files_by_part(self) -> dict[str, list[Path]]:
        """The files of each part, of one configuration; files that name no part are for training if no other does."""
        if not self.files:
            raise DataError(f"data.path: {self.place}: holds no parquet file; give the folder that holds them")
        groups: dict[str | None, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for file in self.files:
            folder, name = file.relative_to(self.root).parent, _set_of(file.stem)
            part = part_in(name)
            if part is None and (part := part_in(folder.name)) is not None:
                folder, name = folder.parent, folder.name
            groups[part][str(folder / name)].append(file)
        self._refuse_several(groups)
        if "train" not in groups:
            if set(groups) != {None}:
                names = sorted(Path(name).name for part in groups if part for name in groups[part])
                refuse(self.place, [f"holds {some(names)} and no training part; name its files train-…"])
            groups["train"] = groups.pop(None)
            self.notes.append(note("taken", "files that name no part, all for training", (f.name for f in self.files)))
        if None in groups:
            others = [file.name for group in groups.pop(None).values() for file in group]
            self.notes.append(note("left out", f"{count(len(others), 'parquet file')} of no part", others))
        self._tell_missing_files(groups)
        return {part: [file for group in by_set.values() for file in group] for part, by_set in groups.items() if part}

    def _tell_missing_files(self, groups: dict[str | None, dict[str, list[Path]]]) -> None:
        """Say which files are not there of those that the names of the others number."""
        for files in (files for by_set in groups.values() for files in by_set.values()):
            numbers = [found for file in files if (found := re.search(r"(\d+)-of-(\d+)", file.stem))]
            lacking = max((int(each[2]) for each in numbers), default=0) - len({int(each[1]) for each in numbers})
            if lacking > 0:
                text = f"{count(lacking, 'parquet file')} not there beside"
                self.notes.append(note("doubtful", text, [files[0].name]))

    def _refuse_several(self, groups: dict[str | None, dict[str, list[Path]]]) -> None:
        for part, by_set in groups.items():
            if part is None or len(by_set) < 2:
                continue
            folders = sorted({str(Path(name).parent) for name in by_set})
            if len(folders) > 1:
                remedy = f"give one of them as data.path, such as {self.place}/{folders[0]}"
                refuse(self.place, [f"holds several sets of files, in {some(folders)}; {remedy}"])
            sets = sorted(Path(name).name for name in by_set)
            refuse(self.place, [f"holds {some(sets)}, each of which may be the {part} part; move all but one away"])
        alike = [Path(name).name for name in groups.get(None, {}) if "train" in Path(name).name.lower()]
        if alike and "train" in groups:
            sets = [*(Path(name).name for name in groups["train"]), *alike]
            refuse(self.place, [f"holds {some(sets)}, each of which may be the train part; move one of them away"])

    def _shards(self, files: Sequence[Path]) -> list[Shard]:
        shards, problems = [], []
        for file in files:
            name = file.relative_to(self.root)
            try:
                shards.append(read_shard(file))
            except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
                problems.append(f"{name} is no whole parquet file ({_line(error)}); fetch it again")
                continue
            columns = shards[-1].schema.names
            twice = list(dict.fromkeys(column for column in columns if columns.count(column) > 1))
            problems += [f"{name} has several columns {some(twice)}; keep one of each name"] if twice else []
        refuse(self.place, problems)
        return shards

    def _require_columns(self) -> None:
        """Refuse shards of other columns, and labels of another type."""
        problems = []
        for shard in self.shards:
            name = shard.path.relative_to(self.root)
            lacking = [column for column in (self.image, self.label) if column not in shard.schema.names]
            if shard in self.parts.get("test", ()) and lacking == [self.label]:
                continue  # a test part whose labels are not published
            if lacking:
                problems.append(f"{name} has no column {lacking[0]!r}, but {', '.join(shard.schema.names)}")
            elif is_list(shard.schema.field(self.label).type):
                problems.append(
                    f"{self.label!r} holds several labels an image, and a classifier here learns one; give one"
                )
            elif not is_label(shard.schema.field(self.label).type):
                kind = shard.schema.field(self.label).type
                problems.append(f"{self.label!r} of {name} is {kind}; labels are integers, text, or true and false")
            elif not is_image(shard.schema.field(self.image).type):
                problems.append(f"{self.image!r} of {name} holds no images")
        refuse(self.place, problems[:10])

    def _labels(self, shards: Sequence[Shard]) -> LabelValues | None:
        """The labels of a part, by the names that each file has for them; None if it has no such column."""
        if any(self.label not in shard.schema.names for shard in shards):
            return None
        made = []
        for shard in shards:
            labels = values_of(column_of([shard], self.label))
            names = shard.class_names(self.label) or self.names
            if names and all(isinstance(value, int) for value in labels.values):
                try:
                    labels = named(labels, names)
                except DataError as error:
                    refuse(shard.path, [f"{self.label!r} {error}; write the labels again"], "data.label_column")
            made.append(spelt_out(labels))
        values = list(dict.fromkeys(value for labels in made for value in labels.values))
        if len({type(value) for value in values}) > 1:
            refuse(
                self.place,
                [f"{self.label!r} is of several types in different files; write all as one"],
                "data.label_column",
            )
        if not self.names:
            values.sort()  # type: ignore[arg-type]  # they are of one type
        place = {value: number for number, value in enumerate(values)}
        codes = [np.array([place[value] for value in labels.values] + [-1])[labels.codes] for labels in made]
        return LabelValues(tuple(values), np.concatenate(codes))

    def _classes(self, labels: LabelValues | None) -> tuple[dict[Any, int], tuple[str, ...]]:
        """The number of each label of the training part, and the names of the classes."""
        assert labels is not None
        lacking = unlabelled(labels)
        if lacking.any():
            problem = f"has {int(lacking.sum()):,} training rows without a label; remove them"
            refuse(self.place, [f"{self.label!r} {problem}"], "data.label_column")
        if not self.names and (problem := problem_of(labels)):
            refuse(self.place, [f"{self.label!r} {problem}"], "data.label_column")
        names = tuple(map(str, labels.values))
        numbers = [value for value in labels.values if isinstance(value, int)]
        if numbers and numbers != list(range(len(numbers))):
            text = f"labels {_range(numbers)} of the column {self.label!r} as classes 0 to {len(numbers) - 1}"
            self.notes.append(note("taken", text))
        return {value: number for number, value in enumerate(labels.values)}, names

    def _part(self, part: str, classes: dict[Any, int], labels: LabelValues | None) -> Part | None:
        """The images of a part with the numbers of their classes; None if its labels are not published."""
        shards = self.parts[part]
        if labels is None or (part != "train" and len(labels.codes) and unlabelled(labels).all()):
            self.notes.append(note("left out", f"the {part} part, which has no labels", (s.path.name for s in shards)))
            return None
        if part != "train" and unlabelled(labels).any():
            text = f"has {int(unlabelled(labels).sum()):,} rows of the {part} part without a label; remove them"
            refuse(self.place, [f"{self.label!r} {text}"], "data.label_column")
        unknown = [
            value for value, count in zip(labels.values, labels.counts, strict=True) if count and value not in classes
        ]
        if unknown:
            text = f"{self.label!r} of the {part} part has {some(list(map(str, unknown)))}, which no training image has"
            refuse(self.place, [f"{text}; remove these rows"], "data.label_column")
        numbers = np.array([classes.get(value, -1) for value in labels.values], dtype=np.int64)[labels.codes]
        images = ParquetImages(self.place, [shard.path for shard in shards], self.image)
        if len(images) != len(numbers):
            problem = f"{len(images):,} rows of the {part} part by the footers of its files and {len(numbers):,} labels"
            refuse(self.place, [f"holds {problem}; fetch them again"])
        return Part(numbers, images, np.arange(len(numbers)))


def read_parquet(config: DataConfig) -> Source:
    """The source in a folder of parquet files; raises DataError.

    Classes are in the order of a ClassLabel's names, of the numbers, or of the names as text.
    """
    return _Parquet(config).source()


def _set_of(stem: str) -> str:
    """A file's name without the number of its shard: train for train-00000-of-00002-0a1b2c3d4e5f6071."""
    return re.sub(r"(?:[-_.]?\d+)?(?:-of-\d+(?:-[0-9a-f]{16})?)?$", "", stem)


def _range(numbers: Sequence[int]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 3 else ", ".join(map(str, numbers))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
