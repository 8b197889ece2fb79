import numpy as np
import pandas as pd
import pytest

from analysis.pareto import Front
from analysis.statistics.bootstrap import Estimate
from analysis.statistics.evidence import Evidence
from analysis.statistics.selection import Luck, Selection, selection_of

NUM_ARMS, NUM_RESAMPLES = 8, 300
ARMS = [f"arm {number}" for number in range(NUM_ARMS)]
OBJECTIVES = {"validation/accuracy": "max", "validation/ece": "min", "num_parameters": "min"}


def sweep(generator, accuracy=0.8, seeds=0.01, images=0.004, num_seeds=3):
    """Runs, front and evidence of arms with these accuracies; luck of seeds is shared, that of images is not.

    A seed that raises accuracy lowers ECE by half as much. Draws show the noise as it is.
    """
    luck = generator.normal(scale=seeds, size=(NUM_ARMS, num_seeds))
    runs, evidence = pd.DataFrame({"arm": np.repeat(ARMS, num_seeds), "status": "finished", "num_parameters": 5.0}), {}
    for split in ("validation", "test"):
        shown = np.broadcast_to(accuracy, NUM_ARMS)[:, None] + luck + generator.normal(scale=images, size=luck.shape)
        runs = runs.assign(**{f"{split}/accuracy": shown.ravel(), f"{split}/ece": 0.1 - luck.ravel() / 2})
        plain = {name: runs.groupby("arm")[f"{split}/{name}"].mean().to_numpy() for name in ("accuracy", "ece")}
        deviation = np.hypot(seeds, images) / np.sqrt(num_seeds)
        noise = generator.normal(scale=deviation, size=(NUM_RESAMPLES, NUM_ARMS))
        draws = {"accuracy": plain["accuracy"] + noise, "ece": plain["ece"] - noise / 2}
        counts = dict.fromkeys(ARMS, num_seeds)
        evidence[split] = Evidence(split, 100, NUM_RESAMPLES, ARMS, counts, plain, draws, {})
    points = pd.DataFrame({"arm": ARMS, "validation/accuracy": evidence["validation"].plain["accuracy"]})
    return runs, Front(points, OBJECTIVES, {}, 0.0), evidence["validation"], evidence["test"]


def chosen(runs, front, validation, test, objective="validation/accuracy", baseline=ARMS[0]):
    """The selection of the best arm by an objective."""
    values = validation.plain[objective.split("/")[1]]
    best = ARMS[int(values.argmax() if OBJECTIVES[objective] == "max" else values.argmin())]
    return selection_of(runs, front, validation, objective, best, baseline)


def test_of_level_arms_the_best_one_is_no_longer_too_good():
    generator, measured, corrected, held = np.random.default_rng(0), [], [], []
    for _ in range(40):
        made = sweep(generator)
        selection = chosen(*made)
        estimate = selection.corrected(made[3]).estimate("accuracy", selection.arm)
        measured.append(made[3].estimate("accuracy", selection.arm).value - 0.8)
        corrected.append(estimate.value - 0.8)
        held.append(estimate.low <= 0.8 <= estimate.high)
    assert np.mean(measured) > 0.005
    assert abs(np.mean(corrected)) < 0.0015
    assert np.mean(held) > 0.9


def test_luck_of_a_seed_in_one_figure_is_luck_in_another_that_goes_with_it():
    selection = chosen(*sweep(np.random.default_rng(5)))
    assert selection.levels["accuracy"].level > 0.004
    assert selection.levels["ece"].level == pytest.approx(-selection.levels["accuracy"].level / 2, rel=0.3)
    by_ece = chosen(*sweep(np.random.default_rng(5)), objective="validation/ece")
    assert by_ece.levels["ece"].level < -0.001


def test_an_arm_that_is_far_better_owes_nothing_to_luck_and_level_ones_stay_possible():
    made = sweep(np.random.default_rng(2), accuracy=0.8 + 0.1 * np.eye(NUM_ARMS)[3])
    selection = chosen(*made)
    assert selection.arm == ARMS[3]
    luck = selection.differences["accuracy"]
    assert luck.likely == pytest.approx(0, abs=0.002)
    assert luck.apart == pytest.approx(0, abs=0.002)
    assert luck.level > 0.005
    plain, estimate = (
        each.difference("accuracy", ARMS[3], ARMS[0]) for each in (made[3], selection.corrected(made[3]))
    )
    assert estimate.low == pytest.approx(plain.low - luck.level)
    assert estimate.high == pytest.approx(plain.high, abs=0.002)


def test_luck_of_images_is_not_repeated_on_test():
    generator = np.random.default_rng(3)
    by_images = [chosen(*sweep(generator, seeds=0.0, images=0.01)) for _ in range(10)]
    by_seeds = [chosen(*sweep(generator, seeds=0.01, images=0.0)) for _ in range(10)]
    mean = {
        name: np.mean([each.levels["accuracy"].level for each in made])
        for name, made in (("images", by_images), ("seeds", by_seeds))
    }
    assert mean["images"] < 0.25 * mean["seeds"]


def test_one_seed_shows_no_luck():
    assert chosen(*sweep(np.random.default_rng(4), num_seeds=1)) is None


def test_failed_seeds_do_not_count():
    runs, *others = sweep(np.random.default_rng(4))
    statuses = np.where(np.arange(len(runs)) % 3 == 0, "finished", "failed")
    assert chosen(runs.assign(status=statuses), *others) is None


def test_the_baseline_does_not_differ_from_itself():
    made = sweep(np.random.default_rng(5))
    best = chosen(*made).arm
    selection = chosen(*made, baseline=best)
    corrected = selection.corrected(made[3])
    assert corrected.difference("accuracy", best, best) == Estimate(0, 0, 0)
    assert corrected.estimate("accuracy", best).value < made[3].estimate("accuracy", best).value


def test_luck_is_taken_off_the_chosen_arm_in_every_comparison_and_off_no_other_arm():
    made = sweep(np.random.default_rng(5))
    selection, plain = chosen(*made), made[3]
    corrected, others = selection.corrected(plain), [arm for arm in ARMS[1:] if arm != selection.arm]
    assert corrected.estimate("accuracy", others[0]) == plain.estimate("accuracy", others[0])
    assert corrected.difference("accuracy", *others[:2]) == plain.difference("accuracy", *others[:2])
    for other, luck in ((ARMS[0], selection.differences), (others[0], selection.levels)):
        pair = (selection.arm, other)
        there, back = corrected.difference("accuracy", *pair), corrected.difference("accuracy", *pair[::-1]).negative
        assert vars(there) == pytest.approx(vars(back))
        measured = plain.difference("accuracy", *pair).value
        assert there.value == pytest.approx(measured - luck["accuracy"].likely)


def test_a_size_is_no_luck():
    runs, front, validation, _ = sweep(np.random.default_rng(6))
    selection = selection_of(runs, front, validation, "num_parameters", ARMS[2], ARMS[0])
    assert {value for luck in selection.levels.values() for value in vars(luck).values()} == {0.0}


def test_an_arm_without_the_objective_is_not_chosen_again():
    runs, front, validation, test = sweep(np.random.default_rng(7), accuracy=0.8 + 0.1 * np.eye(NUM_ARMS)[3])
    validation.draws["accuracy"][:, 3] = np.nan
    runs.loc[runs["arm"] == ARMS[3], ["validation/accuracy", "test/accuracy"]] = np.nan
    selection = selection_of(runs, front, validation, "validation/accuracy", ARMS[5], ARMS[0])
    assert np.isfinite(selection.corrected(test).estimate("accuracy", ARMS[5]).value)
    assert selection.levels["accuracy"].level > 0.0015


def ece_and_gap(center):
    """Evidence of one arm that has these draws of both figures, and its selection, with luck that is the same."""
    draws = {"ece": np.maximum(0, center), "gap": center}
    plain = {"ece": np.zeros(1), "gap": np.median(center, axis=0)}
    test = Evidence("test", 100, len(center), ["arm"], {"arm": 2}, plain, draws, {})
    return test, lambda luck: Selection("arm", "arm", {"ece": luck, "gap": luck}, {}).corrected(test)


def test_no_figure_but_a_signed_one_becomes_negative():
    _, corrected_by = ece_and_gap(0.01 + np.random.default_rng(0).normal(scale=0.001, size=(50, 1)))
    corrected = corrected_by(Luck(likely=0.02, level=0.03, apart=0.01))
    assert corrected.estimate("ece", "arm").value == 0
    assert corrected.estimate("gap", "arm").value == pytest.approx(-0.01, abs=1e-3)


def test_an_interval_that_begins_at_zero_still_does():
    test, corrected_by = ece_and_gap(np.random.default_rng(0).normal(scale=0.01, size=(50, 1)))
    luck = Luck(likely=-0.002, level=-0.003, apart=-0.001)
    assert test.estimate("ece", "arm").low == corrected_by(luck).estimate("ece", "arm").low == 0
    assert corrected_by(luck).estimate("ece", "arm").high > test.estimate("ece", "arm").high
