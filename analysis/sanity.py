"""What should be doubted before any arm is recommended, each in a sentence.

Chance is how often it is right to name the commonest class of the split, always.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.bootstrap import Estimate
from analysis.statistics.evidence import Evidence
from analysis.text.names import share_text

_RISE = 0.005  # of accuracy: less is not worth training longer for
_VISIBLE = 1.96  # standard deviations
_LISTED = 5  # classes that are named


@dataclass(frozen=True)
class Sanity:
    """Sentences that come before the answer, and whether they leave nothing to recommend."""

    sentences: list[str]
    hopeless: bool = False


def sanity_of(
    validation: Evidence | None,
    test: Evidence | None,
    teacher_test: Evidence | None,
    baseline: str,
    labels: Mapping[str, np.ndarray],
    num_classes: int,
    journals: pd.DataFrame,
) -> Sanity:
    """Everything to doubt of a sweep: labels [N] of each split, and the journals of its finished trials (arm, seed)."""
    if validation is None or test is None:
        return Sanity([])
    hopeless = hopeless_text(validation, chance_of(labels["validation"]))
    teachers = [] if teacher_test is None else teacher_texts(teacher_test, test, baseline, chance_of(labels["test"]))
    missing = [missing_text(split, classes, num_classes) for split, classes in labels.items()]
    sentences = [hopeless, *teachers, *missing, rising_text(journals, validation.num_images)]
    return Sanity([sentence for sentence in sentences if sentence], bool(hopeless))


def chance_of(labels: np.ndarray) -> float:
    """The share of the commonest class among labels [N]."""
    return float(np.bincount(labels).max() / len(labels))


def hopeless_text(evidence: Evidence, chance: float) -> str:
    """That no arm is visibly above chance; "" if one is."""
    if any(evidence.estimate("accuracy", arm).low > chance for arm in evidence.arms):
        return ""
    return f"No arm is visibly better than chance, {share_text(chance)} of the {evidence.split} images."


def teacher_texts(teacher_test: Evidence, test: Evidence, baseline: str, chance: float) -> list[str]:
    """Teachers at chance, and those that are visibly less accurate than the baseline on the same images."""
    texts = []
    for column, teacher in enumerate(teacher_test.arms):
        estimate = teacher_test.estimate("accuracy", teacher)
        if estimate.low <= chance:
            right = f"{share_text(estimate.value)} of the test images right, where chance is {share_text(chance)}"
            texts.append(f"Teacher {teacher} is at chance: {right}. {_order(teacher)}")
        elif baseline and teacher_test.num_resamples == test.num_resamples:
            draws = teacher_test.draws["accuracy"][:, column] - test.draws["accuracy"][:, test.arms.index(baseline)]
            lead = Estimate.of(-100 * draws)
            if lead.low > 0:
                points = f"{lead.value:.1f} points ({lead.low:.1f} to {lead.high:.1f})"
                behind = f"Teacher {teacher} is {points} less accurate than {baseline}, which had none."
                texts.append(f"{behind} {_order(teacher)}")
    return texts


def chance_warning(teacher: str, accuracy: float, labels: np.ndarray) -> str:
    """That a teacher with this accuracy on the images of labels [N] is at chance; "" if it is visibly better."""
    chance = chance_of(labels)
    if accuracy - _VISIBLE * np.sqrt(accuracy * (1 - accuracy) / len(labels)) > chance:
        return ""
    right = f"{share_text(accuracy)} of the validation images right, where chance is {share_text(chance)}"
    return f"teacher {teacher} is at chance: {right}. {_order(teacher)}"


def _order(teacher: str) -> str:
    return f"Is the order of its classes another? Then name it by teachers.{teacher}.classes."


def missing_text(split: str, labels: np.ndarray, num_classes: int) -> str:
    """Which classes have no image in a split; "" if all have one."""
    missing = np.flatnonzero(np.bincount(labels, minlength=num_classes) == 0)
    if not len(missing):
        return ""
    named = ", ".join(map(str, missing[:_LISTED])) + ", …" * (len(missing) > _LISTED)
    has = "has" if len(missing) == 1 else "have"
    return f"{len(missing)} of {num_classes} classes {has} no {split} image (counted from 0: {named})."


def rising_text(journals: pd.DataFrame, num_images: int) -> str:
    """That validation accuracy still rises in the end, on average of the trials; "" if it does not."""
    rise, level, count = rise_of(journals)
    noise = np.sqrt(2 * level * (1 - level) / num_images / max(1, count))
    if not count or rise < max(_RISE, _VISIBLE * noise):
        return ""
    return (
        f"Validation accuracy still rises in the last tenth of the epochs, by {100 * rise:.1f} points on average: "
        "trained longer, the arms may come in another order."
    )


def rise_of(journals: pd.DataFrame) -> tuple[float, float, int]:
    """How much validation accuracy rises in the end, its level there, both means over trials, and how many they are.

    A trial's rise is the mean of the last tenth of its validated epochs (at least one) less that of as many before. Its
    noise is at most that of two independent readings of the images, since predictions of near epochs are alike.
    """
    rises, levels = [], []
    for _, trial in journals.groupby(["arm", "seed"], sort=False):
        curve = trial.sort_values("epoch")["validation/accuracy"].dropna().to_numpy(dtype=float)
        width = max(1, round(len(curve) / 10))
        last, before = curve[-width:], curve[-2 * width : -width]
        if len(before) == width and np.isfinite([*last, *before]).all():
            rises.append(last.mean() - before.mean())
            levels.append(last.mean())
    return (float(np.mean(rises)), float(np.mean(levels)), len(rises)) if rises else (0.0, 0.0, 0)
