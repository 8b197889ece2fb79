import numpy as np
import pytest

from kd_core.config.evaluation import EvaluateConfig
from kd_core.measure.clusters import adjusted_v_measure, kmeans_clusters, v_measure
from kd_core.reliability.evaluator import Model, Outputs
from kd_core.reliability.geometry import GEOMETRY, NUM_STARTS, PAPER_CLASSES, chosen_classes
from kd_core.reliability.registry import EVALUATORS

NUM_CLASSES = 8
NAMES = ("apple", "baby", "boy", "cat", "girl", "man", "tree", "woman")


def model(num: int = 120, names: tuple[str, ...] = (), left_out: tuple[int, ...] = (), seed: int = 0) -> Model:
    """A model with random features and logits that are right more often than not."""
    generator = np.random.default_rng(seed)
    labels = np.array([k for k in np.arange(num) % NUM_CLASSES if k not in left_out])
    right = np.eye(NUM_CLASSES)[labels]
    features = np.concatenate([right, generator.normal(size=(len(labels), 6))], axis=1).astype(np.float32)
    logits = (2 * right + generator.normal(size=right.shape)).astype(np.float32)
    return Model({"clean": Outputs(logits, labels, features=features)}, 1.0, names)


def figures(model, teacher=None, **options):
    return dict(GEOMETRY.evaluate(model, teacher, EvaluateConfig(**options)))


def test_it_is_registered():
    assert EVALUATORS["geometry"] is GEOMETRY
    assert GEOMETRY.inputs == ("clean",)


def test_the_figures_are_those_of_k_means_and_of_the_chosen_images():
    judged = model(names=NAMES)
    clean, found = judged.outputs["clean"], figures(judged, classes=("tree", "cat"))
    assert found["chosen"].tolist() == [6, 3]
    seeds = np.random.SeedSequence(0).generate_state(NUM_STARTS)
    starts = [kmeans_clusters(clean.features, NUM_CLASSES, seed) for seed in seeds]
    scores = [v_measure(clean.labels, clusters) for clusters in starts]
    adjusted = [adjusted_v_measure(clean.labels, clusters) for clusters in starts]
    assert found["geometry/v_measure"] == pytest.approx(np.mean(scores))
    assert found["geometry/v_measure_sd"] == pytest.approx(np.std(scores, ddof=1))
    assert found["geometry/v_measure_adjusted"] == pytest.approx(np.mean(adjusted))
    drawn = (clean.labels == 6) | (clean.labels == 3)
    right = clean.logits.argmax(axis=1) == clean.labels
    assert found["geometry/accuracy_chosen"] == pytest.approx(right[drawn].mean())
    of_chosen = [v_measure(clean.labels[drawn], kmeans_clusters(clean.features[drawn], 2, seed)) for seed in seeds]
    assert found["geometry/v_measure_chosen"] == pytest.approx(np.mean(of_chosen))
    assert found["embedding"].shape == (drawn.sum(), 2)
    assert found["chosen"][found["embedding_label"]].tolist() == clean.labels[drawn].tolist()


def test_features_that_are_the_labels_are_perfect():
    labels = np.arange(80) % NUM_CLASSES
    right = np.eye(NUM_CLASSES, dtype=np.float32)[labels]
    found = figures(Model({"clean": Outputs(right, labels, features=right)}, 1.0))
    assert [found[f"geometry/{name}"] for name in ("v_measure", "v_measure_chosen", "accuracy_chosen")] == [1, 1, 1]
    assert found["geometry/v_measure_sd"] == 0


def test_equal_seeds_give_equal_bits_and_other_seeds_other_starts():
    first, again, other = figures(model()), figures(model()), figures(model(), seed=2**40)
    assert {name: np.asarray(value).tobytes() for name, value in first.items()} == {
        name: np.asarray(value).tobytes() for name, value in again.items()
    }
    assert first["geometry/v_measure"] != other["geometry/v_measure"]


@pytest.mark.parametrize("left_out", [(), (1,), (1, 2, 4), tuple(range(1, NUM_CLASSES))])
@pytest.mark.parametrize("num", [8, 16, 40])
def test_few_images_and_missing_classes_give_finite_figures(num, left_out):
    found = figures(model(num, NAMES, left_out))
    assert all(np.isfinite(value).all() for name, value in found.items() if name != "chosen_names")
    assert list(found["chosen_names"]) == [NAMES[number] for number in found["chosen"]]
    assert ("embedding" in found) == (len(left_out) < NUM_CLASSES - 1)  # the only class left is none of the paper's


def test_the_classes_of_the_paper_are_chosen_where_the_data_have_them():
    assert [NAMES[k] for k in chosen_classes(model(names=NAMES), ())] == list(PAPER_CLASSES)


def test_else_the_teacher_s_most_confused_classes_are():
    labels = np.repeat(np.arange(NUM_CLASSES), 10)
    predictions = np.where(labels > 3, np.where(np.arange(80) % 2, labels, 4 + (labels + 1) % 4), labels)
    logits = np.eye(NUM_CLASSES, dtype=np.float32)[predictions]
    student = model(80)
    teacher = Model({"clean": Outputs(logits, labels, features=logits)}, 1.0)
    assert set(figures(student, teacher)["chosen"]) > {4, 5, 6, 7}
    assert figures(student, teacher)["chosen"].tolist() == figures(teacher)["chosen"].tolist()


def test_a_name_that_is_no_class_is_named():
    with pytest.raises(ValueError, match="dog: no such class among apple, baby"):
        chosen_classes(model(names=NAMES), ("cat", "dog"))
