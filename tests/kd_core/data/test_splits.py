import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd_core.config.data import DataConfig, DataSummary
from kd_core.config.errors import DataError
from kd_core.data.splits import fingerprint_of, long_tailed, parts_of, stratified_sample
from kd_core.data.survey import summarize
from tests.image_sources import image_column, part, write_images, write_table


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=80),
    share=st.floats(0, 1),
)
def test_a_stratified_sample_has_the_exact_size_and_every_class_its_share(labels, share):
    labels, count = np.array(labels), round(share * len(labels))
    chosen = stratified_sample(labels, count)
    assert len(np.unique(chosen)) == count
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, stratified_sample(labels, count))
    expected = np.bincount(labels) * count / len(labels)
    most = 1 if (expected[expected > 0] >= 0.5).all() else len(expected)  # rare classes get one image first
    assert (np.abs(np.bincount(labels[chosen], minlength=len(expected)) - expected) <= most).all()


@pytest.mark.parametrize("limit", [None, 200])
def test_the_parts_of_a_source_share_no_image_and_each_has_its_size(limit):
    config = DataConfig(source="digits", limit=limit, validation=0.25)
    parts, train = parts_of(config), limit or 1438
    assert [len(part) for part in parts.splits] == [train - round(train / 4), round(train / 4), 359]
    numbers = np.concatenate([part.numbers for part in parts.splits])
    assert len(np.unique(numbers)) == len(numbers) == train + 359
    num_train, num_validation, num_test = (len(part) for part in parts.splits)
    assert summarize(config) == DataSummary(
        fingerprint=fingerprint_of(config),
        num_train=num_train,
        num_validation=num_validation,
        num_test=num_test,
        num_classes=10,
        image_size=8,
    )


def test_a_split_that_no_classifier_can_be_trained_on_is_refused_with_its_key():
    with pytest.raises(DataError, match=r"data\.limit: 5: leaves class .* without a training image"):
        summarize(DataConfig(source="digits", limit=5, validation=0.4))


def test_every_split_of_the_same_images_has_a_fingerprint_of_its_own():
    configs = [DataConfig(source="digits", **options) for options in ({}, {"limit": 200}, {"validation": 0.2})]
    assert len({fingerprint_of(config) for config in configs}) == 3


@pytest.mark.parametrize(("sizes", "size"), [([100, 40, 3], 4), ([5] * 20, 20), ([5] * 20, 60), ([30, 3, 3, 3], 4)])
def test_every_class_of_three_images_gets_one_where_there_is_room(sizes, size):
    chosen = stratified_sample(np.repeat(np.arange(len(sizes)), sizes), size)
    assert len(chosen) == size
    assert np.bincount(np.repeat(np.arange(len(sizes)), sizes)[chosen], minlength=len(sizes)).min() >= 1


def test_a_class_of_two_images_keeps_them_for_training():
    labels = np.repeat([0, 1, 2], [50, 50, 2])
    assert np.bincount(labels[stratified_sample(labels, 10)], minlength=3)[2] == 0


@pytest.mark.parametrize("imbalance", [0.01, 0.1, 0.5])
def test_a_long_tail_falls_exponentially_from_the_first_class_to_the_last(imbalance):
    labels = np.tile(np.arange(10), 500)
    chosen = long_tailed(labels, imbalance)
    assert np.bincount(labels[chosen]).tolist() == [int(500 * imbalance ** (c / 9)) for c in range(10)]
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, long_tailed(labels, imbalance))


def test_a_long_tail_takes_from_training_alone_and_has_a_fingerprint_of_its_own():
    whole, tailed = (parts_of(DataConfig(source="digits", imbalance=share)) for share in (1.0, 0.1))
    for split in (1, 2):
        np.testing.assert_array_equal(whole.splits[split].numbers, tailed.splits[split].numbers)
    counts = np.bincount(tailed.train.labels)
    assert counts[0] > 8 * counts[-1] > 0
    assert set(tailed.train.numbers.tolist()) < set(whole.train.numbers.tolist())
    prints = [fingerprint_of(DataConfig(source="digits", **options)) for options in ({}, {"imbalance": 1.0})]
    assert prints[0] == prints[1] != fingerprint_of(DataConfig(source="digits", imbalance=0.1))


@pytest.mark.parametrize("source", ["folder", "parquet"])
def test_images_that_are_held_out_can_be_dropped_from_training(tmp_path, monkeypatch, source):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if source == "folder":
        write_images(tmp_path / "set", [*part("train"), *part("test", count=3)])
        for n in range(2):
            (tmp_path / f"set/test/b/{n}.png").write_bytes((tmp_path / f"set/train/a/{n}.png").read_bytes())
    else:
        images, labels = image_column(19), [n % 2 for n in range(19)]
        write_table(tmp_path / "set/train.parquet", {"image": images.slice(0, 16), "label": labels[:16]})
        write_table(tmp_path / "set/test.parquet", {"image": images.slice(14, 5), "label": labels[14:]})
    kept, dropped = (
        summarize(DataConfig(source=source, path=str(tmp_path / "set"), validation=0.13, duplicates=choice))
        for choice in ("keep", "drop_train")
    )
    assert (kept.num_train, kept.num_test) == (14, 6 if source == "folder" else 5)
    left = 14 - dropped.num_train
    assert left in (1, 2)  # those of the two that were not held out for validation
    assert any("2 test images also in" in note.text or "also in train" in note.text for note in kept.notes)
    assert not any("also in train" in note.text for note in dropped.notes)
    assert any(f"{left} training image" in note.text for note in dropped.notes)


def test_streamed_folders_are_not_decoded_and_still_say_which_files_are_in_two_parts(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_images(tmp_path / "set", [*part("train"), *part("test", count=3)])
    (tmp_path / "set/test/b/0.png").write_bytes((tmp_path / "set/train/a/0.png").read_bytes())
    (tmp_path / "set/test/b/1.png").write_bytes(b"no image")
    summary = summarize(DataConfig(source="folder", path=str(tmp_path / "set"), streaming=True))
    assert sum("test image also in" in note.text for note in summary.notes) == 1
    assert not (tmp_path / "cache/kd-sweeps/looks").exists()
