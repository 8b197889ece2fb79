"""Image folders as people bring them: each is read as they mean it, or refused with what to do."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kd_core.config.data import DataConfig
from kd_core.config.errors import DataError
from kd_core.data.dataset import load
from kd_core.data.splits import parts_of
from kd_core.data.survey import summarize
from tests.image_sources import noise, numbered, part, write_images

Read = tuple[tuple[int, int, int], tuple[str, ...], list[str]]  # images of each split, classes, parts of notes


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def config(root: Path, **options) -> DataConfig:
    """The configuration of a folder."""
    return DataConfig(source="folder", path=str(root), **options)


def write(*paths: str) -> Callable[[Path], None]:
    """Writes an image at each path."""
    return lambda root: write_images(root, paths)


def both(*extra: str, train: str = "train", test: str = "test") -> list[str]:
    """A tidy folder: eight training images and three test images in each of two classes, and more."""
    return [*part(train), *part(test, count=3), *extra]


def tiny_imagenet(root: Path) -> None:
    """Tiny-ImageNet as it is downloaded: a folder `images` in each class; validation labelled by a text file."""
    write_images(
        root, [*part("train", ("n01/images", "n02/images")), *numbered("val/images", 4), *numbered("test/images", 4)]
    )
    lines = [f"{number}.png\tn0{1 + number % 2}\t0\t0\t62\t62\n" for number in range(4)]
    (root / "val" / "val_annotations.txt").write_text("".join(lines))


def of_two_systems(root: Path) -> None:
    """A class whose é is written in one way in train and in another in test, as macOS and Linux do."""
    one, other = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    write_images(root, [*part("train", (one, "tea")), *part("test", (other, "tea"), 3)])


READ: dict[str, tuple[Callable[[Path], None], Read]] = {
    "tidy": (write(*both()), ((14, 2, 6), ("a", "b"), [])),
    "a hidden folder": (write(*both("train/.ipynb_checkpoints/0.png")), ((14, 2, 6), ("a", "b"), ["1 hidden file or"])),
    "a hidden file": (write(*both("train/a/._0.png")), ((14, 2, 6), ("a", "b"), ["train/a/._0.png"])),
    "a system's folder": (
        write(*part("", count=10), "__MACOSX/a/0.png"),
        ((14, 2, 4), ("a", "b"), ["__MACOSX", "4 tr"]),
    ),
    "another system's": (
        write(*both("@eaDir/x/0.png", "train/$RECYCLE.BIN/1.png")),
        ((14, 2, 6), ("a", "b"), ["@eaDir"]),
    ),
    "capitals": (write(*both(train="Train", test="TEST")), ((14, 2, 6), ("a", "b"), [])),
    "training, testing": (write(*both(train="training", test="Testing")), ((14, 2, 6), ("a", "b"), [])),
    "eval": (write(*both(test="eval")), ((14, 2, 6), ("a", "b"), [])),
    "years": (write(*both(train="train2017", test="test_2017")), ((14, 2, 6), ("a", "b"), [])),
    "own validation": (write(*both(*part("Valid", count=2))), ((16, 4, 6), ("a", "b"), [])),
    "dev": (write(*both(*part("dev", count=2))), ((16, 4, 6), ("a", "b"), [])),
    "validation only": (write(*both(test="val")), ((13, 6, 3), ("a", "b"), ["3 training images as test part"])),
    "a class named train": (write(*part("", ("bus", "car", "train"))), ((17, 2, 5), ("bus", "car", "train"), [])),
    "a folder beside": (
        write(*both("extra/0.png", "extra/a/1.png")),
        ((14, 2, 6), ("a", "b"), ["beside the parts: extra"]),
    ),
    "images in no class": (write(*both("train/0.png")), ((14, 2, 6), ("a", "b"), ["1 image of the train part in no"])),
    "other endings": (write(*both()), ((14, 2, 6), ("a", "b"), [])),
    "a flat test part": (
        write(*part("train", count=10), *numbered("test", 3)),
        (
            (14, 2, 4),
            ("a", "b"),
            ["the test part, 3 images in no class folders; give their labels in a file as data.labels"],
        ),
    ),
    "tiny imagenet": (
        tiny_imagenet,
        ((13, 4, 3), ("n01", "n02"), ["val/val_annotations.txt", "the test part, 4 images"]),
    ),
    "two ways to write é": (of_two_systems, ((14, 2, 6), (unicodedata.normalize("NFC", "café"), "tea"), [])),
    "numbers": (
        write(*part("", ("1", "2", "10"), 12)),
        ((26, 3, 7), ("1", "10", "2"), ["order of their names as text"]),
    ),
    "capital endings": (
        write(*part("train", ("a",)), *numbered("train/b", 8, ".PNG"), *part("test", count=3)),
        ((14, 2, 6), ("a", "b"), []),
    ),
}


@pytest.mark.parametrize("case", READ)
def test_a_folder_is_read_as_it_is_meant_and_what_is_odd_is_said(tmp_path, case):
    make, (sizes, classes, said) = READ[case]
    make(tmp_path / "set")
    summary, dataset = summarize(config(tmp_path / "set")), load(config(tmp_path / "set"))
    assert (summary.num_train, summary.num_validation, summary.num_test) == sizes
    assert tuple(map(len, (dataset.train, dataset.validation, dataset.test))) == sizes
    assert dataset.class_names == classes
    sentences = " | ".join(note.sentence for note in summary.notes)
    assert [part for part in said if part not in sentences] == [], sentences
    if case == "tidy":
        assert not summary.notes


def links_to_nothing(root: Path) -> None:
    """A link whose image is gone."""
    write_images(root, both())
    (root / "train" / "a" / "x.png").symlink_to("/nonexistent/x.png")


def is_no_text(root: Path) -> None:
    """A class folder whose name is Latin-1."""
    write_images(root, both())
    (root / "train" / "a").rename(os.fsdecode(os.fsencode(root / "train") + b"/caf\xe9"))


def emptied(root: Path) -> None:
    """A class folder without an image, another with images of a kind that is not read, and a damaged image."""
    write_images(root, both())
    (root / "train" / "cc").mkdir()
    (root / "train" / "dd").mkdir()
    (root / "train" / "dd" / "0.heic").write_bytes(b"heic")
    (root / "test" / "a" / "1.png").write_bytes(b"")
    (root / "test" / "b" / "2.png").write_bytes((root / "test" / "b" / "1.png").read_bytes()[:60])


def of_sizes(root: Path) -> None:
    """One image is larger than the others."""
    write_images(root, both())
    noise(1, (9, 7)).save(root / "train" / "a" / "big.png")


def lacks_a_class(root: Path) -> None:
    """A class folder without an image."""
    write_images(root, both())
    (root / "train" / "zz").mkdir()


REFUSED: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "an empty class": (lacks_a_class, ["class 'zz' has no image; add images, or remove its folder"]),
    "everything at once": (
        emptied,
        [
            "class 'cc'",
            "class 'dd' has no image that is read, but 'train/dd/0.heic'",
            "a/1.png (empty)",
            "b/2.png (",
            "(4)",
        ],
    ),
    "a link to nothing": (links_to_nothing, ["train/a/x.png (a link to nothing)", "data.skip_unreadable: true"]),
    "a name that is no text": (is_no_text, ["not valid UTF-8: 'train/caf\\\\xe9/0.png'", "rename them"]),
    "images of two sizes": (of_sizes, ["2 sizes, 6×6 to 9×7 pixels; set data.image_size"]),
    "two training parts": (write(*both(*part("Training"))), ["'Training', 'train', each of which may be the train"]),
    "two validation parts": (write(*both(*part("val"), *part("valid"))), ["each of which may be the validation part"]),
    "no training part": (write(*part("test"), *part("val")), ["'test', 'val' and no training part; name"]),
    "a class of test only": (write(*both("test/Ab/0.png", "test/c/1.png")), ["'Ab', 'c' of the test part is not"]),
    "one class": (write(*part("train", ("a",)), *part("test", ("a",))), ["has 1 class, and a classifier needs two"]),
    "no image": (lambda root: root.mkdir(), ["no class folders of images; make one folder"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_at_once_with_what_to_do(tmp_path, case):
    make, said = REFUSED[case]
    make(tmp_path / "set")
    with pytest.raises(DataError) as refused:
        summarize(config(tmp_path / "set"))
    sentence = str(refused.value)
    assert [part for part in said if part not in sentence] == [], sentence
    assert sentence.startswith(f"data.path: {tmp_path}/set: ")
    assert "\n" not in sentence


def test_unreadable_images_can_be_skipped_and_are_counted(tmp_path):
    write_images(tmp_path / "set", both())
    (tmp_path / "set/train/a/0.png").write_bytes(b"")
    (tmp_path / "set/train/b/1.png").write_bytes(b"no image")
    (tmp_path / "set/test/b/1.png").write_bytes((tmp_path / "set/test/b/0.png").read_bytes()[:50])
    skipping = config(tmp_path / "set", skip_unreadable=True)
    summary = summarize(skipping)
    assert (summary.num_train, summary.num_validation, summary.num_test) == (13, 1, 5)
    said = [note.sentence for note in summary.notes]
    assert any(sentence.startswith("1 unreadable image: train/a/0.png (empty)") for sentence in said)
    assert any(sentence.startswith("2 unreadable images: ") and "train/b/1.png" in sentence for sentence in said)
    assert len(load(skipping).train) == 13
    assert summary.fingerprint != summarize_or_print(config(tmp_path / "set"))


def summarize_or_print(refused: DataConfig) -> str:
    """The fingerprint of data that are refused."""
    from kd_core.data.splits import fingerprint_of

    with pytest.raises(DataError):
        summarize(refused)
    return fingerprint_of(refused)


def test_an_own_validation_part_gives_way_to_a_share(tmp_path):
    write_images(tmp_path / "set", both(*part("val", count=2)))
    own, share = (parts_of(config(tmp_path / "set", **options)) for options in ({}, {"validation": 0.25}))
    assert [len(split) for split in own.splits] == [16, 4, 6]
    assert [len(split) for split in share.splits] == [12, 4, 6]
    names = {split.images.name(int(split.numbers[0])).split("/")[-3] for split in share.splits}
    assert names == {"train", "test"}
    assert any(note.sentence.startswith("the validation part of the source") for note in share.notes)


@pytest.mark.parametrize(
    "lines",
    [
        "path,label\nflat/0.png,cat\nflat/1.png,dog\nflat/2.png,cat\nflat/3.png,dog\n",
        "flat/0.png\tcat\nflat/1.png\tdog\nflat/2.png\tcat\nflat/3.png\tdog\n",
        "id,path,label\n3,0,cat\n2,1,dog\n1,2,cat\n0,3,dog\n",
        "breed;id\ncat;0\ndog;1\ncat;2\ndog;3\n".replace("breed", "label"),
        "\ufefffilename,class\r\n0.png,cat\r\n1.png,dog\r\n2.png,cat\r\n3.png,dog\r\n",
        "./flat/0.png cat\n./flat/1.png dog\nflat\\2.png cat\nflat/3.png dog\n",
    ],
    ids=["csv", "tsv", "row numbers", "ids", "file names", "spaces"],
)
def test_images_in_no_class_folder_are_labelled_by_a_file(tmp_path, lines):
    write_images(tmp_path / "set", numbered("flat", 5))
    (tmp_path / "labels.csv").write_text(lines, newline="")
    parts = parts_of(config(tmp_path / "set", labels=str(tmp_path / "labels.csv"), test=0.25, validation=0.34))
    assert parts.class_names == ("cat", "dog")
    for split in parts.splits:
        numbers = [int(split.images.name(int(number))[-5]) for number in split.numbers]
        np.testing.assert_array_equal(split.labels, np.array(numbers) % 2)
    assert sorted(np.concatenate([split.numbers for split in parts.splits]).tolist()) == [0, 1, 2, 3]
    assert any("1 image that data.labels does not name" in note.text for note in parts.notes)


def test_a_labels_file_may_name_parts_and_flat_test_images(tmp_path):
    write_images(tmp_path / "set", [*numbered("train", 8), *numbered("test", 4)])
    rows = [f"{folder}/{n}.png,{'ab'[n % 2]}\n" for folder, count in (("train", 8), ("test", 4)) for n in range(count)]
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(rows))
    by_folder = parts_of(config(tmp_path / "set", labels=str(tmp_path / "labels.csv"), validation=0.25))
    assert [len(split) for split in by_folder.splits] == [6, 2, 4]
    rows = [f"train/{n}.png,{'ab'[n % 2]},{'val' if n < 2 else 'train' if n < 6 else 'Test'}\n" for n in range(8)]
    (tmp_path / "labels.csv").write_text("file,label,split\n" + "".join(rows))
    by_column = parts_of(config(tmp_path / "set", labels=str(tmp_path / "labels.csv")))
    assert [sorted(split.numbers.tolist()) for split in by_column.splits] == [[6, 7, 8, 9], [4, 5], [10, 11]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no line"),
        ("path,label\n0.png,a\n9.png,b\n", "1 image of data.labels"),
        ("0.png,a\n0.png,b\n", "0.png has two labels, a and b, in line 2"),
        ("0.png,a\n1.png,\n", "line 2 has no label"),
        ("label,x\na,0.png\n", "name two of them path and label"),
        ("id,name,label\n0,1,a\n1,0,b\n1,2,b\n", "name two of them path and label"),
    ],
    ids=["empty", "missing", "twice", "no label", "columns", "two names"],
)
def test_a_labels_file_that_cannot_be_meant_is_refused(tmp_path, text, said):
    write_images(tmp_path / "set", [f"{n}.png" for n in range(4)])
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError) as refused:
        summarize(config(tmp_path / "set", labels=str(tmp_path / "labels.csv")))
    assert said in str(refused.value)


def test_the_labels_file_is_part_of_the_identity_and_its_place_is_not(tmp_path):
    write_images(tmp_path / "set", [f"{n}.png" for n in range(20)])

    def fingerprint(name: str, shift: int) -> str:
        (tmp_path / name).write_text("".join(f"{n}.png,{(n + shift) % 2}\n" for n in range(20)))
        return summarize(config(tmp_path / "set", labels=str(tmp_path / name))).fingerprint

    assert fingerprint("one.csv", 0) == fingerprint("two.csv", 0) != fingerprint("three.csv", 1)
