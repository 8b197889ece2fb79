import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import v_measure_score

from kd_core.measure.clusters import adjusted_v_measure, kmeans_clusters, most_confused, tsne, v_measure

LABELS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


def blobs(num: int, num_classes: int, spread: float = 0.3, dimensions: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, D] around a centre for each class, and labels [N]."""
    generator = np.random.default_rng(0)
    labels = np.arange(num) % num_classes
    centres = generator.normal(size=(num_classes, dimensions))
    features = centres[labels] + spread * generator.normal(size=(num, dimensions))
    return features.astype(np.float32), labels


@settings(deadline=None, derandomize=True)
@given(LABELS)
def test_v_measure_is_that_of_scikit_learn_and_symmetric(pairs):
    labels, clusters = np.array(pairs).T
    assert v_measure(labels, clusters) == pytest.approx(v_measure_score(labels, clusters), abs=1e-12)
    assert v_measure(labels, clusters) == pytest.approx(v_measure(clusters, labels), abs=1e-12)


@settings(deadline=None, derandomize=True)
@given(LABELS, st.permutations(range(5)))
def test_clusters_that_are_the_classes_by_other_names_are_perfect(pairs, names):
    labels = np.array(pairs)[:, 0]
    assert v_measure(labels, np.array(names)[labels]) == pytest.approx(1)


def test_v_measure_equals_its_definition():
    labels, clusters = np.array([0, 0, 0, 1, 1, 2]), np.array([1, 1, 0, 0, 0, 0])
    given_cluster = 4 / 6 * -(1 / 4 * np.log(1 / 4) * 2 + 1 / 2 * np.log(1 / 2))  # H(class | cluster)
    given_class = 3 / 6 * -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))  # H(cluster | class)
    classes = -(3 / 6 * np.log(3 / 6) + 2 / 6 * np.log(2 / 6) + 1 / 6 * np.log(1 / 6))
    groups = -(4 / 6 * np.log(4 / 6) + 2 / 6 * np.log(2 / 6))
    homogeneity, completeness = 1 - given_cluster / classes, 1 - given_class / groups
    harmonic = 2 * homogeneity * completeness / (homogeneity + completeness)
    assert v_measure(labels, clusters) == pytest.approx(harmonic)


def test_one_cluster_of_several_classes_tells_nothing():
    assert v_measure(np.array([0, 1, 2, 0]), np.zeros(4, dtype=int)) == 0


def test_adjusted_chance_is_zero_and_perfection_one():
    labels = np.repeat(np.arange(20), 6)
    shuffled = [np.random.default_rng(seed).permutation(labels) for seed in range(200)]
    plain = np.mean([v_measure(labels, clusters) for clusters in shuffled])
    assert plain > 0.3
    assert np.mean([adjusted_v_measure(labels, clusters) for clusters in shuffled[:50]]) == pytest.approx(0, abs=0.01)
    assert adjusted_v_measure(labels, 19 - labels) == pytest.approx(1)
    half = np.where(np.arange(120) % 6 < 4, labels, shuffled[0])
    corrected = (v_measure(labels, half) - plain) / (1 - plain)
    assert adjusted_v_measure(labels, half) == pytest.approx(corrected, abs=0.02)


def test_features_that_are_the_labels_cluster_perfectly():
    labels = np.arange(60) % 6
    for seed in range(3):
        assert v_measure(labels, kmeans_clusters(np.eye(6, dtype=np.float32)[labels], 6, seed)) == 1


def test_clusters_are_equal_for_equal_seeds_and_worse_for_worse_features():
    (sharp, labels), (vague, _) = blobs(200, 10), blobs(200, 10, spread=2)
    clusters = kmeans_clusters(sharp, 10, 4)
    assert clusters.tolist() == kmeans_clusters(sharp, 10, 4).tolist()
    assert v_measure(labels, clusters) > v_measure(labels, kmeans_clusters(vague, 10, 4)) + 0.2


def test_clusters_are_those_of_least_squares():
    features, labels = blobs(60, 3, spread=0.05)
    clusters = kmeans_clusters(features, 3, 0)
    centres = np.stack([features[clusters == cluster].mean(axis=0) for cluster in range(3)])
    assert (np.linalg.norm(features[:, None] - centres, axis=2).argmin(axis=1) == clusters).all()
    assert v_measure(labels, clusters) == pytest.approx(1)


@pytest.mark.parametrize(("num", "dimensions"), [(1, 4), (2, 4), (3, 1), (7, 4), (95, 3)])
def test_a_map_of_however_few_images_is_finite_and_repeatable(num, dimensions):
    features, _ = blobs(num, 2, dimensions=dimensions)
    placed = tsne(features, 3)
    assert (placed.shape, placed.dtype) == ((num, 2), np.float32)
    assert np.isfinite(placed).all()
    assert placed.tobytes() == tsne(features, 3).tobytes()


def test_constant_features_tell_nothing_and_lie_in_one_place():
    features, labels = np.full((12, 5), 0.3, dtype=np.float32), np.arange(12) % 3
    assert v_measure(labels, kmeans_clusters(features, 3, 0)) == 0
    assert not tsne(features, 0).any()


def test_a_map_keeps_far_classes_apart():
    features, labels = blobs(60, 3, spread=0.05)
    placed = tsne(features, 0)
    centres = np.stack([placed[labels == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(placed[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == labels).all()


def slow_most_confused(labels, predictions, most):
    """The greedy set by its words, a class at a time."""
    present = sorted(set(labels))

    def confusions(a, b):
        return sum({y, p} == {a, b} for y, p in zip(labels, predictions, strict=True))

    pairs = [(a, b) for a in present for b in present if a < b]
    taken = list(max(pairs, key=lambda pair: confusions(*pair))) if pairs else present[:1]
    while len(taken) < min(most, len(present)):
        others = [each for each in present if each not in taken]
        taken.append(max(others, key=lambda each: sum(confusions(each, other) for other in taken)))
    return sorted(taken)


@settings(deadline=None, derandomize=True)
@given(LABELS, st.integers(2, 5))
def test_the_most_confused_classes_are_the_greedy_set(pairs, most):
    labels, predictions = np.array(pairs).T
    assert most_confused(labels, predictions, 5, most).tolist() == slow_most_confused(*zip(*pairs, strict=True), most)


def test_without_confusions_the_first_classes_are_taken():
    labels = np.array([7, 1, 3, 5, 2, 0, 3])
    assert most_confused(labels, labels, 9).tolist() == [0, 1, 2, 3, 5]
