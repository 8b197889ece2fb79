import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from kd_core.measure.balanced import balanced_accuracy


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 5)), min_size=1, max_size=40))
def test_it_is_scikit_learns_recall_averaged_over_the_classes_there_are(rows):
    label, prediction, weights = map(np.array, zip(*rows, strict=True))
    shares = [np.average((prediction == k)[label == k], weights=weights[label == k]) for k in set(label.tolist())]
    assert np.isclose(balanced_accuracy(prediction == label, label, weights), np.mean(shares))
    if set(prediction.tolist()) <= set(label.tolist()) and len(set(label.tolist())) > 1:
        expected = balanced_accuracy_score(label, prediction, sample_weight=weights)
        assert np.isclose(balanced_accuracy(prediction == label, label, weights), expected)


def test_each_class_weighs_the_same_however_rare():
    label = np.repeat([0, 1], [99, 1])
    assert balanced_accuracy(label == 0, label) == 0.5
    assert balanced_accuracy(label == 0, label, np.where(label == 1, 7.0, 1.0)) == 0.5
