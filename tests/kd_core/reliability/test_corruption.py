import numpy as np
import pytest
from scipy.special import softmax

from kd_core.measure.absolute_gaps import absolute_gap_draws
from kd_core.measure.calibration import NUM_BINS, expected_calibration_error
from kd_core.measure.resampling import gaps_by_bin, resample_counts, resampled_means
from kd_core.reliability.corruption import CORRUPTION
from tests.kd_core.reliability.models import (
    CLASSES,
    IMAGES,
    LABELS,
    OPTIONS,
    assert_finite,
    changed,
    figures,
    metrics,
    model,
)


def test_a_model_has_these_metrics():
    ours = metrics(figures(CORRUPTION, model()))
    with_ends = [f"{name}{end}" for name in ("accuracy", "ece", "ece_scaled") for end in ("", "_low", "_high")]
    clean = ["clean_accuracy", "clean_ece", "clean_ece_scaled"]
    assert set(ours) == {f"corruption/{name}" for name in with_ends + clean}
    assert CORRUPTION.objectives == {
        "corruption/accuracy": "max",
        "corruption/ece": "min",
        "corruption/ece_scaled": "min",
    }


@pytest.mark.parametrize(("suffix", "temperature"), [("", 1.0), ("_scaled", 2.0)])
def test_cells_equal_their_definitions_and_means_are_of_cells(suffix, temperature):
    student = model(temperature=2.0)
    ours = figures(CORRUPTION, student)
    said = softmax(student.outputs["corrupted"].logits.astype(np.float64) / temperature, axis=-1)
    correct = said.argmax(axis=-1) == LABELS
    np.testing.assert_array_equal(ours["correct"], correct)
    np.testing.assert_allclose(ours["accuracy"], correct.mean(axis=-1))
    for cell in np.ndindex(2, 3):
        expected = expected_calibration_error(said[cell].max(axis=-1), correct[cell])
        assert ours[f"ece{suffix}"][cell] == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(ours[f"ece{suffix}_mean"], ours[f"ece{suffix}"].mean(axis=1))
    np.testing.assert_allclose(ours["accuracy_mean"], ours["accuracy"].mean(axis=1))
    assert ours[f"corruption/ece{suffix}"] == pytest.approx(ours[f"ece{suffix}"].mean())
    assert ours["corruption/accuracy"] == pytest.approx(ours["accuracy"].mean())
    clean = softmax(student.outputs["clean"].logits.astype(np.float64) / temperature, axis=-1)
    right = clean.argmax(axis=-1) == LABELS
    np.testing.assert_array_equal(ours["clean_correct"], right)
    assert ours["corruption/clean_accuracy"] == right.mean()
    expected = expected_calibration_error(clean.max(axis=-1), right)
    assert ours[f"corruption/clean_ece{suffix}"] == pytest.approx(expected)


def test_cells_are_named():
    ours = figures(CORRUPTION, model())
    assert ours["corruption"].tolist() == ["fog", "contrast"]
    assert ours["severity"].tolist() == [1, 2, 3]
    assert (ours["correct"].dtype, ours["correct"].shape) == (bool, (2, 3, IMAGES))


def test_intervals_hold_their_figure_and_are_the_same_each_time():
    ours, again = (figures(CORRUPTION, model()) for _ in range(2))
    for name, value in ours.items():
        np.testing.assert_array_equal(value, again[name])
        if f"{name}_low" in ours:
            assert np.all(ours[f"{name}_low"] <= value)
            assert np.all(value <= ours[f"{name}_high"])
    other = figures(CORRUPTION, model(), options=OPTIONS.model_copy(update={"seed": 1}))
    assert other["corruption/accuracy_low"] != ours["corruption/accuracy_low"]


def test_the_interval_of_accuracy_is_of_the_mean_over_all_cells():
    ours, counts = figures(CORRUPTION, model()), resample_counts(IMAGES, OPTIONS.resamples, OPTIONS.seed)
    draws = [np.repeat(ours["correct"], row.astype(int), axis=-1).mean() for row in counts]
    ends = ours["corruption/accuracy_low"], ours["corruption/accuracy_high"]
    assert ends == pytest.approx(np.quantile(draws, [0.025, 0.975]))


@pytest.mark.parametrize(("suffix", "temperature"), [("", 1.0), ("_scaled", 2.0)])
def test_the_interval_of_ece_is_that_of_all_cells_as_one_sum_of_gaps(suffix, temperature):
    student = model(temperature=2.0)
    said = softmax(student.outputs["corrupted"].logits.astype(np.float64) / temperature, axis=-1)
    gaps = gaps_by_bin(said.max(axis=-1), said.argmax(axis=-1) == LABELS).reshape(6, NUM_BINS, IMAGES)
    counts = resample_counts(IMAGES, OPTIONS.resamples, OPTIONS.seed)
    low, high = np.quantile(absolute_gap_draws(gaps.mean(axis=-1), resampled_means(gaps, counts)), [0.025, 0.975])
    ours = figures(CORRUPTION, student)
    value = ours[f"corruption/ece{suffix}"]
    assert ours[f"corruption/ece{suffix}_low"] == pytest.approx(min(low, value))
    assert ours[f"corruption/ece{suffix}_high"] == pytest.approx(max(high, value))


def test_images_are_resampled_together_in_all_cells():
    student = model()
    one = student.outputs["corrupted"].logits[:1, :1]
    alike = changed(student, "corrupted", np.broadcast_to(one, (2, 3, IMAGES, CLASSES)))
    ours = figures(CORRUPTION, alike)
    assert ours["accuracy_mean_low"].tolist() == [ours["corruption/accuracy_low"]] * 2
    width = ours["corruption/accuracy_high"] - ours["corruption/accuracy_low"]
    deviation = np.sqrt(ours["accuracy"][0, 0] * (1 - ours["accuracy"][0, 0]) / IMAGES)
    assert width == pytest.approx(2 * 1.96 * deviation, rel=0.2)  # six copies of a set are no more images


def test_huge_logits_give_finite_figures():
    assert_finite(figures(CORRUPTION, model(scale=1e5, temperature=0.05)))
