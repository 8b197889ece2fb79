import numpy as np
import pytest

from kd_core.config.errors import DataError
from kd_core.data.images import ArrayImages
from kd_core.data.source import Source, count, refuse, some, whole_part


def test_the_parts_of_a_source_are_in_order_and_only_those_there_are():
    pixels = ArrayImages(np.zeros((2, 1, 1, 3), np.uint8))
    train, test = whole_part(np.array([0, 1]), pixels), whole_part(np.array([1]), pixels)
    assert train.numbers.tolist() == [0, 1]
    assert train.labels.dtype == np.int64
    assert Source(train, ("a", "b"), dict, test).parts == [train, test]


def test_everything_that_is_wrong_is_one_sentence():
    refuse("x", [])
    with pytest.raises(DataError, match=r"^data\.path: x: is bad$"):
        refuse("x", ["is bad"])
    with pytest.raises(DataError, match=r"^data\.labels: x: 2 things are wrong: \(1\) one; \(2\) two$"):
        refuse("x", ["one", "two"], "data.labels")


def test_counts_and_names_are_told_in_words():
    assert [count(number, "image") for number in (0, 1, 1234)] == ["0 images", "1 image", "1,234 images"]
    assert count(2, "mouse", "mice") == "2 mice"
    assert some(["a"]) == "'a'"
    assert some(list("abcde")) == "'a', 'b', 'c' and 2 more"
