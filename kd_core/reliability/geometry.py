"""Geometry: whether the features before the last layer fall into classes, and what confused classes look like there.

V-measure is that of k-means, with a cluster for each class that has images, over NUM_STARTS starts: their mean and
standard deviation. A t-SNE map, which is for the eye only, has none.
"""

import numpy as np

from kd_core.config.evaluation import EvaluateConfig
from kd_core.measure.clusters import adjusted_v_measure, kmeans_clusters, most_confused, tsne, v_measure
from kd_core.reliability.evaluator import Evaluator, Figures, Model

NUM_STARTS = 10
PAPER_CLASSES = ("baby", "boy", "girl", "man", "woman")  # of CIFAR-100; Medina 2026, Figures 7 and 8


def _figures(model: Model, teacher: Model | None, options: EvaluateConfig) -> Figures:
    clean = model.outputs["clean"]
    features, labels = clean.features, clean.labels
    assert features is not None
    seeds = np.random.SeedSequence(options.seed).generate_state(NUM_STARTS)
    starts = _starts(features, labels, seeds)
    scores = [v_measure(labels, clusters) for clusters in starts]
    yield "geometry/v_measure", float(np.mean(scores))
    yield "geometry/v_measure_sd", float(np.std(scores, ddof=1))
    yield "geometry/v_measure_adjusted", float(np.mean([adjusted_v_measure(labels, clusters) for clusters in starts]))
    chosen = chosen_classes(teacher or model, options.classes)
    yield "chosen", chosen
    if model.class_names:
        yield "chosen_names", np.array([model.class_names[number] for number in chosen.tolist()])
    drawn = np.isin(labels, chosen)
    if not drawn.any():
        return
    features, labels, logits = features[drawn], labels[drawn], clean.logits[drawn]
    scores = [v_measure(labels, clusters) for clusters in _starts(features, labels, seeds)]
    yield "geometry/v_measure_chosen", float(np.mean(scores))
    yield "geometry/accuracy_chosen", float(np.mean(logits.argmax(axis=1) == labels))
    yield "embedding", tsne(features, seeds[0])
    yield "embedding_label", (labels[:, None] == chosen).argmax(axis=1)


def _starts(features: np.ndarray, labels: np.ndarray, seeds: np.ndarray) -> list[np.ndarray]:
    """The clusters [N] of each start."""
    num_classes = len(np.unique(labels))
    return [kmeans_clusters(features, num_classes, seed) for seed in seeds]


def chosen_classes(model: Model, names: tuple[str, ...]) -> np.ndarray:
    """The classes, int64 [k], whose features are drawn: those of these names, in their order.

    Without names they are the paper's where the data have them, else the five that this model confuses most often; a
    student is asked about those of its teacher, so that both can be compared. Raises ValueError on a name that is none.
    """
    names = names or (PAPER_CLASSES if set(PAPER_CLASSES) <= set(model.class_names) else ())
    if not names:
        clean = model.outputs["clean"]
        return most_confused(clean.labels, clean.logits.argmax(axis=1), clean.logits.shape[1])
    unknown = sorted(set(names) - set(model.class_names))
    if unknown:
        raise ValueError(f"classes: {', '.join(unknown)}: no such class among {', '.join(model.class_names)}")
    return np.array([model.class_names.index(name) for name in names])


GEOMETRY = Evaluator(
    name="geometry",
    source="Medina 2026, appendix A; Rosenberg & Hirschberg 2007; van der Maaten & Hinton 2008",
    inputs=("clean",),
    evaluate=_figures,
    options=("classes", "seed"),
    headlines={"geometry/v_measure": "V-measure"},
    place=3,
)
