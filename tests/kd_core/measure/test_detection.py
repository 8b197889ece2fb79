import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax
from sklearn.metrics import roc_auc_score, roc_curve

from kd_core.measure.detection import auroc, fpr95, maximum_probability, negative_energy

SCORED = st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5]) | st.floats(-1e3, 1e3), st.booleans()), min_size=2)


def columns(scored):
    """Score and positive [N], at least one of each kind."""
    score, positive = (np.array(column) for column in zip(*scored, strict=True))
    positive[:2] = True, False
    return score, positive


@given(SCORED)
def test_auroc_equals_scikit_learn_and_a_loop_over_pairs(scored):
    score, positive = columns(scored)
    won = [(a > b) + (a == b) / 2 for a in score[positive] for b in score[~positive]]
    assert auroc(score, positive) == pytest.approx(np.mean(won), abs=1e-12)
    assert auroc(score, positive) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


@given(SCORED)
def test_fpr95_equals_the_curve_of_scikit_learn(scored):
    score, positive = columns(scored)
    false, true, _ = roc_curve(positive, score, drop_intermediate=False)
    assert fpr95(score, positive) == pytest.approx(false[true >= 0.95].min(), abs=1e-12)


@pytest.mark.parametrize("num", [1, 19, 20, 21, 40, 60, 100, 180])
def test_fpr95_accepts_just_95_per_cent_of_the_positives(num):
    score = np.arange(num, dtype=float)
    needed = next(count for count in range(num + 1) if 100 * count >= 95 * num)
    negatives = np.array([num - needed, num - needed - 0.5])
    both = np.concatenate([score, negatives])
    assert fpr95(both, np.arange(len(both)) < num) == 0.5


def test_a_perfect_score_and_its_opposite():
    positive = np.array([True, True, False])
    assert (auroc(positive * 1.0, positive), fpr95(positive * 1.0, positive)) == (1, 0)
    assert (auroc(-1.0 * positive, positive), fpr95(-1.0 * positive, positive)) == (0, 1)
    assert auroc(np.zeros(3), positive) == 0.5


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("figure", [auroc, fpr95])
def test_without_both_kinds_there_is_no_figure(figure, positive):
    assert np.isnan(figure(np.arange(3.0), np.full(3, positive)))


@pytest.mark.parametrize("temperature", [1.0, 0.3, 7.0])
def test_scores_equal_their_definitions(temperature):
    logits = 10 * np.random.default_rng(0).normal(size=(2, 3, 50, 6)).astype(np.float32)
    expected = softmax(logits.astype(np.float64) / temperature, axis=-1).max(axis=-1)
    np.testing.assert_allclose(maximum_probability(logits, temperature), expected, rtol=1e-12)
    energy = temperature * logsumexp(logits[0, 0].astype(np.float64) / temperature, axis=-1)
    np.testing.assert_allclose(negative_energy(logits[0, 0], temperature), energy)


def test_huge_logits_give_finite_scores():
    logits = 1e5 * np.random.default_rng(0).normal(size=(50, 6))
    assert np.isfinite(negative_energy(logits, 0.05)).all()
    assert (maximum_probability(logits, 0.05) <= 1).all()
