"""How features lie: whether clusters of them are the classes, which classes are confused, and maps in the plane.

Scikit-learn gets one thread: several add up in an order of their own, so that equal input would not give equal bits.
"""

import warnings

import numpy as np
from threadpoolctl import threadpool_limits

_PERPLEXITY = 30.0


def v_measure(labels: np.ndarray, clusters: np.ndarray) -> float:
    """How well clusters [N] agree with labels [N], from 0 to 1, whatever both are called (Rosenberg & Hirschberg 2007).

    It is the harmonic mean of homogeneity (a cluster holds one class) and completeness (a class is in one cluster),
    each one less a conditional entropy by its entropy; that is 2 − 2·H(both) / (H(labels) + H(clusters)). One class in
    one cluster is perfect. Chance is not 0: of 1,000 images of 100 classes, 100 random clusters reach .51.
    """
    apart = _entropy(labels) + _entropy(clusters)
    together = _entropy(np.stack([labels, clusters], axis=1))
    return float(np.clip(2 - 2 * together / apart, 0, 1)) if apart > 0 else 1.0


def adjusted_v_measure(labels: np.ndarray, clusters: np.ndarray) -> float:
    """The V-measure of clusters [N] with labels [N] on a scale where chance is 0 and perfection 1; worse is negative.

    Chance is what the same sizes of classes and clusters give on average in a random order. So corrected, V-measure is
    the adjusted mutual information (Vinh, Epps & Bailey 2010).
    """
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(labels, clusters))


def kmeans_clusters(features: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """The cluster, int [N], of each of features [N, D] by k-means, equal for equal seeds.

    A seed is one start of Lloyd's algorithm from centres of k-means++ (Arthur & Vassilvitskii 2007). Features are not
    standardised: the last layer reads them in one unit, and z-scores would give those that tell nothing the weight of
    those that separate classes (Milligan & Cooper 1988).
    """
    from sklearn.cluster import KMeans  # takes a second, which only an evaluation spends
    from sklearn.exceptions import ConvergenceWarning

    kmeans = KMeans(num_clusters, n_init="auto", max_iter=100, random_state=int(seed))  # auto is one start
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer distinct features than clusters
        return kmeans.fit_predict(features)


def tsne(features: np.ndarray, seed: int) -> np.ndarray:
    """A map float32 [N, 2] of features [N, D] by t-SNE (van der Maaten & Hinton 2008), equal for equal seeds.

    It begins with the first two principal components, so that far groups stay apart (Kobak & Berens 2019). The
    perplexity is 30, less for fewer than 91 images. Images that are all the same lie in one place.
    """
    from sklearn.manifold import TSNE

    if not np.ptp(features, axis=0).any():
        return np.zeros((len(features), 2), dtype=np.float32)
    mapping = TSNE(
        perplexity=min(_PERPLEXITY, (len(features) - 1) / 3),
        init="pca" if min(features.shape) > 1 else "random",
        learning_rate="auto",
        random_state=int(seed),
    )
    with threadpool_limits(1):
        return np.asarray(mapping.fit_transform(features), dtype=np.float32)


def most_confused(labels: np.ndarray, predictions: np.ndarray, num_classes: int, most: int = 5) -> np.ndarray:
    """At most so many classes, int64 ascending, that are often confused with each other, of those that labels have.

    It begins with the pair of most confusions, of either for the other, in labels [N] and predictions [N], and adds
    the class of most confusions with those taken. Ties go to the lowest class.
    """
    counts = np.bincount(labels * num_classes + predictions, minlength=num_classes**2).reshape(num_classes, -1)
    confusions = counts + counts.T
    np.fill_diagonal(confusions, -1)
    present = np.unique(labels)
    between = confusions[np.ix_(present, present)]
    taken = list(dict.fromkeys(np.unravel_index(between.argmax(), between.shape)))
    while len(taken) < min(most, len(present)):
        gains = between[:, taken].sum(axis=1)
        gains[taken] = -1
        taken.append(gains.argmax())
    return present[np.sort(taken)]


def _entropy(values: np.ndarray) -> float:
    """The entropy, in nats, of how often each of values [N] or [N, 2] comes."""
    counts = np.unique(values, axis=0, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-shares @ np.log(shares))
