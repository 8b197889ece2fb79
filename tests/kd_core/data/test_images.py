"""Encoded images and their identity."""

import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from kd_core.config.errors import DataError
from kd_core.data import images
from kd_core.data.images import FileImages, ParquetImages, Part, identity_of


@pytest.fixture
def shards(tmp_path, monkeypatch) -> ParquetImages:
    """Three files of 10 rows in row groups of 4; row n holds n bytes, and row 7 is null."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = []
    for shard in range(3):
        cells = [{"bytes": bytes([n]) * n, "path": None} for n in range(10 * shard, 10 * shard + 10)]
        column = [None if n == 7 and shard == 0 else cell for n, cell in enumerate(cells)]
        files.append(tmp_path / "set" / f"part-{shard}" / "train.parquet")
        files[-1].parent.mkdir(parents=True)
        pq.write_table(pa.table({"img": column}), files[-1], row_group_size=4)
    return ParquetImages(tmp_path / "set", files, "img")


def expected_bytes(number: int) -> bytes:
    """The bytes of image `number`; one of the images is empty."""
    return b"" if number == 7 else bytes([number]) * number


@pytest.mark.parametrize("order", [range(30), reversed(range(30)), [29, 0, 15, 7, 15]], ids=["up", "down", "mixed"])
def test_parquet_rows_are_found_in_any_order_before_and_after_unpacking(shards, order):
    blob = shards.unpacked()
    for number in order:
        assert shards.content(number).read() == blob.content(number).read() == expected_bytes(number)
        assert shards.name(number).endswith(f"set/part-{number // 10}/train.parquet: row {number % 10}")
        assert blob.name(number).endswith(f"set: row {number}")


def test_unpacking_happens_once_and_leaves_nothing_else(shards, tmp_path):
    first = Path(shards.unpacked().folder, "images.bin")
    written = first.stat().st_mtime_ns
    assert Path(shards.unpacked().folder, "images.bin") == first
    assert first.stat().st_mtime_ns == written
    assert list((tmp_path / "cache" / "kd-sweeps" / "unpacked").glob("*/")) == [first.parents[1]]


def test_a_node_that_lacks_the_unpacked_images_unpacks_them_itself(shards, tmp_path, monkeypatch):
    sent = pickle.dumps(shards.unpacked())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    arrived = pickle.loads(sent)
    assert arrived.content(29).read() == expected_bytes(29)
    assert Path(arrived.folder).is_relative_to(tmp_path / "another")


def test_a_cache_that_cannot_be_written_is_named(shards, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(DataError, match=r"cannot be copied into .*; set XDG_CACHE_HOME to a folder that can be w"):
        shards.unpacked()


def test_files_are_found_by_whatever_name_they_have(tmp_path):
    names = ["a.png", "dög/b c.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (3, 2)).save(tmp_path / name)
    files = FileImages(tmp_path, np.array([os.fsencode(name) for name in names], dtype=bytes))
    part = Part(np.array([0, 1]), files, np.array([1, 0]))
    assert [files.content(number) for number in (0, 1)] == [tmp_path / name for name in names]
    assert part.pixels(0, None).shape == (2, 3, 3)
    assert part.of(np.array([1])).pixels(0, 5).shape == (5, 5, 3)


def test_of_large_sources_every_nth_file_is_hashed(tmp_path, monkeypatch):
    files = [tmp_path / f"{number}" for number in range(10)]
    for file in files:
        file.write_bytes(b"x" * 100)
    whole = identity_of(files, tmp_path)
    assert all(sha256 for _, sha256 in whole.values())
    monkeypatch.setattr(images, "HASHED_BYTES", 350)
    sampled = identity_of(files, tmp_path)
    assert [name for name, (_, sha256) in sampled.items() if sha256] == ["0", "3", "6", "9"]
    assert {name: size for name, (size, _) in sampled.items()} == dict.fromkeys(whole, 100)
    for file, noticed in ((files[3], True), (files[4], False)):
        file.write_bytes(b"y" * 100)
        assert (identity_of(files, tmp_path) != sampled) == noticed
        file.write_bytes(b"x" * 100)
