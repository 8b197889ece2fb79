import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kd_core.config.data import DataConfig
from kd_core.config.errors import DataError
from kd_core.data.splits import DataSummary, fingerprint_of, parts_of, stratified_sample, summarize


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
    assert (np.abs(np.bincount(labels[chosen], minlength=len(expected)) - expected) <= 1).all()


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
