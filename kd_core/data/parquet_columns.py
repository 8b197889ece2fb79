"""Parquet files, and which of their columns are meant: chosen once for all parts, or asked for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kd_core.config.data import Note, note
from kd_core.config.errors import DataError
from kd_core.data.images import reading
from kd_core.data.label_values import is_label, problem_of, values_of
from kd_core.data.labels_file import LABEL_WORDS
from kd_core.data.source import refuse


@dataclass(frozen=True)
class Shard:
    """One parquet file: its path, its columns, and what Hugging Face's metadata say of them."""

    path: Path
    schema: pa.Schema
    features: dict[str, Any]

    def class_names(self, column: str) -> tuple[str, ...]:
        """The names of a ClassLabel column's classes, or none."""
        feature = self.features.get(column)
        names = feature.get("names") if isinstance(feature, dict) else None
        return tuple(map(str, names)) if isinstance(names, list) else ()

    def of_type(self, kind: str) -> list[str]:
        """The columns that are features of a type of Hugging Face, such as Image."""
        known = ((name, self.features.get(name)) for name in self.schema.names)
        return [name for name, feature in known if isinstance(feature, dict) and feature.get("_type") == kind]


def read_shard(path: Path) -> Shard:
    """What one file's footer says; raises pyarrow's errors or OSError if it is damaged."""
    schema = pq.read_schema(path)
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):  # another program's metadata, or none
        features = {}
    return Shard(path, schema, features if isinstance(features, dict) else {})


def image_column(shards: Sequence[Shard], given: str | None) -> str:
    """The column of images: the given one, the one that is an Image feature, or the only one of bytes.

    The first shard is one of training. Raises DataError.
    """
    first = shards[0]
    possible = [field.name for field in first.schema if is_image(field.type)]
    if given is not None and given not in possible:
        offer = f"take {' or '.join(possible)}" if possible else f"it has {', '.join(first.schema.names)}"
        raise DataError(f"data.image_column: {given}: is no column of images in {first.path}; {offer}")
    found = [given] if given is not None else _of_type(shards, "Image") or possible
    if len(found) > 1:
        refuse(first.path, [f"has the image columns {', '.join(found)}; say which is meant"], "data.image_column")
    if not found:
        problem = f"has no image column (bytes, or a struct with bytes) among {', '.join(first.schema.names)}"
        refuse(first.path, [f"{problem}; give files that hold the images"])
    return found[0]


def label_column(shards: Sequence[Shard], train: Sequence[Shard], given: str | None) -> tuple[str, list[Note]]:
    """The column of labels: the given one, the one that is a ClassLabel feature, or the only one whose values repeat.

    Also says what else it could have been. Raises DataError.
    """
    first, notes = train[0], list[Note]()
    columns = [field.name for field in first.schema if is_label(field.type) or is_list(field.type)]
    if given is not None and given not in columns:
        offer = ", ".join(columns) or f"only {', '.join(first.schema.names)}"
        raise DataError(f"data.label_column: {given}: is no column of labels in {first.path}, which has {offer}")
    found = [given] if given is not None else _of_type(shards, "ClassLabel")
    if not found:
        found, notes = _possible_labels(train)
        _refuse_another_than_it_is_called(first, found)
    if len(found) > 1:
        refuse(first.path, [f"has the label columns {', '.join(found)}; say which is meant"], "data.label_column")
    if not found:
        lists = [field.name for field in first.schema if is_list(field.type)]
        why = f"no column of {', '.join(first.schema.names)} can be labels"
        if lists:
            why = f"{lists[0]!r} holds several labels an image, and a classifier here learns one"
        refuse(first.path, [f"{why}; add a column of one label an image"], "data.label_column")
    return found[0], notes


def _refuse_another_than_it_is_called(first: Shard, found: Sequence[str]) -> None:
    """Refuse a column that could be labels where another one is called so, but holds none."""
    called = [name for name in first.schema.names if name.lower() in LABEL_WORDS]
    if len(found) == 1 and called and found[0] not in called:
        kind = first.schema.field(called[0]).type
        problem = f"{called[0]!r} ({kind}) holds no labels, and {found[0]!r} is not called so; say which is meant"
        refuse(first.path, [problem], "data.label_column")


def column_of(shards: Sequence[Shard], name: str) -> pa.ChunkedArray:
    """One column of all files."""
    tables = []
    for shard in shards:
        with reading(shard.path):
            tables.append(pq.read_table(shard.path, columns=[name], page_checksum_verification=True))
    try:
        return pa.concat_tables(tables, promote_options="permissive")[name]
    except pa.ArrowException:
        raise DataError(
            f"data.label_column: {name}: is of several types in different files, such as {tables[0][name].type} in "
            f"{shards[0].path}; write all as one"
        ) from None


def is_image(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold encoded images."""
    if pa.types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and is_image(kind.field(place).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds several values a row."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _of_type(shards: Sequence[Shard], kind: str) -> list[str]:
    return list(dict.fromkeys(name for shard in shards for name in shard.of_type(kind)))


def _possible_labels(train: Sequence[Shard]) -> tuple[list[str], list[Note]]:
    """The columns whose values repeat, and a note on the others; of a single candidate nothing is read."""
    possible = [field.name for field in train[0].schema if is_label(field.type)]
    if len(possible) < 2:
        unknown = [name for name in possible if name.lower() not in LABEL_WORDS]
        return possible, [note("taken", f"the column {name!r} as labels") for name in unknown]
    values = {name: values_of(column_of(train, name)) for name in possible}
    repeating = [name for name in possible if len(values[name].values) > 1 and problem_of(values[name]) is None]
    others = [f"{name} ({len(values[name].values):,} different values)" for name in possible if name not in repeating]
    notes = [note("taken", f"the column {repeating[0]!r} as labels, not", others)] if len(repeating) == 1 else []
    return repeating, notes
