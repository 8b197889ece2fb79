import numpy as np
import pytest
from scipy.special import softmax

from kd_core.measure import conformal
from kd_core.measure.conformal import COVERAGE, conformal_sets, cross_conformal_sets


def split(num: int, seed: int = 0, sharpness: float = 1.0, num_classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [N, K] and labels [N] drawn from those of sharpness 1."""
    generator = np.random.default_rng(seed)
    logits = 2 * generator.normal(size=(num, num_classes))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    labels = (cumulative < generator.random((num, 1))).sum(axis=1).clip(max=num_classes - 1)
    return softmax(sharpness * logits, axis=1), labels


def shares(num: int) -> list[float]:
    """The random share of each of N images."""
    return [int(raw >> 11) * 2.0**-53 for raw in np.random.Philox(key=num).random_raw(num).tolist()]


def score(probabilities: np.ndarray, share: float, label: int) -> float:
    """The score of one class of one image, the slow way."""
    order = sorted(range(len(probabilities)), key=lambda k: (-probabilities[k], k))
    likelier = order[: order.index(label)]
    return sum(probabilities[k] for k in likelier) + (1 - share) * probabilities[label]


def slow_sets(calibration, images):
    """The sets by the definition, an image and a class at a time."""
    known = zip(calibration[0], shares(len(calibration[1])), calibration[1], strict=True)
    scores = sorted(score(p, u, y) for p, u, y in known)
    rank = int(np.ceil(COVERAGE * (len(scores) + 1)))
    threshold = scores[rank - 1] if rank <= len(scores) else np.inf
    sets = [
        [k for k in range(len(p)) if score(p, u, k) <= threshold + 1e-12]
        for p, u in zip(images[0], shares(len(images[1])), strict=True)
    ]
    return [len(each) for each in sets], [y in each for each, y in zip(sets, images[1], strict=True)]


@pytest.mark.parametrize("num", [5, 9, 40])
def test_sets_equal_their_definition(num, monkeypatch):
    monkeypatch.setattr(conformal, "_CHUNK", 7)
    calibration, images = split(num), split(30, seed=1)
    set_size, in_set = conformal_sets(calibration, images)
    slow_size, slow_in = slow_sets(calibration, images)
    assert set_size.tolist() == slow_size
    assert in_set.tolist() == slow_in
    if num < 9:
        assert set_size.tolist() == [6] * 30  # too few images to promise anything


def test_the_halves_of_a_split_calibrate_each_other():
    probabilities, labels = split(41)
    set_size, in_set = cross_conformal_sets(probabilities, labels)
    drawn = shares(41)
    for half in (0, 1):
        others = range(1 - half, 41, 2)
        scores = sorted(score(probabilities[i], drawn[i], labels[i]) for i in others)
        threshold = scores[int(np.ceil(COVERAGE * (len(scores) + 1))) - 1]
        for i in range(half, 41, 2):
            members = [k for k in range(6) if score(probabilities[i], drawn[i], k) <= threshold + 1e-12]
            assert set_size[i] == len(members)
            assert in_set[i] == (labels[i] in members)


@pytest.mark.parametrize("sharpness", [0.3, 1.0, 3.0])
def test_sets_hold_the_label_in_nine_of_ten_images_however_confident_the_model(sharpness):
    shown = [conformal_sets(split(300, 2 * n, sharpness), split(300, 2 * n + 1, sharpness)) for n in range(60)]
    covered, size = np.mean([in_set for _, in_set in shown]), np.mean([size for size, _ in shown])
    assert covered == pytest.approx(0.9 + 0.5 / 301, abs=0.006)
    crossed = [cross_conformal_sets(*split(300, n, sharpness)) for n in range(60)]
    assert np.mean([in_set for _, in_set in crossed]) == pytest.approx(0.9 + 0.5 / 151, abs=0.01)
    assert np.mean([size for size, _ in crossed]) == pytest.approx(size, rel=0.03)


def test_the_better_model_needs_fewer_classes():
    sizes = []
    for noise in (0.0, 1.0, 3.0):
        (first, labels), (second, others) = split(2000), split(2000, seed=1)
        blurred = [
            softmax(np.log(p) + noise * np.random.default_rng(5).normal(size=p.shape), axis=1) for p in (first, second)
        ]
        sizes.append(conformal_sets((blurred[0], labels), (blurred[1], others))[0].mean())
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.8 * sizes[2]
