"""Statements of the paper as questions to a sweep's own arms: supported, contradicted or undecided.

They are those of Medina 2026, Sections 6.1 (temperature and mixup), 6.2 and 6.3 (teachers) and 7.6 (what is beyond
imitation). What is said of ECE is also asked after temperature scaling, which removes what one number could mend.

Every claim gives a number the sign that the paper says it has (`analysis.statistics.cases` judges it). All figures are
of test images, from paired draws: fractions, also of accuracy.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.statistics.cases import NOT_TESTABLE, Case, Claim, judge
from analysis.statistics.evidence import Evidence

ECES = {"ece": "", "ece_scaled": " after temperature scaling"}
IDENTITY = ["teacher", "alpha", "student"]  # what arms share that are compared over methods or temperatures
_TEMPERATURES = "arms of kd_mixup at two fixed temperatures or more, of one teacher"


def claims_of(points: pd.DataFrame, test: Evidence, teacher_test: Evidence | None) -> list[Claim]:
    """All claims on the arms of a front (points), in the order of the paper's sections."""
    arms = Arms(points, test)
    return [
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
        *beyond_outcomes(),
    ]


@dataclass(frozen=True)
class Arms:
    """The arms of a front with their draws on test."""

    points: pd.DataFrame
    test: Evidence

    def draws(self, figure: str, rows: pd.DataFrame) -> np.ndarray:
        """Draws [R] of a figure's mean over some of the points."""
        return self.test.draws[figure][:, [self.test.arms.index(arm) for arm in rows["arm"]]].mean(axis=1)

    def of(self, method: str, student: str | None = None) -> pd.DataFrame:
        """The points of a method, of all students or of one."""
        points = self.points
        return points.loc[(points["method"] == method) & ((student is None) | (points["student"] == student))]

    def groups(self, method: str, fixed: bool = False) -> Iterator[tuple[str, pd.DataFrame]]:
        """The points of a method that differ in temperature alone, by teacher; fixed leaves out sigma."""
        rows = self.of(method)
        rows = rows.loc[(rows["temperature"] != "sigma") | (not fixed)]
        varied = [column for column in IDENTITY[1:] if rows[column].nunique() > 1]
        for _, group in rows.groupby(IDENTITY, sort=False, dropna=False):
            first = group.iloc[0]
            yield ", ".join([str(first["teacher"]), *(f"{column} {first[column]}" for column in varied)]), group

    def case(self, name: str, draws: np.ndarray, *rows: pd.DataFrame) -> Case:
        """A case of a claim by its draws, which come from some of the points."""
        return Case(name, draws, [key for each in rows for keys in each["trials"] for key in keys])


def mixup_helps_alone(arms: Arms) -> Claim:
    """Section 6.1 (1)."""
    cases = []
    for student, plain in arms.of("classic").groupby("student", sort=False):
        mixed = arms.of("mixup", str(student))
        if len(mixed):
            draws = arms.draws("accuracy", mixed) - arms.draws("accuracy", plain)
            cases.append(arms.case(str(student), draws, mixed, plain))
    statement = "Without a teacher, mixup raises accuracy (accuracy of mixup minus classic)"
    return judge(statement, +1, cases, "an arm of mixup and one of classic", points=True)


def distillation_adds_to_mixup(arms: Arms) -> Claim:
    """Section 6.1 (2), first half: each teacher's students, over their temperatures, against mixup alone."""
    cases = []
    for name, group in arms.groups("kd_mixup"):
        mixed = arms.of("mixup", str(group["student"].iloc[0]))
        if len(mixed):
            draws = arms.draws("accuracy", group) - arms.draws("accuracy", mixed)
            cases.append(arms.case(name, draws, group, mixed))
    statement = "Distillation with mixup is more accurate than mixup without a teacher"
    measure = "accuracy of kd_mixup, averaged over T, minus mixup"
    return judge(f"{statement} ({measure})", +1, cases, "an arm of kd_mixup and one of mixup", points=True)


def mixup_adds_to_distillation(arms: Arms) -> Claim:
    """Section 6.1 (2), second half."""
    statement = "At equal T, distillation with mixup is more accurate than without (accuracy of kd_mixup minus kd)"
    cases = _twins(arms, "accuracy", fixed=False)
    return judge(statement, +1, cases, "arms of kd_mixup and kd at the same temperature", points=True)


def accuracy_falls_with_temperature(arms: Arms) -> Claim:
    """Section 6.1 (3)."""
    statement = "With mixup, accuracy falls as T rises (change of accuracy with each doubling of T)"
    return judge(statement, -1, _slopes(arms, "accuracy"), _TEMPERATURES, points=True)


def two_is_the_best_temperature(arms: Arms) -> Claim:
    """Section 6.1 (3): against every other temperature, sigma included."""
    statement = "With mixup, T = 2 is more accurate than any other T (accuracy at T = 2 minus the other)"
    cases = _against_each(arms, "accuracy", "2", fixed=False)
    return judge(statement, +1, cases, "arms of kd_mixup at T = 2 and at another temperature", points=True)


def mixup_lowers_ece(arms: Arms, figure: str) -> Claim:
    """Section 6.1 (4)."""
    statement = f"At equal T, distillation with mixup has a lower ECE than without{ECES[figure]}"
    cases = _twins(arms, figure, fixed=True)
    needs = "arms of kd_mixup and kd at the same fixed temperature"
    return judge(f"{statement} (ECE of kd_mixup minus kd)", -1, cases, needs)


def ece_falls_with_temperature(arms: Arms, figure: str) -> Claim:
    """Section 6.1 (5)."""
    statement = f"With mixup, ECE falls as T rises{ECES[figure]} (change of ECE with each doubling of T)"
    return judge(statement, -1, _slopes(arms, figure), _TEMPERATURES)


def gap_is_the_reason(arms: Arms) -> Claim:
    """Whether ECE changes with T because its least value |confidence − accuracy| does, or for the rest of it.

    With slopes e of the ECE and g of |gap|, the number is (g − (e − g)) · sign(e), the sign being that of the estimate.
    """
    gaps, cases = _slopes(arms, "abs_gap"), []
    for gap, ece in zip(gaps, _slopes(arms, "ece"), strict=True):
        cases.append(Case(gap.name, (2 * gap.draws - ece.draws) * np.sign(np.median(ece.draws)), gap.trials))
    statement = "With mixup, most of the change of ECE with T is that of |confidence − accuracy|"
    measure = "the gap's part of the change of ECE with each doubling of T, minus the rest"
    return judge(f"{statement} ({measure})", +1, cases, _TEMPERATURES)


def sigma_has_the_highest_ece(arms: Arms, figure: str) -> Claim:
    """Section 6.1 (5), on logits divided by their own deviation (Choi 2023)."""
    statement = f"With mixup, T = σ has a higher ECE than any fixed T{ECES[figure]} (ECE at σ minus the other)"
    cases = _against_each(arms, figure, "sigma", fixed=True)
    return judge(statement, +1, cases, "arms of kd_mixup at T = σ and at a fixed temperature")


def calibration_is_passed_on(arms: Arms, teacher_test: Evidence | None, figure: str) -> Claim:
    """Sections 6.2 and 6.3: students of several teachers, over the methods and temperatures that all teachers have.

    The number is the slope of the student's ECE over the teacher's, times the range of the teachers.
    """
    statement = f"Worse calibrated teachers have worse calibrated students{ECES[figure]}"
    measure = "ECE of the worst teacher's students minus the best's, on a line through all teachers"
    needs = "two teachers with a student of the same method and temperature"
    return judge(f"{statement} ({measure})", +1, _over_teachers(arms, teacher_test, figure), needs)


def student_outdoes_its_teacher(arms: Arms, teacher_test: Evidence | None, figure: str) -> Claim:
    """What outcomes can say of Section 7.6, claim 2 (and of 7.1): who only imitates is no better calibrated."""
    cases = []
    for name, group in arms.groups("kd_mixup", fixed=True):
        teacher = group["teacher"].iloc[0]
        if teacher_test is not None and teacher in teacher_test.arms:
            own = teacher_test.draws[figure][:, teacher_test.arms.index(teacher)]
            cases.append(arms.case(name, arms.draws(figure, group) - own, group))
    statement = f"Students of mixup distillation are better calibrated than their teacher{ECES[figure]}"
    measure = "ECE of kd_mixup, averaged over fixed T, minus the teacher's"
    needs = "an arm of kd_mixup at a fixed temperature, and its teacher's outcomes"
    return judge(f"{statement} ({measure})", -1, cases, needs)


def beyond_outcomes() -> list[Claim]:
    """The three statements of Section 7.6, for which outcomes on test images are not enough."""
    needs = {
        "On mixed images, the teacher's signal is dominated by its mismatch": "the teacher's non-linearity and entropy "
        "on mixed images (dominance ratio, eq. 13)",
        "Students become more linear between images than their teacher": "the non-linearity of teacher and student on "
        "mixed images (linearity gain, eq. 15)",
        "This linearity makes students more accurate on corrupted images": "outcomes on corrupted images (CIFAR-100-C)",
    }
    missing = "which kd-sweeps does not measure yet"
    return [Claim(claim, NOT_TESTABLE, None, None, [], f"needs {each}, {missing}") for claim, each in needs.items()]


def _twins(arms: Arms, figure: str, fixed: bool) -> list[Case]:
    """kd_mixup minus kd, averaged over the temperatures that both have, by teacher."""
    cases = []
    for name, group in arms.groups("kd_mixup", fixed):
        identity = group[IDENTITY].iloc[0]
        twins = [rows for _, rows in arms.groups("kd", fixed) if rows[IDENTITY].iloc[0].equals(identity)]
        plain = twins[0] if twins else group.iloc[:0]
        shared = [each for each in group["temperature"].unique() if each in set(plain["temperature"])]
        if shared:
            mixed, plain = (rows.loc[rows["temperature"].isin(shared)] for rows in (group, plain))
            draws = _by_temperature(arms, figure, mixed) - _by_temperature(arms, figure, plain)
            cases.append(arms.case(name, draws, mixed, plain))
    return cases


def _by_temperature(arms: Arms, figure: str, rows: pd.DataFrame) -> np.ndarray:
    """Draws [R] of the mean over temperatures, each of which counts the same, however many arms it has."""
    return np.mean([arms.draws(figure, each) for _, each in rows.groupby("temperature")], axis=0)


def _slopes(arms: Arms, figure: str) -> list[Case]:
    """The least-squares slope of a figure of kd_mixup over log₂ T, by teacher."""
    cases = []
    for name, group in arms.groups("kd_mixup", fixed=True):
        doublings = np.log2(group["temperature"].astype(float).to_numpy())
        if np.ptp(doublings) > 0:
            centred = doublings - doublings.mean()
            values = np.stack([arms.draws(figure, group.iloc[[row]]) for row in range(len(group))], axis=1)
            cases.append(arms.case(name, values @ centred / (centred @ centred), group))
    return cases


def _against_each(arms: Arms, figure: str, temperature: str, fixed: bool) -> list[Case]:
    """kd_mixup at one temperature minus each other one (with fixed, other than sigma), by teacher."""
    cases = []
    for name, group in arms.groups("kd_mixup"):
        chosen = group.loc[group["temperature"] == temperature]
        others = group.loc[~group["temperature"].isin([temperature, *["sigma"] * fixed])]
        for other, rows in others.groupby("temperature", sort=False) if len(chosen) else ():
            draws = arms.draws(figure, chosen) - arms.draws(figure, rows)
            cases.append(arms.case(f"{name}, T={other}", draws, chosen, rows))
    return cases


def _over_teachers(arms: Arms, teacher_test: Evidence | None, figure: str) -> list[Case]:
    rows = arms.points.loc[arms.points["method"].isin(["kd", "kd_mixup"]) & (arms.points["temperature"] != "sigma")]
    teachers = [each for each in rows["teacher"].unique() if teacher_test is not None and each in teacher_test.arms]
    rows = rows.loc[rows["teacher"].isin(teachers)]
    alike = rows.groupby(["method", "temperature", "alpha", "student"], sort=False)["teacher"].transform("nunique")
    rows = rows.loc[alike == len(teachers)]
    if len(teachers) < 2 or rows.empty or teacher_test is None:
        return []
    # one column a teacher, [R, teachers]
    cause = np.stack([teacher_test.draws["ece"][:, teacher_test.arms.index(each)] for each in teachers], axis=1)
    effect = np.stack([arms.draws(figure, rows.loc[rows["teacher"] == each]) for each in teachers], axis=1)
    centred = cause - cause.mean(axis=1, keepdims=True)
    spread = (centred**2).sum(axis=1)
    slope = np.divide((centred * effect).sum(axis=1), spread, out=np.zeros(len(spread)), where=spread > 0)
    return [arms.case(" → ".join(teachers), slope * np.ptp(cause, axis=1), rows)]
