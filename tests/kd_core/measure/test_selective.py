from itertools import pairwise, permutations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from kd_core.measure.calibration import area_under_risk_coverage
from kd_core.measure.selective import area_under_generalized_risk_coverage, excess_area_under_risk_coverage


def sample(num: int = 80, seed: int = 0, steps: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Confidence [N], of so many values if steps is given, and correctness [N], which follows it."""
    generator = np.random.default_rng(seed)
    confidence = generator.random(num)
    correct = generator.random(num) < confidence
    return confidence if steps is None else np.ceil(steps * confidence) / steps, correct


def by_definition(confidence, correct):
    """The trapezoids under (coverage, accepted errors / N), a threshold at a time."""
    points = [(0.0, 0.0)]
    for threshold in sorted(set(confidence), reverse=True):
        accepted = [hit for sure, hit in zip(confidence, correct, strict=True) if sure >= threshold]
        points.append((len(accepted) / len(correct), sum(not hit for hit in accepted) / len(correct)))
    return sum((x - w) * (y + v) / 2 for (w, v), (x, y) in pairwise(points))


@pytest.mark.parametrize("steps", [None, 5, 1])
@pytest.mark.parametrize("seed", range(3))
def test_augrc_equals_its_definition_and_its_closed_form(seed, steps):
    confidence, correct = sample(seed=seed, steps=steps)
    ours = area_under_generalized_risk_coverage(confidence, correct)
    assert ours == pytest.approx(by_definition(confidence, correct), abs=1e-12)
    accuracy, auroc = correct.mean(), roc_auc_score(correct, confidence)
    assert ours == pytest.approx((1 - auroc) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2, abs=1e-12)


def test_augrc_has_its_bounds_at_the_best_and_the_worst_order():
    correct = np.arange(10) < 7
    best = area_under_generalized_risk_coverage(np.where(correct, 0.9, 0.1), correct)
    worst = area_under_generalized_risk_coverage(np.where(correct, 0.1, 0.9), correct)
    assert (best, worst) == pytest.approx((0.3**2 / 2, 0.3 - 0.3**2 / 2))


def test_integer_weights_equal_repetition():
    confidence, correct = sample(steps=7)
    counts = np.random.default_rng(1).integers(0, 4, len(correct))
    rows = np.repeat(np.arange(len(correct)), counts)
    expected = area_under_generalized_risk_coverage(confidence[rows], correct[rows])
    assert area_under_generalized_risk_coverage(confidence, correct, counts) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("steps", [None, 5])
def test_excess_aurc_is_none_of_a_perfect_order_and_the_difference_from_the_best_of_all(steps):
    confidence, correct = sample(num=7, seed=1, steps=steps)
    assert excess_area_under_risk_coverage(np.where(correct, 0.9, 0.1), correct) == 0
    assert excess_area_under_risk_coverage(np.where(correct, 0.9, 0.8) * confidence, np.ones(7, dtype=bool)) == 0
    best = min(area_under_risk_coverage(np.array(order) / 7, correct) for order in permutations(range(7)))
    ours = excess_area_under_risk_coverage(confidence, correct)
    assert ours == pytest.approx(area_under_risk_coverage(confidence, correct) - best, abs=1e-12)
