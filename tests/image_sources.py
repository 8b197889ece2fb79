"""Small image folders and parquet files, each shaped like something that people bring."""

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def noise(seed: int, size: tuple[int, int] = (6, 6)) -> Image.Image:
    """An image of random pixels, another for each seed; size is (width, height)."""
    width, height = size
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def write_images(root: Path, paths: Iterable[str]) -> None:
    """A different image at each path below root; its ending decides on its format."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        noise(crc32(path.encode())).save(root / path)


def numbered(folder: str, count: int, suffix: str = ".png") -> list[str]:
    """Paths in a folder: folder/0.png, folder/1.png, …"""
    return [f"{folder}/{number}{suffix}" for number in range(count)]


def part(name: str, classes: Sequence[str] = ("a", "b"), count: int = 8) -> list[str]:
    """Paths of a part with as many images in each class folder."""
    return [path for label in classes for path in numbered("/".join(filter(None, (name, label))), count)]


def image_column(count: int, first: int = 0) -> pa.Array:
    """Images as Hugging Face stores them: a struct of bytes and path."""
    return pa.array([{"bytes": encoded(noise(first + n)), "path": f"{n}.png"} for n in range(count)])


def write_table(path: Path, columns: dict[str, Any], features: Any = None) -> None:
    """A parquet file with images in the column `image` unless the columns have one; features as Hugging Face's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = max(len(column) for column in columns.values())
    columns = columns if "image" in columns else {"image": image_column(count, crc32(str(path).encode()))} | columns
    table = pa.table(
        {name: column if isinstance(column, pa.Array) else pa.array(column) for name, column in columns.items()}
    )
    if features is not None:
        text = features if isinstance(features, bytes) else json.dumps({"info": {"features": features}}).encode()
        table = table.replace_schema_metadata({b"huggingface": text})
    pq.write_table(table, path)


def class_labels(names: Sequence[str], column: str = "label") -> dict[str, Any]:
    """Features of an image column and a column of numbered classes."""
    return {"image": {"_type": "Image"}, column: {"_type": "ClassLabel", "names": list(names)}}
