"""Statements of the paper for which predictions on test images are not enough: Medina 2026, sections 7.2 to 7.6.

They are about models that were evaluated (`kdsweep evaluate`), on pairs of images and on corrupted ones. Every model
saw the same, so that a resample of pairs or images is the same for all, and what seeds add is pooled over all arms.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy

from analysis.statistics.bootstrap import COVERAGE, Estimate
from analysis.statistics.cases import Case, Claim, judge
from kd_core.measure.resampling import resample_counts, resampled_means

_RESAMPLES = 4000
_SEED = 0
_FIXED = 2  # a teacher is what it is: no seed of it was drawn for the sweep


@dataclass(frozen=True)
class Evaluated:
    """A model that was evaluated: a teacher, whose arm is "", or the student of a trial, and its answers.

    method and temperature are those of a trial, teacher the name of its teacher, or of the teacher itself. metrics are
    by their name, arrays by evaluator and name.
    """

    key: str
    label: str
    arm: str = ""
    teacher: str = ""
    method: str = ""
    temperature: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def array(self, evaluator: str, name: str) -> np.ndarray | None:
        """One array of an evaluator's answer; None if it has none."""
        return self.arrays.get(evaluator, {}).get(name)


Values = Callable[[Evaluated], np.ndarray | None]


def beyond_predictions(models: Sequence[Evaluated]) -> list[Claim]:
    """The claims of sections 7.2 to 7.6, by the evaluated models of a sweep."""
    return [
        mismatch_dominates(models),
        students_are_more_linear(models),
        students_part_on_mixed_images(models),
        students_are_more_robust(models),
        robustness_follows_linearity(models),
    ]


def mismatch_dominates(models: Sequence[Evaluated]) -> Claim:
    """Sections 7.3 and 7.6, claim 1: D(½) > 1 (eq. 13), a ratio of means over pairs."""
    cases = []
    for teacher in _teachers(models):
        residual, entropy = (teacher.array("linearity", f"{name}_half") for name in ("nonlinearity", "entropy"))
        if residual is not None and entropy is not None:
            means = _draws(np.stack([residual, entropy]))
            ratio = means[:, 0] / np.maximum(means[:, 1], np.finfo(float).tiny)
            cases.append(Case(teacher.teacher, ratio - 1, [teacher.key], _FIXED))
    statement = "On mixed images, the teacher's signal is dominated by its mismatch (dominance ratio at λ = ½, minus 1)"
    return judge(statement, +1, cases, _needs("a teacher", "linearity"))


def students_are_more_linear(models: Sequence[Evaluated]) -> Claim:
    """Sections 7.4 and 7.6, claim 2: Δ_lin > 0 (eq. 15), the mean over 0 < λ < 1."""
    statement = (
        "Students of mixup distillation are more linear between images than their teacher (linearity gain, nats)"
    )
    cases = _cases(models, _gain)
    return judge(statement, +1, cases, _needs("students of kd_mixup", "linearity"))


def students_part_on_mixed_images(models: Sequence[Evaluated]) -> Claim:
    """Section 7.4, Table 6: the difference of KL(p_t ‖ p_s) on mixed and on real images."""
    statement = "Students part from their teacher on mixed images (KL of both on mixed images, minus that on real ones)"
    cases = _cases(models, lambda each: each.array("linearity", "independence_by_pair"))
    return judge(statement, +1, cases, _needs("students of kd_mixup", "linearity"))


def students_are_more_robust(models: Sequence[Evaluated]) -> Claim:
    """Sections 7.5 and 7.6, claim 3: accuracy on corrupted images against alike students of mixup alone."""
    variance, freedom = _seed_variance(models, _robust)
    alone: dict[str, list[np.ndarray]] = {}
    for each in models:
        if each.method == "mixup" and (values := _robust(each)) is not None:
            alone.setdefault(_recipe(each), []).append(values)
    cases = []
    for name, group in _students(models, _robust):
        others = alone.get(_recipe(group[0]))
        if others:
            mean = _known_mean(group, _robust) - np.mean(others, axis=0)
            seeds = min(_num_seeds(group), len(others))
            case = Case(name, _draws(mean[None])[:, 0], [each.key for each in group], seeds, freedom=freedom)
            cases.append(_with_seeds(case, variance * (1 / len(group) + 1 / len(others))))
    statement = "Students of mixup distillation are more accurate on corrupted images than those of mixup alone"
    detail = _needs("students of kd_mixup and of mixup that are alike in all else", "corruption")
    return judge(f"{statement} (accuracy of kd_mixup, averaged over T, minus mixup)", +1, cases, detail, points=True)


def robustness_follows_linearity(models: Sequence[Evaluated]) -> Claim:
    """Section 7.6, claim 3: teachers whose students gained more linearity have students that are more robust.

    The number is the slope over teachers times the range of their gains, for students that are alike in all else.
    """
    alike: dict[str, list[list[Evaluated]]] = {}
    for _, group in _students(models, lambda each: None if _robust(each) is None else _gain(each)):
        alike.setdefault(_recipe(group[0]), []).append(group)
    variance, freedom = _seed_variance(models, _robust)
    cases = []
    for groups in (groups for groups in alike.values() if len({group[0].teacher for group in groups}) > 1):
        gains, robusts = (
            np.stack([_draws(_known_mean(group, of)[None])[:, 0] for group in groups], axis=1)
            for of in (_gain, _robust)
        )
        centred = gains - gains.mean(axis=1, keepdims=True)
        spread = np.maximum((centred**2).sum(axis=1), np.finfo(float).tiny)
        slope = (centred * robusts).sum(axis=1) / spread * np.ptp(gains, axis=1)
        trials, seeds = [each.key for group in groups for each in group], min(map(_num_seeds, groups))
        case = Case(" → ".join(group[0].teacher for group in groups), slope, trials, seeds, freedom=freedom)
        cases.append(_with_seeds(case, variance * sum(1 / len(group) for group in groups)))
    statement = "The more linearity students gain, the more accurate they are on corrupted images"
    measure = "accuracy at the largest gain minus that at the smallest, on a line through all teachers"
    needs = _needs("students of kd_mixup of two teachers, alike in all else", "linearity,corruption")
    return judge(f"{statement} ({measure})", +1, cases, needs, points=True)


def corrupted_difference(
    first: Sequence[Evaluated], second: Sequence[Evaluated], others: Sequence[Evaluated] = ()
) -> Estimate | None:
    """Accuracy on corrupted images of the models of one arm less that of another; None if an arm has none.

    Seeds of `others` help to tell what seeds add.
    """
    means = [_mean_of(group, _robust) for group in (first, second)]
    if means[0] is None or means[1] is None:
        return None
    variance, freedom = _seed_variance((*first, *second, *others), _robust)
    draws = _draws((means[0] - means[1])[None])[:, 0]
    case = _with_seeds(Case("", draws, [], freedom=freedom), variance * (1 / len(first) + 1 / len(second)))
    return Estimate(case.value, *case.interval((1 - COVERAGE) / 2))


def corrupted_gain(first: Sequence[Evaluated], second: Sequence[Evaluated]) -> np.ndarray | None:
    """Accuracy by corruption of the models of one arm less that of another, with intervals by images: [3, C]."""
    means = [_mean_of(group, lambda each: each.array("corruption", "correct")) for group in (first, second)]
    if means[0] is None or means[1] is None:
        return None
    by_image = (means[0] - means[1]).mean(axis=1)
    draws = _draws(by_image)
    tail = (1 - COVERAGE) / 2
    return np.stack([by_image.mean(axis=1), *np.quantile(draws, [tail, 1 - tail], axis=0)])


def _needs(whom: str, evaluators: str) -> str:
    return f"{whom}, evaluated by kdsweep evaluate --only {evaluators}"


def _teachers(models: Iterable[Evaluated]) -> list[Evaluated]:
    return [each for each in models if not each.arm]


def _students(models: Iterable[Evaluated], values_of: Values) -> list[tuple[str, list[Evaluated]]]:
    """The students of mixup distillation at fixed temperatures that have values, by what else tells their arms apart.

    An arm's name has every key in which arms of its sweep differ, so those of one group differ in T alone.
    """
    groups: dict[str, list[Evaluated]] = {}
    for each in models:
        if each.method == "kd_mixup" and each.temperature != "sigma" and values_of(each) is not None:
            words = [word for word in each.arm.split()[1:] if not word.startswith("T=")]
            groups.setdefault(" ".join(words), []).append(each)
    return list(groups.items())


def _recipe(model: Evaluated) -> str:
    """What tells an arm apart beside its method, its teacher, and how it learns from that."""
    words = (word for word in model.arm.split()[1:] if not word.startswith(("T=", "alpha=", "beta=")))
    return " ".join(word for word in words if word != model.teacher)


def _num_seeds(group: Sequence[Evaluated]) -> int:
    """The fewest seeds of an arm among these."""
    arms = [each.arm for each in group]
    return min(map(arms.count, arms))


def _gain(model: Evaluated) -> np.ndarray | None:
    """The linearity gain of each pair, [P]."""
    return model.array("linearity", "gain_by_pair")


def _robust(model: Evaluated) -> np.ndarray | None:
    """The share of corruptions and severities under which each image is classified correctly, [N]."""
    correct = model.array("corruption", "correct")
    return None if correct is None else correct.mean(axis=(0, 1))


def _mean_of(models: Iterable[Evaluated], values_of: Values) -> np.ndarray | None:
    """The mean over models of their values [P], None if none has any."""
    values = [values for each in models if (values := values_of(each)) is not None]
    return np.mean(values, axis=0) if values else None


def _known_mean(models: Iterable[Evaluated], values_of: Values) -> np.ndarray:
    """The mean over models, of which one has values at least."""
    mean = _mean_of(models, values_of)
    assert mean is not None
    return mean


def _cases(models: Sequence[Evaluated], values_of: Values) -> list[Case]:
    """A case for each group of students that differ in T alone: the mean of their values [P]."""
    variance, freedom = _seed_variance(models, values_of)
    cases = []
    for name, group in _students(models, values_of):
        draws = _draws(_known_mean(group, values_of)[None])[:, 0]
        case = Case(name, draws, [each.key for each in group], _num_seeds(group), freedom=freedom)
        cases.append(_with_seeds(case, variance / len(group)))
    return cases


def _seed_variance(models: Iterable[Evaluated], values_of: Values) -> tuple[float, float]:
    """The variance of a model's mean value by its seed, pooled over arms, and its degrees of freedom."""
    by_arm: dict[str, list[float]] = {}
    for each in models:
        if each.arm and (values := values_of(each)) is not None:
            by_arm.setdefault(each.arm, []).append(float(values.mean()))
    freedom = sum(len(values) - 1 for values in by_arm.values())
    squares = sum(float(np.sum((np.array(values) - np.mean(values)) ** 2)) for values in by_arm.values())
    return (squares / freedom, float(freedom)) if freedom else (0.0, np.inf)


def _with_seeds(case: Case, variance: float) -> Case:
    """A case whose draws also vary as its seeds do."""
    raw = np.random.Philox(key=_SEED).random_raw(len(case.draws)) >> np.uint64(12)
    noise = scipy.special.ndtri((raw + 0.5) * 2.0**-52)
    draws = case.draws + np.sqrt(variance) * noise
    total = case.seed_variance + variance
    return Case(case.name, draws, case.trials, case.num_seeds, total, total, case.freedom)


def _draws(values: np.ndarray) -> np.ndarray:
    """Means of values [M, P] in resamples of the pairs or images, [R, M]; the same resamples for equal P."""
    return resampled_means(values, resample_counts(values.shape[1], _RESAMPLES, _SEED))
