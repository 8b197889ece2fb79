"""One file's columns; the choice among those of all parts is tested in test_parquet.py."""

import pyarrow as pa

from kd_core.data.parquet_columns import column_of, is_image, is_list, read_shard
from tests.image_sources import class_labels, write_table


def test_a_file_says_its_features_or_none(tmp_path):
    write_table(tmp_path / "hf.parquet", {"label": [0, 1]}, class_labels(["x", "y"]))
    write_table(tmp_path / "plain.parquet", {"label": [0, 1]})
    write_table(tmp_path / "odd.parquet", {"label": [0, 1]}, {"label": "x", "image": None})
    write_table(tmp_path / "list.parquet", {"label": [0, 1]}, b"[]")
    hf, plain, odd, other = (read_shard(tmp_path / f"{name}.parquet") for name in ("hf", "plain", "odd", "list"))
    assert hf.class_names("label") == ("x", "y")
    assert (hf.of_type("Image"), hf.of_type("ClassLabel")) == (["image"], ["label"])
    for shard in (plain, odd, other):
        assert (shard.class_names("label"), shard.of_type("Image")) == ((), [])
    assert column_of([hf, plain], "label").to_pylist() == [0, 1, 0, 1]


def test_types_that_can_hold_images_or_several_labels():
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    assert [is_image(kind) for kind in (image, pa.binary(), pa.large_binary(), pa.string())] == [
        True,
        True,
        True,
        False,
    ]
    assert [is_list(kind) for kind in (pa.list_(pa.int8()), pa.list_(pa.int8(), 2), pa.int8())] == [True, True, False]
