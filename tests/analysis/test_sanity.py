"""What is doubted before anything is recommended, and what is not."""

import numpy as np
import pandas as pd
import pytest

from analysis.sanity import (
    chance_of,
    chance_warning,
    hopeless_text,
    missing_text,
    rise_of,
    rising_text,
    sanity_of,
    teacher_texts,
)
from analysis.statistics.evidence import Evidence

CHANCE = 0.1
LABELS = {"validation": np.arange(10).repeat(100), "test": np.arange(10).repeat(100)}


def evidence(**accuracies):
    """Evidence of arms with these accuracies, each with a standard deviation of one point."""
    noise = np.random.default_rng(0).normal(scale=0.01, size=(500, len(accuracies)))
    plain = np.array(list(accuracies.values()))
    arms = list(accuracies)
    seeds = dict.fromkeys(arms, 1)
    return Evidence("validation", 1000, 500, arms, seeds, {"accuracy": plain}, {"accuracy": plain + noise}, {})


def journals(*curves):
    """The journals of trials with these validation accuracies by epoch."""
    rows = [
        {"arm": f"arm {number}", "seed": 0, "epoch": epoch, "validation/accuracy": value}
        for number, curve in enumerate(curves)
        for epoch, value in enumerate(curve, start=1)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "epoch", "validation/accuracy"])


def told(arms, teachers, labels=LABELS, curves=(), baseline="classic"):
    return sanity_of(arms, arms, teachers, baseline, labels, 10, journals(*curves))


def test_a_sound_sweep_gives_no_doubt():
    flat = np.r_[np.linspace(0.1, 0.7, 40), np.full(20, 0.7)]
    sanity = told(evidence(classic=0.7, kd=0.72), evidence(resnet=0.8), curves=[flat, flat])
    assert (sanity.sentences, sanity.hopeless) == ([], False)


def test_chance_is_the_share_of_the_commonest_class():
    assert chance_of(np.array([0, 1, 1, 1])) == 0.75


def test_where_no_arm_is_above_chance_nothing_is_left_to_recommend():
    assert hopeless_text(evidence(classic=0.11, kd=0.105), CHANCE).startswith("No arm is visibly better than chance")
    assert hopeless_text(evidence(classic=0.11, kd=0.15), CHANCE) == ""
    sanity = told(evidence(classic=0.11), None)
    assert sanity.hopeless
    assert len(sanity.sentences) == 1


@pytest.mark.parametrize(
    ("accuracy", "begin"),
    [
        (0.1, "Teacher resnet is at chance: 10"),
        (0.5, "Teacher resnet is 20."),
        (0.69, ""),  # not visibly
        (0.8, ""),
    ],
)
def test_a_teacher_at_chance_or_below_plain_training_is_asked_for_the_order_of_its_classes(accuracy, begin):
    texts = teacher_texts(evidence(resnet=accuracy), evidence(kd=0.6, classic=0.7), "classic", CHANCE)
    assert len(texts) == bool(begin)
    for text in texts:
        assert text.startswith(begin)
        assert text.endswith("Is the order of its classes another? Then name it by teachers.resnet.classes.")
    assert len(teacher_texts(evidence(resnet=accuracy), evidence(kd=0.6), "", CHANCE)) == (accuracy == 0.1)


def test_classes_without_an_image_are_counted_and_named():
    assert missing_text("test", np.array([0, 1, 2]), 3) == ""
    assert missing_text("test", np.array([0, 2]), 4) == ("2 of 4 classes have no test image (counted from 0: 1, 3).")
    assert "1 of 2 classes has no" in missing_text("validation", np.array([0]), 2)


def test_a_rise_is_that_of_the_last_tenth_of_the_epochs():
    assert rise_of(journals(range(20), range(20))) == (2.0, 18.5, 2)
    assert rise_of(journals([0.1, 0.4])) == (pytest.approx(0.3), 0.4, 1)
    assert rise_of(journals([0.1])) == (0.0, 0.0, 0)
    assert rise_of(journals([0.1, None, 0.4])) == rise_of(journals([0.1, 0.4]))  # not every epoch is validated


def test_curves_that_still_rise_are_told_and_noise_is_not():
    steady = np.linspace(0.2, 0.8, 20)  # 6 points in two epochs
    assert "by 6.3 points on average" in rising_text(journals(steady, steady), 1000)
    noisy = [0.7 + np.random.default_rng(seed).normal(scale=0.014, size=20) for seed in range(4)]
    assert rising_text(journals(*noisy), 1000) == ""
    slow = np.linspace(0.2, 0.22, 20)
    assert rising_text(journals(slow), 10**9) == ""  # visible, but not worth the time
    assert rising_text(journals(), 1000) == ""


def test_without_a_finished_trial_there_is_nothing_to_doubt():
    assert sanity_of(None, None, None, "", {}, 0, journals()).sentences == []


def test_a_teacher_at_chance_on_validation_is_warned_of_as_soon_as_it_is_known():
    labels = LABELS["validation"]
    assert chance_warning("resnet", 0.2, labels) == ""
    for accuracy in (0.0, 0.1, 0.11):  # the last one not visibly better
        warning = chance_warning("resnet", accuracy, labels)
        assert warning.startswith("teacher resnet is at chance: ")
        assert warning.endswith("Is the order of its classes another? Then name it by teachers.resnet.classes.")
