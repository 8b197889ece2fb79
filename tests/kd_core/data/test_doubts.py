import numpy as np

from kd_core.data.doubts import doubts_of_classes, doubts_of_images, doubts_of_labels, doubts_of_looks, in_both
from kd_core.data.look import Look


def digests(*numbers: int) -> np.ndarray:
    """Digests uint64 [N]."""
    return np.array(numbers, np.uint64)


def test_classes_that_a_split_lacks_and_very_uneven_ones_are_told():
    labels = {"train": np.repeat([0, 1, 2], [100, 30, 4]), "validation": np.array([0, 0]), "test": np.array([0, 1, 2])}
    absent, uneven = doubts_of_classes(labels, ("a", "b", "c"))
    assert absent.sentence == "2 of 3 classes without a validation image; figures are of the others: b, c"
    assert uneven.text.startswith("the largest class has 100 training images and the smallest 4; balanced_accuracy")
    assert uneven.examples == ("a", "c")
    even = {"train": np.repeat([0, 1], [20, 1]), "validation": np.array([0, 1]), "test": np.array([0, 1])}
    assert doubts_of_classes(even, ("a", "b")) == []


def test_images_of_two_splits_are_counted_and_named():
    files = {"train": digests(1, 2, 3, 0), "validation": digests(4, 2, 0), "test": digests(5, 4, 1, 3)}
    names = {split: [f"{split}{row}" for row in range(len(rows))] for split, rows in files.items()}
    notes = [note.sentence for note in doubts_of_images(files, names)]
    remedy = "; data.duplicates: drop_train leaves them out of training"
    assert notes == [
        f"2 test images also in train{remedy}: test2, test3",
        f"1 validation image also in train{remedy}: validation1",
        "1 test image also in validation: test1",
    ]
    [*_, first, second, _] = doubts_of_images(files | {"unlabelled": digests(0, 5, 9, 4)}, names)
    assert [first.sentence, second.sentence] == [
        f"2 test images also in data.unlabelled{remedy}: test0, test1",
        f"1 validation image also in data.unlabelled{remedy}: validation0",
    ]
    assert in_both(digests(0, 1), digests(0, 2)).tolist() == [False, False]


def test_one_image_with_two_labels_is_told_and_with_one_label_twice_is_not():
    [told] = doubts_of_labels(digests(7, 7, 7, 8, 8, 9, 0, 0), np.array([0, 1, 1, 2, 2, 0, 0, 1]))
    assert told.text == "1 training image there again with another label"
    assert doubts_of_labels(digests(8, 8, 9), np.array([2, 2, 0])) == []


def test_near_duplicates_are_counted_without_the_files_that_are_the_same():
    nothing = np.zeros(5, np.uint8)
    look = Look(
        digests(1, 2, 3, 1, 4), digests(10, 20, 30, 10, 20), np.zeros((5, 2)), nothing, np.full(5, ""), np.full(5, "")
    )
    rows = {"train": np.array([0, 1]), "test": np.array([2, 3, 4])}
    assert [note.text for note in doubts_of_looks(look, rows)] == ["1 test image like a training image at 8 × 8 pixels"]
