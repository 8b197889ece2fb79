"""Claims of section 7 on made-up answers of evaluators, whose truth is known."""

import numpy as np
import pytest

from analysis.statistics.beyond import Evaluated, beyond_predictions, corrupted_difference, corrupted_gain
from analysis.statistics.cases import CONTRADICTED, NOT_TESTABLE, ONE_SEED, SUPPORTED, UNDECIDED
from kd_core.measure.resampling import resample_counts

PAIRS, IMAGES, CORRUPTIONS = 400, 300, ("fog", "jpeg")
NOISE = np.random.default_rng(0)


def teacher(name="resnet", dominance=1.5) -> Evaluated:
    """A teacher whose residual at λ = ½ is so many times its entropy."""
    entropy = NOISE.uniform(0.5, 1.5, PAIRS)
    arrays = {"nonlinearity_half": entropy * dominance * NOISE.uniform(0.9, 1.1, PAIRS), "entropy_half": entropy}
    return Evaluated(f"key-{name}", f"teacher {name}", teacher=name, arrays={"linearity": arrays})


def student(arm="kd_mixup resnet T=2", seed=0, gain=0.3, independence=0.2, accuracy=0.6, **identity) -> Evaluated:
    """A student of these means."""
    identity = {"teacher": "resnet", "method": "kd_mixup", "temperature": "2"} | identity
    correct = NOISE.random((len(CORRUPTIONS), 5, IMAGES)) < accuracy
    arrays = {
        "linearity": {
            "gain_by_pair": NOISE.normal(gain + 0.01 * seed, 0.3, PAIRS),
            "independence_by_pair": NOISE.normal(independence + 0.01 * seed, 0.3, PAIRS),
        },
        "corruption": {"correct": correct, "corruption": np.array(CORRUPTIONS), "severity": np.arange(1, 6)},
    }
    return Evaluated(f"{arm}-{seed}", f"{arm} seed {seed}", arm, arrays=arrays, **identity)


def seeds(count=3, **options) -> list[Evaluated]:
    return [student(seed=seed, **options) for seed in range(count)]


def mixup(accuracy=0.4) -> list[Evaluated]:
    return seeds(arm="mixup", method="mixup", teacher="", temperature="", accuracy=accuracy)


def verdicts(models) -> list[str]:
    return [claim.verdict for claim in beyond_predictions(models)]


def test_without_evaluations_nothing_can_be_said_and_what_is_missing_is_named():
    claims = beyond_predictions([])
    assert [claim.verdict for claim in claims] == [NOT_TESTABLE] * 5
    assert all("evaluated by kdsweep evaluate --only" in claim.detail for claim in claims)


def test_what_is_so_is_supported():
    two = [*seeds(), *seeds(arm="kd_mixup vit T=2", teacher="vit", gain=0.9, accuracy=0.8)]
    models = [teacher(), teacher("vit", 2.0), *two, *mixup()]
    assert verdicts(models) == [SUPPORTED] * 5


def test_what_is_the_other_way_round_is_contradicted():
    two = [*seeds(gain=-0.3, independence=-0.2, accuracy=0.3)]
    two += seeds(arm="kd_mixup vit T=2", teacher="vit", gain=-0.9, independence=-0.2, accuracy=0.35)
    models = [teacher(dominance=0.5), teacher("vit", 0.5), *two, *mixup(0.6)]
    assert verdicts(models) == [CONTRADICTED] * 5


def test_what_seeds_do_not_agree_on_is_undecided():
    models = [teacher(), *(student(seed=20 * seed, gain=-0.1, independence=-0.1) for seed in range(2))]
    dominated, linear, apart, *_ = verdicts(models)
    assert (dominated, linear, apart) == (SUPPORTED, UNDECIDED, UNDECIDED)


def test_the_numbers_are_those_of_the_definitions():
    models = [teacher(), *seeds(2)]
    dominated, linear, *_ = beyond_predictions(models)
    arrays = models[0].arrays["linearity"]
    assert dominated.estimate == pytest.approx(
        arrays["nonlinearity_half"].mean() / arrays["entropy_half"].mean() - 1, abs=0.01
    )
    gains = [each.arrays["linearity"]["gain_by_pair"].mean() for each in models[1:]]
    assert linear.estimate == pytest.approx(np.mean(gains), abs=0.01)
    assert linear.trials == [each.key for each in models[1:]]


def test_sigma_and_other_methods_are_no_part_of_the_claims_on_mixup_distillation():
    plain = beyond_predictions([teacher(), *seeds()])
    others = [*seeds(arm="kd_mixup resnet T=sigma", temperature="sigma", gain=-9)]
    others += seeds(arm="kd resnet T=2", method="kd", gain=-9)
    assert beyond_predictions([teacher(), *seeds(), *others])[1].verdict == plain[1].verdict == SUPPORTED


def test_only_arms_that_are_alike_in_all_else_are_compared():
    small = {"arm": "kd_mixup resnet T=2 student.model=small", "accuracy": 0.3}
    large = {"arm": "kd_mixup resnet T=2 student.model=large", "accuracy": 0.9}
    plain = seeds(arm="mixup student.model=large", method="mixup", teacher="", temperature="", accuracy=0.8)
    robust = beyond_predictions([*seeds(**small), *seeds(**large), *plain])[3]
    assert robust.estimate == pytest.approx(0.1, abs=0.03)  # of the large ones alone
    assert len(robust.trials) == 3
    other = seeds(arm="mixup student.model=huge", method="mixup", teacher="", temperature="")
    assert verdicts([*seeds(**small), *other])[3] == NOT_TESTABLE
    linear = beyond_predictions([*seeds(**small), *seeds(**large)])[1]
    assert linear.detail.count("student.model=") == 2  # a case each


def test_a_single_seed_on_either_side_decides_nothing():
    assert verdicts([*seeds(), *mixup()[:1]])[3] == ONE_SEED
    assert verdicts([*seeds(1), *mixup()])[3] == ONE_SEED


def test_differences_under_corruption_are_paired_by_image():
    ours, theirs = seeds(accuracy=0.7), seeds(arm="mixup", accuracy=0.5)
    difference = corrupted_difference(ours, theirs)
    means = [np.mean([each.arrays["corruption"]["correct"] for each in group], axis=0) for group in (ours, theirs)]
    assert difference.value == pytest.approx(np.mean(means[0] - means[1]), abs=0.005)
    assert difference.low < difference.value < difference.high
    value, low, high = corrupted_gain(ours, theirs)
    np.testing.assert_allclose(value, (means[0] - means[1]).mean(axis=(1, 2)), atol=1e-12)
    draws = (means[0] - means[1]).mean(axis=1) @ resample_counts(IMAGES, 4000, 0).T / IMAGES
    np.testing.assert_allclose([low, high], np.quantile(draws, [0.025, 0.975], axis=1), atol=1e-12)
    assert corrupted_difference(ours, [teacher()]) is corrupted_gain(ours, [teacher()]) is None
