"""Statements of the paper as questions to a sweep's own arms: supported, contradicted or undecided.

They are those of Medina 2026, Sections 6.1 (temperature and mixup), 6.2 and 6.3 (teachers) and 7.6 (what is beyond
imitation). What is said of ECE is also asked after temperature scaling, which removes what one number could mend.

Every claim gives a number the sign that the paper says it has (`analysis.statistics.cases` judges it), and compares
only arms that are alike in every key but those that it is about (`analysis.statistics.matching`). All figures are of
test images, from paired draws: fractions, also of accuracy.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.statistics.beyond import Evaluated, beyond_predictions
from analysis.statistics.cases import Case, Claim, held, judge
from analysis.statistics.evidence import Evidence
from analysis.statistics.matching import MIXUP, TEACHER, TEACHING, TEMPERATURE, Arms

ECES = {"ece": "", "ece_scaled": ", as shipped"}


def claims_of(
    points: pd.DataFrame, test: Evidence, teacher_test: Evidence | None, evaluated: Sequence[Evaluated] = ()
) -> list[Claim]:
    """All claims on the arms of a front (points) and on evaluated models, in the order of the paper's sections."""
    arms = Arms(points, test)
    claims = [
        mixup_helps_alone(arms),
        distillation_adds_to_mixup(arms),
        mixup_adds_to_distillation(arms),
        accuracy_falls_with_temperature(arms),
        two_is_the_best_temperature(arms),
        *(mixup_lowers_ece(arms, figure) for figure in ECES),
        *(ece_falls_with_temperature(arms, figure) for figure in ECES),
        gap_is_the_reason(arms),
        *(sigma_has_the_highest_ece(arms, figure) for figure in ECES),
        *(calibration_is_passed_on(arms, teacher_test, figure) for figure in ECES),
        *(student_outdoes_its_teacher(arms, teacher_test, figure) for figure in ECES),
        *beyond_predictions(evaluated),
    ]
    return held(claims)


def mixup_helps_alone(arms: Arms) -> Claim:
    """Section 6.1 (1)."""
    statement = "Without a teacher, mixup raises accuracy (accuracy of mixup minus classic)"
    needs = "an arm of mixup and one of classic"
    return _compared(arms, "accuracy", arms.of("mixup"), arms.of("classic"), MIXUP, +1, statement, needs)


def distillation_adds_to_mixup(arms: Arms) -> Claim:
    """Section 6.1 (2), first half: each teacher's students, over their temperatures, against mixup alone."""
    statement = "Distillation with mixup is more accurate than mixup without a teacher"
    statement += " (accuracy of kd_mixup, averaged over T, minus mixup)"
    needs = "an arm of kd_mixup and one of mixup"
    return _compared(arms, "accuracy", arms.of("kd_mixup"), arms.of("mixup"), TEACHING, +1, statement, needs)


def mixup_adds_to_distillation(arms: Arms) -> Claim:
    """Section 6.1 (2), second half."""
    statement = "At equal T, distillation with mixup is more accurate than without (accuracy of kd_mixup minus kd)"
    needs = "arms of kd_mixup and kd at the same temperature"
    return _compared(arms, "accuracy", arms.of("kd_mixup"), arms.of("kd"), MIXUP, +1, statement, needs)


def accuracy_falls_with_temperature(arms: Arms) -> Claim:
    """Section 6.1 (3)."""
    statement = "With mixup, accuracy falls as T rises (change of accuracy with each doubling of T)"
    return judge(statement, -1, _slopes(arms, "accuracy"), _needs_temperatures(arms), points=True)


def two_is_the_best_temperature(arms: Arms) -> Claim:
    """Section 6.1 (3): against every other temperature, sigma included."""
    statement = "With mixup, T = 2 is more accurate than any other T (accuracy at T = 2 minus the other)"
    return _against_each(arms, "accuracy", "2", statement, "arms of kd_mixup at T = 2 and at another temperature")


def mixup_lowers_ece(arms: Arms, figure: str) -> Claim:
    """Section 6.1 (4)."""
    mixed, plain = arms.of("kd_mixup", fixed=True), arms.of("kd", fixed=True)
    statement = (
        f"At equal T, distillation with mixup has a lower ECE than without{ECES[figure]} (ECE of kd_mixup minus kd)"
    )
    needs = "arms of kd_mixup and kd at the same fixed temperature"
    return _compared(arms, figure, mixed, plain, MIXUP, -1, statement, needs)


def ece_falls_with_temperature(arms: Arms, figure: str) -> Claim:
    """Section 6.1 (5)."""
    statement = f"With mixup, ECE falls as T rises{ECES[figure]} (change of ECE with each doubling of T)"
    return judge(statement, -1, _slopes(arms, figure), _needs_temperatures(arms))


def gap_is_the_reason(arms: Arms) -> Claim:
    """Whether ECE changes with T because its least value |confidence − accuracy| does, or for the rest of it.

    With slopes e of the ECE and g of |gap|, the number is (g − (e − g)) · sign(e), the sign being that of the estimate.
    """
    cases = []
    for gap, ece in zip(_slopes(arms, "abs_gap"), _slopes(arms, "ece"), strict=True):
        seeds, widened = (  # at most, however the two go together
            float((2 * np.sqrt(one) + np.sqrt(other)) ** 2)
            for one, other in ((gap.seed_variance, ece.seed_variance), (gap.widened, ece.widened))
        )
        draws = (2 * gap.draws - ece.draws) * np.sign(ece.value)
        cases.append(replace(gap, draws=draws, seed_variance=seeds, widened=widened))
    statement = "With mixup, most of the change of ECE with T is that of |confidence − accuracy|"
    measure = "the gap's part of the change of ECE with each doubling of T, minus the rest"
    return judge(f"{statement} ({measure})", +1, cases, _needs_temperatures(arms))


def sigma_has_the_highest_ece(arms: Arms, figure: str) -> Claim:
    """Section 6.1 (5), on logits divided by their own deviation (Choi 2023)."""
    statement = f"With mixup, T = σ has a higher ECE than any fixed T{ECES[figure]} (ECE at σ minus the other)"
    return _against_each(arms, figure, "sigma", statement, "arms of kd_mixup at T = σ and at a fixed temperature")


def calibration_is_passed_on(arms: Arms, teacher_test: Evidence | None, figure: str) -> Claim:
    """Sections 6.2 and 6.3: students of several teachers, over the recipes that all teachers have.

    The number is the slope of the student's ECE over the teacher's, times the range of the teachers.
    """
    rows = arms.of("kd", "kd_mixup", fixed=True)
    statement = f"Worse calibrated teachers have worse calibrated students{ECES[figure]}"
    measure = "ECE of the worst teacher's students minus the best's, on a line through all teachers"
    needs = arms.needs("two teachers with a student of the same method and temperature", rows, rows, TEACHER)
    return judge(f"{statement} ({measure})", +1, _over_teachers(arms, teacher_test, figure, rows), needs)


def student_outdoes_its_teacher(arms: Arms, teacher_test: Evidence | None, figure: str) -> Claim:
    """What predictions can say of Section 7.6, claim 2 (and of 7.1): who only imitates is no better calibrated."""
    cases = []
    for name, group in arms.groups(arms.of("kd_mixup", fixed=True), TEMPERATURE):
        teacher = group["teacher"].iloc[0]
        if teacher_test is not None and teacher in teacher_test.arms:
            own = teacher_test.draws[figure][:, teacher_test.arms.index(teacher)]
            weights = _mean(group)
            cases.append(arms.case(name, arms.draws(figure, weights) - own, weights, figure))
    statement = f"Students of mixup distillation are better calibrated than their teacher{ECES[figure]}"
    measure = "ECE of kd_mixup, averaged over fixed T, minus the teacher's"
    needs = "an arm of kd_mixup at a fixed temperature, and its teacher's predictions"
    return judge(f"{statement} ({measure})", -1, cases, needs)


def _compared(
    arms: Arms,
    figure: str,
    first: pd.DataFrame,
    second: pd.DataFrame,
    about: frozenset[str],
    sign: int,
    statement: str,
    needs: str,
) -> Claim:
    """The claim on a figure of arms of first minus that of arms of second that are like them but for the keys of about.

    They are averaged over the temperatures at which there are both; all else that differs makes cases of its own.
    """
    partners, cases = arms.pairs(first, second, about), []
    for name, group in arms.groups(first.loc[list(partners)], TEMPERATURE):
        other = arms.points.loc[[partners[row] for row in group.index]]
        weights = pd.concat([_mean(group), -_mean(other)])
        cases.append(arms.case(name, arms.draws(figure, weights), weights, figure))
    return judge(statement, sign, cases, arms.needs(needs, first, second, about), points=figure == "accuracy")


def _slopes(arms: Arms, figure: str) -> list[Case]:
    """The least-squares slope of a figure of kd_mixup over log₂ T, by teacher."""
    cases = []
    for name, group in arms.groups(arms.of("kd_mixup", fixed=True), TEMPERATURE):
        doublings = np.log2(group["temperature"].astype(float))
        if np.ptp(doublings) > 0:
            centred = doublings - doublings.mean()
            weights = centred / (centred**2).sum()
            cases.append(arms.case(name, arms.draws(figure, weights), weights, figure))
    return cases


def _needs_temperatures(arms: Arms) -> str:
    rows = arms.of("kd_mixup", fixed=True)
    return arms.needs("arms of kd_mixup at two fixed temperatures or more, of one teacher", rows, rows, TEMPERATURE)


def _against_each(arms: Arms, figure: str, temperature: str, statement: str, needs: str) -> Claim:
    """The claim that arms of kd_mixup at one temperature have more of a figure than at each other one, by teacher."""
    rows, cases = arms.of("kd_mixup"), []
    for name, group in arms.groups(rows, TEMPERATURE):
        chosen = group.loc[group["temperature"] == temperature]
        others = group.loc[group["temperature"] != temperature]
        for other, row in others.groupby("temperature", sort=False) if len(chosen) else ():
            weights = pd.concat([_mean(chosen), -_mean(row)])
            cases.append(arms.case(f"{name}, T={other}", arms.draws(figure, weights), weights, figure))
    needs = arms.needs(needs, rows.loc[rows["temperature"] == temperature], rows, TEMPERATURE)
    return judge(statement, +1, cases, needs, points=figure == "accuracy")


def _over_teachers(arms: Arms, teacher_test: Evidence | None, figure: str, rows: pd.DataFrame) -> list[Case]:
    measured = [] if teacher_test is None else teacher_test.arms
    teachers = [teacher for teacher in rows["teacher"].unique() if teacher in measured]
    rows = rows.loc[rows["teacher"].isin(teachers)]
    shared = [group for _, group in arms.groups(rows, TEACHER) if set(group["teacher"]) == set(teachers)]
    if len(teachers) < 2 or not shared or teacher_test is None:
        return []
    rows = pd.concat(shared)
    # one column a teacher, [R, teachers]
    cause = teacher_test.draws["ece"][:, [teacher_test.arms.index(teacher) for teacher in teachers]]
    weights = [_mean(rows.loc[rows["teacher"] == teacher]) for teacher in teachers]
    effect = np.stack([arms.draws(figure, of_teacher) for of_teacher in weights], axis=1)
    centred = cause - cause.mean(axis=1, keepdims=True)
    spread = (centred**2).sum(axis=1)
    slope = np.divide((centred * effect).sum(axis=1), spread, out=np.zeros(len(spread)), where=spread > 0)
    typical = np.median(centred, axis=0)
    factors = typical * np.ptp(typical) / max(float(typical @ typical), np.finfo(float).tiny)
    combined = pd.concat(weights) * np.repeat(factors, [len(of_teacher) for of_teacher in weights])
    return [arms.case(" → ".join(teachers), slope * np.ptp(cause, axis=1), combined, figure)]


def _mean(rows: pd.DataFrame) -> pd.Series:
    """Weights of the mean over rows, by their index."""
    return pd.Series(1 / len(rows), rows.index)
