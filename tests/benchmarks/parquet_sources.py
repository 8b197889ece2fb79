"""Parquet files of several layouts before they are written, each with its truth."""

import io
import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.data_truth import Item
from tests.benchmarks.folder_sources import CLASSES
from tests.benchmarks.pictures import picture

LAYOUTS = ("hub", "hub", "without metadata", "text", "shards", "three parts", "one file")
_FILES = {
    "hub": ["data/train-00000-of-00001.parquet", "data/test-00000-of-00001-0123456789abcdef.parquet"],
    "shards": [
        *(f"train-{n:05}-of-00003.parquet" for n in range(3)),
        *(f"test-{n:05}-of-00002.parquet" for n in (0, 1)),
    ],
    "three parts": ["default/train/0000.parquet", "default/validation/0000.parquet", "default/test/0000.parquet"],
    "one file": ["images.parquet"],
}
PART_WORDS = {"train", "training", "val", "validation", "test", "eval"}
_GONE = {"beside": "of no part", "hidden": "hidden parquet"}


@dataclass
class Table:
    """A parquet file before it is written: its images, their labels, its columns in order with what each holds.

    names are those of a ClassLabel's classes; features stand in their place where the metadata are spoilt.
    """

    items: list[Item]
    part: str
    labels: pa.Array
    columns: list[tuple[str, str]] = field(default_factory=lambda: [("image", "image"), ("label", "label")])
    names: list[Any] | None = None
    features: bytes | None = None
    checksums: bool = False
    spoil: list[Callable[[bytes], bytes]] = field(default_factory=list)

    def content(self) -> bytes:
        """The bytes of the file, which say what the labels of the images are; raises if nothing can be read of them."""
        arrays = [self._array(kind) for _, kind in self.columns]
        schema = pa.schema([(name, array.type) for (name, _), array in zip(self.columns, arrays, strict=True)])
        table, buffer = pa.Table.from_arrays(arrays, schema=schema.with_metadata(self._metadata())), io.BytesIO()
        pq.write_table(table, buffer, row_group_size=7, write_page_checksum=self.checksums)
        content = buffer.getvalue()
        for spoil in self.spoil:
            content = spoil(content)
        return content

    @property
    def own_names(self) -> list[Any] | None:
        """The names that the file's metadata say, if they do."""
        has_label = any(kind == "label" for _, kind in self.columns)
        return self.names if has_label and self.features is None else None

    def decide(self, content: bytes, names: list[Any] | None) -> None:
        """Give images their part, and the label that the file says; where nothing can be read, no label is true.

        A number means one of the file's own names, or of these, which are those of training, or itself.
        """
        for item in self.items:
            item.part, item.label = self.part, "\0"
            item.gone.append(_GONE.get(self.part, f"the {self.part} part, which has no labels"))
        columns = {}
        try:
            table = pq.ParquetFile(io.BytesIO(content), page_checksum_verification=True)
            for name, kind in self.columns:
                if kind in ("image", "label", "coarse"):  # others may be damaged
                    columns[kind] = table.read(columns=[name]).column(name).to_pylist()
        except Exception:  # whatever a damaged file makes of its reader
            return
        values = columns.get("label", columns.get("coarse", []))
        for item, value, image in zip(self.items, values, columns.get("image", []), strict=False):
            whole = item.picture.content if item.picture.content else None
            if image is None or image.get("bytes") != whole:
                item.picture = replace(item.picture, content=(image or {}).get("bytes") or b"", damaged=True)
            item.label = _label(value, self.own_names or names if "label" in columns else None)

    def _array(self, kind: str) -> pa.Array:
        count = len(self.items)
        if kind in ("image", "mask"):
            pictures = [item.picture.content if kind == "image" else b"mask" for item in self.items]
            rows = [{"bytes": content or None, "path": f"{row}.png"} for row, content in enumerate(pictures)]
            return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
        extra = {
            "coarse": [row % 2 for row in range(count)],
            "id": list(range(1000, 1000 + count)),
            "split": ["x"] * count,
            "score": [row / 7 for row in range(count)],
        }
        return self.labels if kind == "label" else pa.array(extra[kind])

    def _metadata(self) -> dict[bytes, bytes]:
        if self.features is not None:
            return {b"huggingface": self.features}
        if self.names is None:
            return {}
        types = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": self.names}}
        features = {name: types[kind] for name, kind in self.columns if kind in types}
        return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def _label(value: Any, names: list[Any] | None) -> str:
    """What a value of a column means, "\\0" if nothing."""
    if isinstance(value, list | dict) or value is None:
        return "\0"
    if names and isinstance(value, int):
        return str(names[value]) if 0 <= value < len(names) else "\0"
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass
class Tables:
    """A folder of parquet files by their paths; contents are of others that are there."""

    tables: dict[str, Table] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)

    def truth(self) -> list[Item]:
        """Every image, with its part and label by the files as they are written."""
        seen = [path.lower() for path, table in self.tables.items() if table.part != "hidden"]
        if not any(PART_WORDS.intersection(re.findall("[a-z]+", path)) for path in seen):
            for table in self.tables.values():  # where no file names a part, all are for training
                table.part = "train" if table.part == "beside" else table.part
        names = [table.own_names for path, table in sorted(self.tables.items()) if table.part == "train"]
        for path, table in self.tables.items():
            self.contents[path] = table.content()
            table.decide(self.contents[path], next(filter(None, names), None))
        return [item for table in self.tables.values() for item in table.items]

    def write(self, root: Path) -> None:
        """Write the files below a folder that is not there yet, after their truth was asked for."""
        root.mkdir(parents=True)
        for path, content in self.contents.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)


def tables_of(layout: str, generator: random.Random) -> Tables:
    """Whole files of a layout."""
    made = Tables()
    for path in _FILES.get(layout, _FILES["hub"]):
        part = next((part for part in ("validation", "test") if part in path), "train")
        count = {"one file": 24}.get(layout, 15 if part == "train" else 6)
        numbers = [row % 3 for row in range(count)]
        labels = pa.array([CLASSES[number] for number in numbers] if layout == "text" else numbers)
        table = Table([Item(picture(generator), "") for _ in range(count)], part, labels)
        table.names = list(CLASSES) if layout in ("hub", "shards") else None
        table.checksums = layout in ("shards", "text")
        made.tables[path] = table
    return made
