import numpy as np
import pytest
from scipy.special import softmax

from analysis.statistics import classwise
from analysis.statistics.bootstrap import DRAWN, Estimate, draws_of, resample
from analysis.statistics.classwise import classwise_gaps
from kd_core.measure.calibration import classwise_ece
from kd_core.measure.predictions import SCALED, predictions_of


def model(num: int = 300, num_classes: int = 5, seed: int = 0, scale: float = 1.0):
    """Logits that are calibrated at scale 1, and labels."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num, num_classes)) * 2
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    labels = (cumulative < generator.random((num, 1))).sum(axis=1).clip(max=num_classes - 1)
    return (scale * logits).astype(np.float32), labels


def test_the_gaps_add_up_to_the_classwise_ece_of_sample_and_resamples(monkeypatch):
    monkeypatch.setattr(classwise, "_CLASSES_AT_ONCE", 2)
    (logits, labels), counts = model(), resample(300, 10)
    observed, resampled = classwise_gaps(logits, labels, counts)
    probabilities = softmax(logits.astype(np.float64), axis=1)
    assert np.abs(observed).sum() == pytest.approx(classwise_ece(probabilities, labels))
    expected = [classwise_ece(probabilities, labels, weights=weights) for weights in counts]
    np.testing.assert_allclose(np.abs(resampled).sum(axis=1), expected)


def test_draws_need_logits_and_follow_the_temperature():
    logits, labels = model(scale=3.0)
    counts, figures = resample(300, 400), (*DRAWN, "classwise_ece")
    whole, light = (predictions_of(logits, labels, 3.0, keep_logits=kept) for kept in (True, False))
    first, second = draws_of([whole, light], counts, figures)
    assert np.isnan(second["classwise_ece"]).all()
    raw, scaled = Estimate.of(first["classwise_ece"]), Estimate.of(first["classwise_ece_scaled"])
    assert raw.low > scaled.high
    assert scaled.low == 0  # calibrated: what is seen is noise
    assert raw.value < classwise_ece(softmax(logits, axis=1), labels)
    assert first["classwise_ece_scaled"].mean() < classwise_ece(softmax(logits / 3, axis=1), labels) / 2
    assert whole.readings[SCALED].classwise_ece is None


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_intervals_cover_the_true_classwise_ece(scale):
    large, targets = model(num=60_000, seed=99, scale=scale)
    truth = classwise_ece(softmax(large, axis=1), targets) if scale > 1 else 0.0
    counts, covered = resample(300, 200), 0
    for seed in range(30):
        (draws,) = draws_of([predictions_of(*model(seed=seed, scale=scale), 1.0)], counts, (*DRAWN, "classwise_ece"))
        estimate = Estimate.of(draws["classwise_ece"])
        covered += estimate.low <= truth <= estimate.high
    assert covered >= 25
