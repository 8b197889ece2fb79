"""Parquet files as people bring them: each is read as they mean it, or refused with what to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from kd_core.config.data import DataConfig
from kd_core.config.errors import DataError
from kd_core.data.dataset import load
from kd_core.data.survey import summarize
from tests.image_sources import class_labels, encoded, image_column, noise, write_table

LABELS = [n % 3 for n in range(30)]
NAMES = ["cat", "dog", "eel"]
XYZ = class_labels("xyz")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def config(root: Path, **options) -> DataConfig:
    """The configuration of a folder of parquet files."""
    return DataConfig(source="parquet", path=str(root), **options)


def files(**columns) -> Callable[[Path], None]:
    """Writes train.parquet with these columns beside the images."""
    return lambda root: write_table(root / "train.parquet", columns)


def parts(*names: str, labels=LABELS, features=None) -> Callable[[Path], None]:
    """Writes a file at each of these names."""

    def make(root: Path) -> None:
        for name in names:
            write_table(root / name, {"label": labels}, features)

    return make


def renumbered(root: Path) -> None:
    """The test part numbers the classes the other way round."""
    write_table(root / "train.parquet", {"label": LABELS}, XYZ)
    write_table(root / "test.parquet", {"label": [0, 1, 2, 2]}, class_labels("zyx"))


def imagenet(root: Path) -> None:
    """ImageNet's form: the labels of test are not published."""
    parts("train-0.parquet", "validation-0.parquet", features=XYZ)(root)
    write_table(root / "test-0.parquet", {"label": [-1] * 6}, XYZ)


def unlabelled_test(root: Path) -> None:
    """A test part without a label column."""
    write_table(root / "train.parquet", {"label": LABELS})
    write_table(root / "test.parquet", {"id": list(range(4))})


def masks(features=None) -> Callable[[Path], None]:
    """Files with masks before the images; the features may say which are the images."""
    return lambda root: write_table(
        root / "train.parquet", {"mask": image_column(30, 900), "image": image_column(30), "label": LABELS}, features
    )


READ: dict[str, tuple[Callable[[Path], None], tuple[int, int, int], tuple[str, ...], list[str]]] = {
    "two parts": (parts("train.parquet", "test.parquet"), (27, 3, 30), ("0", "1", "2"), []),
    "three parts": (parts("train.parquet", "dev.parquet", "test.parquet"), (30, 30, 30), ("0", "1", "2"), []),
    "shards": (
        parts(
            "train-00000-of-00002.parquet",
            "train-00001-of-00002.parquet",
            "test-00000-of-00001-0123456789abcdef.parquet",
        ),
        (54, 6, 30),
        ("0", "1", "2"),
        [],
    ),
    "converted": (
        parts("default/train/0000.parquet", "default/partial-test/0000.parquet"),
        (27, 3, 30),
        ("0", "1", "2"),
        [],
    ),
    "hidden": (parts("train.parquet", "test.parquet", ".cache/train.parquet"), (27, 3, 30), ("0", "1", "2"), []),
    "no part is named": (
        parts("0000.parquet", "0001.parquet"),
        (43, 5, 12),
        ("0", "1", "2"),
        ["no part, all for training", "12 training images as test part"],
    ),
    "another file": (
        parts("train.parquet", "test.parquet", "index.parquet"),
        (27, 3, 30),
        ("0", "1", "2"),
        ["1 parquet file of no part: index.parquet"],
    ),
    "from one": (
        files(label=[n + 1 for n in LABELS]),
        (22, 2, 6),
        ("1", "2", "3"),
        ["labels 1, 2, 3 of the column 'label' as classes 0 to 2"],
    ),
    "tens": (files(label=[10 * n + 10 for n in LABELS]), (22, 2, 6), ("10", "20", "30"), ["labels 10, 20, 30"]),
    "minus one and one": (files(label=[2 * (n % 2) - 1 for n in range(30)]), (22, 2, 6), ("-1", "1"), ["labels -1, 1"]),
    "strings": (files(label=[NAMES[n] for n in LABELS]), (22, 2, 6), tuple(NAMES), []),
    "dictionary": (files(label=pa.array([NAMES[n] for n in LABELS]).dictionary_encode()), (22, 2, 6), tuple(NAMES), []),
    "booleans": (files(label=[bool(n % 2) for n in range(30)]), (22, 2, 6), ("false", "true"), []),
    "an id": (
        files(image_id=list(range(1000, 1030)), label=LABELS),
        (22, 2, 6),
        ("0", "1", "2"),
        ["the column 'label' as labels, not: image_id (30 diff"],
    ),
    "a constant": (
        files(split=["train"] * 30, label=LABELS),
        (22, 2, 6),
        ("0", "1", "2"),
        ["not: split (1 different values)"],
    ),
    "an id and a feature": (
        lambda root: write_table(root / "train.parquet", {"id": list(range(30)), "label": LABELS}, XYZ),
        (22, 2, 6),
        ("x", "y", "z"),
        [],
    ),
    "metadata that are no JSON": (parts("train.parquet", features=b"{oops"), (22, 2, 6), ("0", "1", "2"), []),
    "a feature says the image": (masks(XYZ), (22, 2, 6), ("x", "y", "z"), []),
    "plain bytes": (
        files(image=pa.array([encoded(noise(n)) for n in range(30)]), label=LABELS),
        (22, 2, 6),
        ("0", "1", "2"),
        [],
    ),
    "imagenet": (
        imagenet,
        (27, 3, 30),
        ("x", "y", "z"),
        ["the test part, which has no labels: test-0.parquet", "the validation part as test part"],
    ),
    "test without labels": (unlabelled_test, (22, 2, 6), ("0", "1", "2"), ["the test part, which has no labels"]),
}


@pytest.mark.parametrize("case", READ)
def test_parquet_files_are_read_as_they_are_meant_and_what_is_odd_is_said(tmp_path, case):
    make, sizes, classes, said = READ[case]
    make(tmp_path / "set")
    summary, dataset = summarize(config(tmp_path / "set")), load(config(tmp_path / "set"))
    assert (summary.num_train, summary.num_validation, summary.num_test) == sizes
    assert tuple(map(len, (dataset.train, dataset.validation, dataset.test))) == sizes
    assert dataset.class_names == classes
    sentences = " | ".join(note.sentence for note in summary.notes)
    assert [part for part in said if part not in sentences] == [], sentences
    assert "images of the column 'image', labels of 'label'" in sentences


def test_classes_are_matched_by_name_where_parts_number_them_differently(tmp_path):
    renumbered(tmp_path / "set")
    dataset = load(config(tmp_path / "set"))
    assert dataset.class_names == ("x", "y", "z")
    assert dataset.test.labels.tolist() == [2, 1, 0, 0]


def test_one_column_labels_all_parts_wherever_it_stands(tmp_path):
    fine, coarse = [n % 6 for n in range(30)], LABELS
    write_table(tmp_path / "train.parquet", {"fine": fine, "coarse": coarse})
    write_table(tmp_path / "test.parquet", {"coarse": coarse, "fine": fine})
    with pytest.raises(DataError, match=r"has the label columns fine, coarse; say which is meant"):
        summarize(config(tmp_path))
    for column, labels in (("fine", fine), ("coarse", coarse)):
        assert load(config(tmp_path, label_column=column)).test.labels.tolist() == labels


def test_the_images_are_those_of_the_column_that_is_given(tmp_path):
    masks()(tmp_path / "set")
    for column, first in (("image", 0), ("mask", 900)):
        dataset = load(config(tmp_path / "set", image_column=column))
        seen = {
            image.tobytes() for split in (dataset.train, dataset.validation, dataset.test) for image in split.images
        }
        assert seen == {np.asarray(noise(first + n)).tobytes() for n in range(30)}


def truncated(root: Path) -> None:
    """One shard is cut, and another is empty."""
    parts("train-0.parquet", "train-1.parquet")(root)
    content = (root / "train-1.parquet").read_bytes()
    (root / "train-1.parquet").write_bytes(content[: len(content) // 2])
    (root / "train-2.parquet").write_bytes(b"")


def other_columns(root: Path) -> None:
    """A shard names its label column in another way."""
    write_table(root / "train-0.parquet", {"label": LABELS})
    write_table(root / "train-1.parquet", {"labels": LABELS})


def only_paths(root: Path) -> None:
    """Images are given by paths, without bytes."""
    rows = pa.array(
        [{"bytes": None, "path": f"{n}.png"} for n in range(30)],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    write_table(root / "train.parquet", {"image": rows, "label": LABELS})


def truths_and_numbers(root: Path) -> None:
    """Training has the labels 0 and 1, test has false and true."""
    write_table(root / "train.parquet", {"label": [n % 2 for n in range(30)]})
    write_table(root / "test.parquet", {"label": [True, False] * 2})


def garbled_footer(root: Path) -> None:
    """The name of a column is no text where the footer tells the place of its values."""
    files(label=LABELS)(root)
    content = (root / "train.parquet").read_bytes()
    at = content.rindex(b"label")
    (root / "train.parquet").write_bytes(content[:at] + b"\xe2" + content[at + 1 :])


REFUSED: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "two columns": (
        files(coarse=[n % 2 for n in range(30)], label=LABELS),
        ["data.label_column", "coarse, label; say which"],
    ),
    "two image columns": (masks(), ["data.image_column", "mask, image; say which"]),
    "train and trainval": (parts("train.parquet", "trainval.parquet"), ["'train', 'trainval', each of which may be"]),
    "two training sets": (
        parts("train_clean-0.parquet", "train_noisy-0.parquet"),
        ["each of which may be the train part"],
    ),
    "two configurations": (
        parts("a/train-0.parquet", "b/train-0.parquet"),
        ["several sets of files, in 'a', 'b'; give one of them as data.path"],
    ),
    "test only": (parts("test.parquet"), ["holds 'test' and no training part"]),
    "truncated": (truncated, ["train-1.parquet is no whole parquet file", "train-2.parquet is no whole"]),
    "other columns": (other_columns, ["train-1.parquet has no column 'label', but image, labels"]),
    "truths and numbers": (truths_and_numbers, ["of the test part has 'false', 'true', which no training image has"]),
    "a garbled footer": (garbled_footer, ["train.parquet: is no whole parquet file"]),
    "only paths": (only_paths, ["30 images cannot be read", "train.parquet: row 0"]),
    "a huge label": (
        files(label=[n or 2**40 for n in LABELS]),
        ["holds 1099511627776, which is a time, a hash or an id"],
    ),
    "ids only": (files(label=list(range(30))), ["has 30 different values in 30 rows"]),
    "several labels": (files(label=[[n, 2] for n in LABELS]), ["holds several labels an image"]),
    "no label": (files(score=[0.5] * 30), ["no column of image, score can be labels"]),
    "missing labels": (files(label=[None, *LABELS[1:]]), ["1 training rows without a label"]),
    "nothing": (lambda root: root.mkdir(), ["holds no parquet file"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_with_what_to_do(tmp_path, case):
    make, said = REFUSED[case]
    make(tmp_path / "set")
    with pytest.raises(DataError) as refused:
        summarize(config(tmp_path / "set"))
    sentence = str(refused.value)
    assert [part for part in said if part not in sentence] == [], sentence
    assert sentence.startswith("data.")
    assert "\n" not in sentence
