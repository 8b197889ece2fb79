import numpy as np
import pytest
from scipy import stats

from analysis.statistics.bootstrap import (
    DRAWN,
    ON_DEMAND,
    Estimate,
    accuracy_draws,
    draws_of,
    num_resamples,
    resample,
)
from kd_core.measure.balanced import balanced_accuracy
from kd_core.measure.calibration import equal_mass_bin_index
from kd_core.measure.predictions import RAW, SCALED, metrics_of, predictions_of
from tests.benchmarks.coverage.fronts import front_calibration
from tests.benchmarks.coverage.intervals import interval_coverage


def model(seed=0, size=300, sharpness=2.0, margin=1.5):
    generator = np.random.default_rng(seed)
    labels = generator.integers(5, size=size)
    logits = sharpness * (generator.normal(size=(size, 5)) + margin * np.eye(5)[labels])
    return predictions_of(logits, labels, temperature=1.7)


def test_resamples_are_a_function_of_two_numbers_and_draw_every_image_alike():
    counts = resample(200, 500)
    assert np.array_equal(counts, resample(200, 500))
    assert (counts.sum(axis=1) == 200).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(200), abs=0.25)
    assert counts.var() == pytest.approx(1 - 1 / 200, rel=0.02)


@pytest.mark.parametrize(("reading", "suffix"), [(RAW, ""), (SCALED, "_scaled")])
def test_draws_of_means_are_the_figures_of_the_resamples(reading, suffix):
    predictions, counts = model(), resample(300, 20)
    (draws,) = draws_of([predictions], counts)
    for row, weights in enumerate(counts):
        figures = metrics_of(predictions, reading, weights)
        for name in ("confidence", "nll", "brier"):
            assert draws[name + suffix][row] == pytest.approx(figures[name], abs=1e-7)
    assert draws["gap" + suffix] == pytest.approx(draws["confidence" + suffix] - draws["accuracy"])


@pytest.mark.parametrize("figure", ["aurc", "augrc"])
def test_draws_of_selective_classification_are_the_figure_of_the_resamples(figure):
    predictions, counts = model(), resample(300, 20)
    (draws,) = draws_of([predictions], counts, (*DRAWN, *ON_DEMAND))
    expected = [metrics_of(predictions, SCALED, weights)[figure] for weights in counts]
    assert draws[f"{figure}_scaled"] == pytest.approx(expected)


def test_debiased_draws_are_centred_on_the_figure_where_it_is_far_from_zero():
    predictions, counts = model(sharpness=5.0, size=2000), resample(2000, 400)
    (draws,) = draws_of([predictions], counts, ("ece_debiased",))
    figure = metrics_of(predictions)["ece_debiased"]
    assert figure > 0.1
    assert draws["ece_debiased"].mean() == pytest.approx(figure, rel=0.01)


def test_debiased_draws_subtract_twice_the_variance_of_each_bin_of_the_sample():
    """By the formula, bin by bin, of a resample that is the sample, and of one with only one image of the first bin."""
    predictions = model(sharpness=5.0, size=90)
    for name in (RAW, SCALED):
        confidence = predictions.readings[name].confidence.astype(float)
        index = equal_mass_bin_index(confidence)
        first = np.flatnonzero(index == 0)
        few = np.ones(90)
        few[first[1:]], few[-1] = 0, len(first)
        expected = []
        for weights in (np.ones(90), few):
            total = 0.0
            for each in np.unique(index):
                right, size = predictions.correct[index == each], np.sum(index == each)
                gap = np.average(right - confidence[index == each], weights=weights[index == each])
                variance = right.mean() * (1 - right.mean()) / (size - 1)
                total += weights[index == each].sum() / 90 * gap**2 - size / 90 * 2 * variance
            expected.append(np.sqrt(max(0, total)))
        (draws,) = draws_of([predictions], np.stack([np.ones(90), few]), ("ece_debiased",))
        assert draws["ece_debiased" + "_scaled" * (name == SCALED)] == pytest.approx(expected, rel=1e-5)


def test_draws_do_not_depend_on_the_models_beside_a_model():
    models, counts = [model(seed) for seed in range(20)], resample(300, 50)
    together = draws_of(models, counts)
    for position in (0, 7, 19):
        (alone,) = draws_of([models[position]], counts)
        assert all(np.array_equal(together[position][name], alone[name]) for name in alone)


def test_another_number_of_images_is_refused():
    with pytest.raises(ValueError, match="300 images beside one with 200"):
        draws_of([model(size=300)], resample(200, 10))


@pytest.mark.parametrize("wrong", [0, 1, 7, 60])
def test_accuracy_draws_of_a_model_are_those_of_jeffreys(wrong):
    counts = resample(60, 1000)
    correct = np.arange(60) >= wrong
    draws = accuracy_draws(correct.mean(keepdims=True), counts @ correct[:, None] / 60, 60, key=np.ones(1))
    quantiles = stats.beta.ppf([0.025, 0.5, 0.975], 60 - wrong + 0.5, wrong + 0.5)
    assert np.quantile(draws, [0.025, 0.5, 0.975]) == pytest.approx(quantiles, abs=0.003)


def test_accuracy_draws_are_paired_and_where_no_model_errs_they_differ():
    counts = resample(400, 1000)
    hard, none = np.arange(400) >= 40, np.ones(400, dtype=bool)
    draws = [
        accuracy_draws(each.mean(keepdims=True), counts @ each[:, None] / 400, 400, key=np.full(1, number))
        for number, each in enumerate((hard, hard, none, none))
    ]
    assert 0 < np.std(draws[0] - draws[1]) < 0.2 * np.std(draws[0])
    low, high = np.quantile(draws[2] - draws[3], [0.025, 0.975])
    assert (low, high) == pytest.approx((-2.2 / 400, 2.2 / 400), rel=0.15)  # half an error each, gamma distributed


def test_accuracy_draws_of_seeds_are_as_wide_as_their_mean_is():
    """Ten models that err on the same images say as much as one, ten that err on their own images say more."""
    counts, generator = resample(500, 1000), np.random.default_rng(0)
    same = np.repeat(np.arange(500)[:, None] >= 25, 10, axis=1)
    own = np.stack([generator.permutation(500) >= 25 for _ in range(10)], axis=1)
    widths = [
        np.ptp(np.quantile(accuracy_draws(each.mean(axis=0), counts @ each / 500, 500, each), [0.025, 0.975]))
        for each in (same, own)
    ]
    assert widths[0] == pytest.approx(np.ptp(stats.beta.ppf([0.025, 0.975], 25.5, 475.5)), rel=0.08)
    assert widths[1] < 0.5 * widths[0]


def test_no_interval_of_accuracy_has_no_width():
    certain = predictions_of(np.array([[9.0, 0.0]] * 60), np.zeros(60, dtype=int), temperature=1.0)
    (draws,) = draws_of([certain], resample(60, 400))
    estimate = Estimate.of(draws["accuracy"], 1.0)
    assert estimate.low == pytest.approx(0.959, abs=0.005)
    assert (estimate.value, estimate.high) == (1, 1)


def test_intervals_of_ece_cover_the_truth_where_percentiles_of_resamples_do_not():
    found = interval_coverage(0.02, 2000, "both signs", num_simulations=200, num_resamples=300)
    assert 0.90 <= found["coverage_ours"] <= 0.99
    assert found["coverage_percentile"] < found["coverage_ours"] - 0.1


def test_front_probabilities_are_what_they_say():
    found = front_calibration(num_sweeps=26, num_resamples=200, spreads=(0.2, 0.3))
    assert found["said_0.9_to_1_truly"] > 0.9
    assert 0.7 < found["said_0.7_to_0.9_truly"] < 0.95
    assert found["said_0_to_0.1_truly"] < 0.2
    assert found["truly_on_front_plausible"] > 0.94
    assert found["dominated_plausible"] < 0.9


def test_fewer_resamples_for_thousands_of_models():
    assert [num_resamples(count) for count in (0, 1, 1000, 2000, 10_000)] == [1000, 1000, 1000, 500, 400]


def test_an_estimate_of_missing_values_is_missing():
    assert np.isnan(Estimate.of(np.array([0.1, np.nan])).low)


def test_draws_of_balanced_accuracy_are_those_of_the_resamples():
    generator = np.random.default_rng(0)
    labels, logits = generator.integers(0, 4, 60), generator.normal(0, 1, (60, 4))
    predictions, counts = predictions_of(logits, labels, 1.0), resample(60, 50)
    draws = draws_of([predictions], counts, ["balanced_accuracy"])[0]["balanced_accuracy"]
    np.testing.assert_allclose(draws, [balanced_accuracy(predictions.correct, labels, row) for row in counts])
