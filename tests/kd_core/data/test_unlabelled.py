"""Images without a label: what is read, what is left alone, and what is told of them."""

import shutil

import numpy as np
import pytest
from PIL import Image

from kd_core.config.data import DataConfig
from kd_core.config.errors import DataError
from kd_core.data.dataset import load
from kd_core.data.splits import fingerprint_of, parts_of
from kd_core.data.survey import summarize
from tests.image_sources import image_column, noise, numbered, part, write_images, write_table


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A folder source in `set`, and seven images without a label in `more`, at several depths."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_images(tmp_path / "set", [*part("train"), *part("test", count=3)])
    write_images(tmp_path / "more", ["z.jpg", *numbered("deep", 3), *numbered("deep/er/test", 3), ".hidden/1.png"])
    (tmp_path / "more/deep/about.txt").write_text("whence they came")
    return tmp_path


def config(root, unlabelled="more", **options):
    """The folder source, with unlabelled images unless None is given."""
    more = {} if unlabelled is None else {"unlabelled": str(root / unlabelled)}
    return DataConfig.model_validate({"source": "folder", "path": str(root / "set")} | more | options)


def texts(summary, kind):
    """The sentences of the notes of a kind."""
    return [note.sentence for note in summary.notes if note.kind == kind]


@pytest.mark.parametrize("options", [{}, {"limit": 8}, {"imbalance": 0.5}, {"validation": 0.3, "test": 0.4}], ids=str)
def test_they_follow_the_labelled_images_which_are_split_as_without_them(root, options):
    dataset, without = (load(config(root, more, **options)) for more in ("more", None))
    summary = summarize(config(root, **options))
    assert (summary.num_train, summary.num_unlabelled) == (without.num_train, 7)
    assert (dataset.num_train, dataset.num_unlabelled) == (without.num_train, 7)
    np.testing.assert_array_equal(dataset.train.images[:-7], without.train.images)
    np.testing.assert_array_equal(dataset.train.labels, [*without.train.labels, *[-1] * 7])
    for split in ("validation", "test"):
        np.testing.assert_array_equal(getattr(dataset, split).images, getattr(without, split).images)
    files = [*numbered("deep", 3), *numbered("deep/er/test", 3), "z.jpg"]
    expected = [np.asarray(Image.open(root / "more" / file).convert("RGB")) for file in files]
    np.testing.assert_array_equal(dataset.train.images[-7:], expected)


def test_they_join_a_parquet_source_and_are_resized_as_its_images(root):
    write_table(root / "table/train.parquet", {"image": image_column(16), "label": [n % 2 for n in range(16)]})
    for size, name in (((20, 8), "a"), ((8, 30), "b")):
        noise(1, size).save(root / f"more/{name}.png")
    dataset = load(config(root, source="parquet", path=str(root / "table"), image_size=10))
    assert dataset.train.images.shape == (12 + 9, 10, 10, 3)
    with pytest.raises(DataError, match=r"data.image_size"):
        load(config(root, source="parquet", path=str(root / "table")))
    with pytest.raises(DataError, match="has images of 3 sizes"):
        summarize(config(root, source="parquet", path=str(root / "table")))


def test_the_fingerprint_ends_with_theirs_which_does_not_depend_on_their_place(root):
    labelled, whole = fingerprint_of(config(root, None)), fingerprint_of(config(root))
    assert whole.partition("+")[:2] == (labelled, "+")
    shutil.copytree(root / "more", root / "elsewhere")
    assert fingerprint_of(config(root, "elsewhere")) == whole
    url = DataConfig(source="folder", path=str(root / "set"), unlabelled=f"file://{root / 'more'}")
    assert fingerprint_of(url) == whole == load(url).fingerprint == summarize(url).fingerprint
    noise(99).save(root / "more/z.jpg")
    changed = fingerprint_of(config(root))
    assert changed != whole
    assert changed.startswith(f"{labelled}+")


@pytest.mark.parametrize("streaming", [False, True])
def test_an_image_that_is_held_out_too_is_doubtful_and_can_be_dropped(root, streaming):
    for name in ("0", "1"):
        shutil.copy(root / f"set/test/a/{name}.png", root / f"more/deep/{name}.png")
    held_out = parts_of(config(root)).validation
    shutil.copy(held_out.images.content(int(held_out.numbers[0])), root / "more/again.png")
    options = {"streaming": streaming}
    summary, dropped = (summarize(config(root, duplicates=choice, **options)) for choice in ("keep", "drop_train"))
    told = " | ".join(texts(summary, "doubtful"))
    assert "2 test images also in data.unlabelled; data.duplicates: drop_train leaves them out" in told
    assert "1 validation image also in data.unlabelled" in told
    assert (summary.num_unlabelled, dropped.num_unlabelled) == (8, 5)
    assert not any("data.unlabelled" in text for text in texts(dropped, "doubtful"))
    assert "3 unlabelled images that validation or test has too" in texts(dropped, "left out")
    assert dropped.num_train == summary.num_train


def test_what_is_no_image_is_told_and_what_is_damaged_is_refused_or_skipped(root):
    left_out = texts(summarize(config(root)), "left out")
    assert "of data.unlabelled, 1 hidden file or folder: .hidden" in left_out
    assert "of data.unlabelled, 1 file whose ending (.txt) is no image's: deep/about.txt" in left_out
    (root / "more/deep/1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 image cannot be read: .*more/deep/1.png"):
        summarize(config(root))
    (root / "more/deep/2.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"^data.unlabelled: \S*more: 1 image cannot be read: .*2.png \(empty\)"):
        summarize(config(root))
    skipping = config(root, skip_unreadable=True)
    assert summarize(skipping).num_unlabelled == load(skipping).num_unlabelled == 5


@pytest.mark.parametrize(("folder", "problem"), [("nowhere", "no such folder"), ("set/empty", "holds no image; give")])
def test_a_folder_without_images_is_refused_by_its_key(root, folder, problem):
    (root / "set/empty").mkdir()
    with pytest.raises(DataError, match=rf"^data.unlabelled: \S*{folder}: {problem}"):
        summarize(config(root, folder))


def test_where_all_are_dropped_none_are_left(root):
    shutil.rmtree(root / "more")
    shutil.copytree(root / "set/test/a", root / "more")
    options = config(root, duplicates="drop_train")
    assert summarize(options).num_unlabelled == load(options).num_unlabelled == 0
