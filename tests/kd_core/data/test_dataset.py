import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kd_core.config.data import DataConfig, DataSummary
from kd_core.config.errors import DataError
from kd_core.data.dataset import Dataset, load
from kd_core.data.splits import fingerprint_of
from kd_core.data.survey import summarize


def picture(value: int, size: tuple[int, int] = (6, 6)) -> Image.Image:
    """An image of one colour, which identifies it, so that an image and its label can be matched later."""
    return Image.new("RGB", size, (value, 255 - value, 7))


def png(value: int, size: tuple[int, int] = (6, 6)) -> bytes:
    """A plain picture as the bytes of a PNG file."""
    buffer = BytesIO()
    picture(value, size).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(root: Path, classes: dict[str, int], first: int = 0) -> None:
    """Class folders of PNG files, the images of the first class having colours first, first + 1, …"""
    for name, count in classes.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(first + index).save(root / name / f"{index:03}.png")
        first += 50


def write_parquet(path: Path, values: list[int], labels: dict[str, list[int]], names: list[str] | None = None) -> None:
    """One file in the Hugging Face layout: struct<bytes, path> images, integer labels, class names in the metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = pa.array([{"bytes": png(value), "path": f"{value}.png"} for value in values])
    table = pa.table({"img": images} | {name: pa.array(column, pa.int64()) for name, column in labels.items()})
    if names:
        features = {"img": {"_type": "Image"}, next(iter(labels)): {"_type": "ClassLabel", "names": names}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    pq.write_table(table, path)


def folder(path: Path, **options) -> DataConfig:
    """The configuration of a folder of images."""
    return DataConfig(source="folder", path=str(path), **options)


def parquet(path: Path, **options) -> DataConfig:
    """The configuration of a folder of parquet files."""
    return DataConfig(source="parquet", path=str(path), **options)


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    """How many images train, validation and test have."""
    return len(dataset.train), len(dataset.validation), len(dataset.test)


@pytest.fixture
def two_classes(tmp_path) -> Path:
    """train/ with 20 cats and 10 dogs, test/ with 4 of each."""
    write_folder(tmp_path / "set" / "train", {"cat": 20, "dog": 10})
    write_folder(tmp_path / "set" / "test", {"cat": 4, "dog": 4}, first=150)
    return tmp_path / "set"


@pytest.fixture
def shards(tmp_path) -> Path:
    """Two train files and a test file of 3 classes, where colour 10·c + i has label c and coarse label c // 2."""
    root = tmp_path / "hub" / "data"
    for index, shard in enumerate(("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001")):
        values = [50 * c + 10 * index + i for i in range(6) for c in (2, 0, 1)]
        fine = [value // 50 for value in values]
        columns = {"fine": fine, "coarse": [label // 2 for label in fine]}
        write_parquet(root / f"{shard}.parquet", values, columns, ["ant", "bee", "cow"])
    return root.parent


@pytest.mark.parametrize("limit", [None, 200])
def test_digits_are_split_into_stratified_parts(limit):
    dataset = load(DataConfig(source="digits", limit=limit, validation=0.25))
    train = limit or 1438
    assert sizes(dataset) == (train - round(train / 4), round(train / 4), 359)
    assert dataset.train.images.shape[1:] == (8, 8, 3)
    assert dataset.train.images.dtype == np.uint8
    assert dataset.num_classes == 10
    assert dataset.train.labels.dtype == np.int64
    population = np.bincount(np.concatenate([dataset.train.labels, dataset.validation.labels]))
    for split in (dataset.train, dataset.validation):
        counts = np.bincount(split.labels)
        assert np.abs(counts - population * len(split) / population.sum()).max() <= 1


def test_the_splits_of_digits_share_no_image_and_lose_none():
    from sklearn.datasets import load_digits

    dataset = load(DataConfig(source="digits"))
    splits = [dataset.train, dataset.validation, dataset.test]
    rows = np.concatenate([split.images[..., 0].reshape(len(split), -1) for split in splits])
    everything = np.rint(load_digits().images * 255 / 16).astype(np.uint8).reshape(-1, 64)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], everything[np.lexsort(everything.T)])


def test_limit_leaves_the_test_part_alone():
    whole, limited = (load(DataConfig(source="digits", limit=limit)) for limit in (None, 100))
    np.testing.assert_array_equal(whole.test.images, limited.test.images)


def test_a_folder_gives_its_own_test_part_and_names(two_classes):
    dataset = load(folder(two_classes, validation=0.2))
    assert dataset.class_names == ("cat", "dog")
    assert sizes(dataset) == (24, 6, 8)
    assert np.bincount(dataset.validation.labels).tolist() == [4, 2]
    for split, first in ((dataset.train, 0), (dataset.validation, 0), (dataset.test, 150)):
        np.testing.assert_array_equal((split.images[:, 0, 0, 0] - first) // 50, split.labels)
    colours = np.concatenate([dataset.train.images, dataset.validation.images])[:, 0, 0, 0]
    assert sorted(colours) == [*range(20), *range(50, 60)]


def test_bare_class_folders_have_a_test_part_held_out(tmp_path):
    write_folder(tmp_path, {"cat": 20, "dog": 20})
    dataset = load(folder(tmp_path, test=0.25))
    assert sizes(dataset) == (27, 3, 10)
    assert np.bincount(dataset.test.labels).tolist() == [5, 5]
    colours = np.concatenate([split.images[:, 0, 0, 0] for split in (dataset.train, dataset.validation, dataset.test)])
    assert len(set(colours.tolist())) == 40


def test_images_of_different_sizes_need_an_image_size(two_classes):
    odd = two_classes / "train" / "dog" / "000.png"
    picture(50, (12, 9)).save(odd)
    with pytest.raises(DataError, match=r"data\.image_size.*dog/000\.png has 12×9 pixels.*6×6"):
        load(folder(two_classes))
    dataset = load(folder(two_classes, image_size=10))
    assert dataset.train.images.shape[1:] == dataset.test.images.shape[1:] == (10, 10, 3)


def test_parts_of_different_sizes_need_an_image_size(two_classes):
    for file in (two_classes / "test").rglob("*.png"):
        picture(50, (9, 9)).save(file)
    with pytest.raises(DataError, match=r"data\.image_size"):
        load(folder(two_classes))


def test_the_size_of_images_is_their_height_and_width(tmp_path):
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        for number in range(9):
            picture(number, (6, 4)).save(tmp_path / name / f"{number}.png")  # 6 wide, 4 high
    dataset = load(folder(tmp_path))
    assert [part.size for part in (dataset.train, dataset.validation, dataset.test)] == [(4, 6)] * 3


@pytest.mark.parametrize("damage", [b"", b"no image", png(3)[:40], png(3)[:48]], ids=["empty", "text", "head", "half"])
def test_a_broken_image_is_named(two_classes, damage):
    (two_classes / "test" / "cat" / "002.png").write_bytes(damage)
    with pytest.raises(DataError, match=r"test/cat/002\.png(: is no readable image| \(empty\))"):
        load(folder(two_classes))


@settings(max_examples=50)
@given(position=st.integers(0, len(png(3)) - 1), value=st.integers(0, 255))
def test_an_image_with_a_damaged_byte_is_read_or_named(tmp_path_factory, position, value):
    root = tmp_path_factory.mktemp("damaged")
    write_folder(root, {"cat": 4, "dog": 4})
    content = bytearray(png(3))
    content[position] = value
    (root / "cat" / "000.png").write_bytes(content)
    message = ""
    try:
        load(folder(root, image_size=6, test=0.25, validation=0.35))
    except DataError as error:
        message = str(error)
    assert message == "" or "cat/000.png: is no readable image" in message


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: write_folder(root / "test", {"fox": 1}),
            "'fox' of the test part is not among",
        ),
        (lambda root: [file.unlink() for file in (root / "train" / "dog").iterdir()], r"has 1 class|not among"),
        (lambda root: [file.unlink() for file in root.rglob("*.png")], "no class folders"),
        (lambda root: root.rename(root.with_name("gone")), "no such folder"),
    ],
    ids=["unknown class", "one class", "empty", "gone"],
)
def test_a_folder_that_cannot_be_learnt_is_refused(two_classes, spoil, message):
    spoil(two_classes)
    with pytest.raises(DataError, match=message):
        load(folder(two_classes))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"limit": 2}, r"data\.(limit|validation)"), ({"validation": 0.001}, r"data\.validation: leaves no validation")],
)
def test_a_split_without_images_is_refused(two_classes, options, message):
    with pytest.raises(DataError, match=message):
        load(folder(two_classes, **options))


def test_parquet_shards_are_read_in_the_hugging_face_layout(shards):
    dataset = load(parquet(shards, validation=0.25))
    assert dataset.class_names == ("ant", "bee", "cow")
    assert sizes(dataset) == (27, 9, 18)
    for split in (dataset.train, dataset.validation, dataset.test):
        np.testing.assert_array_equal(split.images[:, 0, 0, 0] // 50, split.labels)
    colours = np.concatenate([dataset.train.images, dataset.validation.images])[:, 0, 0, 0]
    assert sorted(colours) == sorted(50 * c + 10 * shard + i for c in range(3) for shard in (0, 1) for i in range(6))


def test_another_label_column_can_be_chosen(shards):
    dataset = load(parquet(shards, label_column="coarse"))
    assert dataset.class_names == ("0", "1")
    np.testing.assert_array_equal(dataset.test.images[:, 0, 0, 0] // 100, dataset.test.labels)


@pytest.mark.parametrize("column", ["img", "none"])
def test_a_label_column_that_is_none_is_refused_with_the_columns_there_are(shards, column):
    with pytest.raises(DataError, match=rf"data\.label_column: {column}: is no column of labels.*fine, coarse"):
        load(parquet(shards, label_column=column))


@pytest.mark.parametrize(
    ("part", "label", "problem"), [("train", -1, "1 training rows without a label"), ("test", 3, "holds 3")]
)
def test_labels_outside_the_classes_are_refused(shards, part, label, problem):
    write_parquet(shards / "data" / f"{part}-00000-of-00001.parquet", [1, 2], {"fine": [label, 1], "coarse": [0, 1]})
    (shards / "data" / "train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=problem):
        load(parquet(shards))


def test_rows_without_a_label_are_refused(shards):
    write_parquet(shards / "data" / "train-00002.parquet", [1, 2], {"fine": [None, 1], "coarse": [0, 1]})  # type: ignore[list-item]
    with pytest.raises(DataError):
        load(parquet(shards))


def test_a_broken_parquet_image_is_named_by_its_row(shards):
    file = shards / "data" / "test-00000-of-00001.parquet"
    table = pq.read_table(file)
    images = table["img"].to_pylist()
    images[4] = {"bytes": b"no image", "path": None}
    pq.write_table(table.set_column(0, "img", pa.array(images, table["img"].type)), file)
    with pytest.raises(DataError, match="row 4: is no readable image"):
        load(parquet(shards))


def test_parquet_files_without_images_or_training_part_are_refused(tmp_path):
    pq.write_table(pa.table({"label": [0, 1]}), tmp_path / "test.parquet")
    with pytest.raises(DataError, match=r"holds 'test' and no training part; name its files train-"):
        load(parquet(tmp_path))
    (tmp_path / "test.parquet").rename(tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"no image column.*label"):
        load(parquet(tmp_path))


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_the_fingerprint_follows_bytes_and_splits_but_not_the_place(source, request):
    root = request.getfixturevalue("two_classes" if source == "folder" else "shards")

    def fingerprint(**options) -> str:
        return fingerprint_of(DataConfig(source=source, path=str(root), **options))

    first = fingerprint()
    variants = [fingerprint(limit=20), fingerprint(validation=0.2), fingerprint(image_size=8), fingerprint(test=0.3)]
    root = root.rename(root.with_name("moved"))
    assert fingerprint() == first == load(DataConfig(source=source, path=str(root))).fingerprint
    file = next(file for file in sorted(root.rglob("*")) if file.is_file())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert len({first, fingerprint(), *variants}) == 6


@pytest.mark.parametrize("limit", [None, 24])
def test_a_summary_agrees_with_what_is_loaded(two_classes, shards, limit):
    for config in (DataConfig(source="digits", limit=limit), folder(two_classes, limit=limit), parquet(shards)):
        dataset = load(config)
        size = dataset.train.images.shape[1]
        num_train, num_validation, num_test = sizes(dataset)
        expected = DataSummary(
            fingerprint=dataset.fingerprint,
            num_train=num_train,
            num_validation=num_validation,
            num_test=num_test,
            num_classes=dataset.num_classes,
            image_size=size,
        )
        assert summarize(config).model_copy(update={"notes": ()}) == expected


def test_cifar100_is_read_as_it_was_published(cifar100):
    dataset = load(parquet(cifar100, label_column="fine_label", validation=0.5))
    assert sizes(dataset) == (100, 100, 100)
    assert dataset.train.images.shape == (100, 32, 32, 3)
    assert dataset.class_names[:2] == ("apple", "aquarium_fish")
    assert dataset.num_classes == 100
    for split in (dataset.train, dataset.validation, dataset.test):
        assert np.bincount(split.labels).tolist() == [1] * 100
