import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.runs import runs_of
from analysis.snapshot import read_sweep
from analysis.statistics.bootstrap import DRAWN
from analysis.statistics.evidence import _choices, _SeedNoise, evidence_of
from kd_core.measure.predictions import predictions_of, summary_of

NUM_IMAGES, NUM_CLASSES = 1500, 4


def simulated(seed_effects, generator, hardness=0.0):
    """Runs and predictions of arms whose seeds shift the logits of the right class by seed_effects[arm][seed]."""
    labels = np.random.default_rng(5).integers(NUM_CLASSES, size=NUM_IMAGES)
    shared = generator.normal(size=(NUM_IMAGES, NUM_CLASSES))
    rows, predictions = [], {}
    for arm, effects in seed_effects.items():
        for seed, effect in enumerate(effects):
            noise = hardness * shared + np.sqrt(1 - hardness**2) * generator.normal(size=shared.shape)
            logits = noise + (1.5 + effect) * np.eye(NUM_CLASSES)[labels]
            key = f"{arm}-{seed}"
            predictions[key] = predictions_of(logits, labels, temperature=1.0)
            figures = summary_of({"test": predictions[key]})
            gaps = {f"test/abs_gap{suffix}": abs(figures[f"test/gap{suffix}"]) for suffix in ("", "_scaled")}
            rows.append({"arm": arm, "trial": key, "status": "finished"} | figures | gaps)
    return pd.DataFrame(rows), predictions


def evidence(seed_effects, generator=None, hardness=0.0):
    runs, predictions = simulated(seed_effects, generator or np.random.default_rng(0), hardness)
    return evidence_of(runs, "test", predictions.__getitem__, num_resamples=400)


def test_every_arm_has_an_estimate_of_every_figure(store):
    runs = runs_of(read_sweep(store, "demo"))
    found = evidence_of(runs, "validation", lambda key: store.trial(key).predictions("validation"), 100)
    assert found.arms == runs["arm"].drop_duplicates().tolist()
    assert found.num_seeds["mixup"] == 1  # the other seed has failed
    assert set(found.draws) == {*DRAWN, *(f"{name}_scaled" for name in DRAWN if name != "accuracy")}
    accuracy = runs.loc[(runs["arm"] == "classic"), "validation/accuracy"].mean()
    assert found.estimate("accuracy", "classic").value == pytest.approx(accuracy)
    for name in ("accuracy", "confidence", "gap", "nll", "brier"):
        estimate = found.estimate(name, "classic")
        assert estimate.low < estimate.value < estimate.high, name


def test_without_a_finished_run_there_is_no_evidence(store):
    assert evidence_of(runs_of(read_sweep(store, "demo")).assign(status="failed"), "test", None, 100) is None


def test_intervals_end_where_figures_do():
    """Seeds that differ much, among arms that are nearly always right."""
    generator = np.random.default_rng(2)
    found = evidence({f"arm {number}": generator.normal(6.0, 2.0, size=2).tolist() for number in range(8)})
    assert found.draws["accuracy"].max() == 1
    assert all(found.draws[name].max() <= 1 for name in DRAWN if name.partition("_")[0] not in ("nll", "brier"))
    assert all(found.draws[name].min() >= 0 for name in DRAWN if name != "gap")


def test_differences_of_arms_that_err_on_the_same_images_are_sharper():
    apart, alike = (evidence({"a": [0.0], "b": [0.1]}, hardness=hardness) for hardness in (0.0, 0.98))
    widths = [each.difference("accuracy", "a", "b") for each in (apart, alike)]
    assert widths[1].high - widths[1].low < 0.5 * (widths[0].high - widths[0].low)


def test_the_deviation_between_seeds_is_found_beyond_that_of_images():
    generator = np.random.default_rng(3)
    different = {f"arm {number}": generator.normal(scale=0.4, size=3).tolist() for number in range(20)}
    equal = {name: [0.0, 0.0, 0.0] for name in different}
    found, none = evidence(different, generator), evidence(equal, generator)
    chances = [simulated({"a": [effect]}, np.random.default_rng(0))[0]["test/accuracy"][0] for effect in (-0.4, 0.4)]
    assert found.seed_deviation["accuracy"] == pytest.approx((chances[1] - chances[0]) / 2, rel=0.3)
    assert none.seed_deviation["accuracy"] < 0.1 * found.seed_deviation["accuracy"]
    widths = [each.estimate("accuracy", "arm 1") for each in (found, none)]
    assert widths[0].high - widths[0].low > 2 * (widths[1].high - widths[1].low)


def test_without_replicates_the_deviation_of_seeds_is_unknown():
    assert np.isnan(evidence({"a": [0.0], "b": [0.1]}).seed_deviation["ece"])


def test_draws_of_an_arm_do_not_change_with_arms_that_have_no_replicates():
    alone, beside = evidence({"a": [0.0]}), evidence({"a": [0.0], "b": [0.5]})
    assert np.array_equal(alone.draws["ece"][:, 0], beside.draws["ece"][:, 0])


def test_trials_of_other_images_are_refused():
    runs, predictions = simulated({"a": [0.0], "b": [0.1]}, np.random.default_rng(0))
    other = predictions_of(np.eye(NUM_CLASSES)[np.zeros(NUM_IMAGES, dtype=int)], np.zeros(NUM_IMAGES, dtype=int), 1.0)
    with pytest.raises(ValueError, match="trial b-0 was evaluated on other images than a-0"):
        evidence_of(runs, "test", (predictions | {"b-0": other}).__getitem__, 50)


def test_every_residual_is_chosen_as_often_with_either_sign():
    ((index, sign),) = _choices([["one", "other"]], num_resamples=6000, num_residuals=6)
    assert index.shape == sign.shape == (6000, 2)
    assert np.bincount(index.ravel(), minlength=6) == pytest.approx(np.full(6, 2000), rel=0.1)
    assert sign.mean() == pytest.approx(0, abs=0.03)
    assert set(np.unique(sign)) == {-1, 1}


def seed_noise(variances, num_seeds=3, images=0.1):
    """The seed noise of arms whose seeds have exactly these variances, of which images explain images²."""
    generator, pattern = np.random.default_rng(0), np.linspace(-1, 1, num_seeds)
    values = pattern / pattern.std(ddof=1)
    draws = [
        [np.sqrt(variance) * value + images * generator.normal(size=20_000) for value in values]
        for variance in variances
    ]
    return _SeedNoise.of(draws)


def test_the_deviation_of_seeds_is_what_images_do_not_explain_and_not_widened():
    noise = seed_noise([1.0, 1.0, 1.0, 1.0], images=0.5)
    assert noise.deviation == pytest.approx(np.sqrt(1 - 0.25), rel=0.01)
    widening = stats.t.ppf(0.975, 8) / stats.norm.ppf(0.975)
    assert noise.factors == pytest.approx(np.sqrt(widening**2 - 0.25), rel=0.01)  # with images, as wide as Student's t
    assert (noise.own, noise.unstable) == ({}, [])


def test_an_arm_whose_seeds_differ_much_more_has_its_own_variance_and_is_unstable():
    noise = seed_noise([1.0, 1.0, 100.0, 1.0, 1.0])
    assert noise.own == {2: pytest.approx(10, rel=0.01)}
    assert noise.unstable == [2]
    assert noise.deviation == pytest.approx(1, rel=0.02)
    assert noise.factors[2] == pytest.approx(10 * stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975), rel=0.01)
    drawn = noise.drawn(_choices([[str(arm)] for arm in range(5)], 20_000, 15))
    assert drawn[:, 2].std() == pytest.approx(noise.factors[2], rel=0.03)
    assert drawn[:, 0].std() == pytest.approx(noise.factors[0], rel=0.03)


def test_an_arm_whose_seeds_differ_somewhat_more_has_its_own_variance_but_is_not_unstable():
    noise = seed_noise([1.0, 1.0, 4.0, 1.0, 1.0])
    assert (list(noise.own), noise.unstable) == ([2], [])


def test_two_seeds_are_only_trusted_to_tell_an_unstable_arm():
    some, much = (seed_noise([1.0, 1.0, variance, 1.0, 1.0], num_seeds=2) for variance in (6.0, 60.0))
    assert (some.own, some.unstable) == ({}, [])
    assert (list(much.own), much.unstable) == ([2], [2])


def test_seeds_that_differ_by_less_than_images_explain_make_no_other_arm_unstable():
    noise = seed_noise([0.0, 0.0, 0.01], images=0.1)
    assert (noise.own, noise.unstable) == ({}, [])


def test_image_draws_say_nothing_of_seeds():
    generator = np.random.default_rng(3)
    found = evidence({f"arm {number}": generator.normal(scale=0.5, size=2).tolist() for number in range(6)}, generator)
    assert found.image_draws["accuracy"].std(axis=0).max() < 0.5 * found.draws["accuracy"].std(axis=0).min()
    assert found.deviation_of_seeds("accuracy", "arm 1") == found.seed_deviation["accuracy"]
