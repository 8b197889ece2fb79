import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from kd_core.measure.linearity import between, information_bound
from kd_core.reliability.evaluator import Model, Outputs
from kd_core.reliability.linearity import LINEARITY
from tests.kd_core.reliability.models import CLASSES, LAMBDAS, OPTIONS, assert_finite, changed, figures, metrics, model

WITH_ENDS = ["nonlinearity", "nonlinearity_peak", "jensen_shannon", "entropy", "information", "dominance"]
WITH_ENDS += ["dominance_peak"]
OF_PAIRS = ["nonlinearity_median", "nonlinearity_p99"]
OF_TWO = ["gain", "gain_peak", "kl_real", "kl_mixed", "independence"]


def pairs(num: int, seed: int = 0) -> Model:
    """A model of so many pairs."""
    logits = np.random.default_rng(seed).normal(size=(5, num, CLASSES))
    return Model({"mixed": Outputs(logits, np.zeros((num, 2), dtype=int), {"lambda": LAMBDAS})}, 1.5)


def test_a_student_has_these_metrics_in_both_readings():
    names = [name + end for name in WITH_ENDS + OF_TWO for end in ("", "_low", "_high")] + [*OF_PAIRS, "bound"]
    endings = [name.replace("_low", "_scaled_low").replace("_high", "_scaled_high") for name in names]
    scaled = [name if "_scaled" in name else f"{name}_scaled" for name in endings]
    ours = figures(LINEARITY, model(0), model(1))
    assert set(metrics(ours)) == {f"linearity/{name}" for name in names + scaled}
    assert LINEARITY.objectives.keys() <= ours.keys()


def test_a_teacher_has_those_that_need_none():
    names = set(metrics(figures(LINEARITY, model(0))))
    assert names < set(metrics(figures(LINEARITY, model(0), model(1))))
    assert not [name for name in names if any(word in name for word in ("gain", "kl", "bound", "independence"))]
    assert len(names) == 2 * (3 * len(WITH_ENDS) + len(OF_PAIRS))


def test_curves_are_symmetric_with_one_value_a_coefficient():
    ours = figures(LINEARITY, model(0), model(1))
    arrays = {name: value for name, value in ours.items() if not isinstance(value, float) and name != "lambda"}
    curves = {name: value for name, value in arrays.items() if "_half" not in name and "_by_pair" not in name}
    np.testing.assert_array_equal(ours["lambda"], LAMBDAS)
    assert len(curves) == 2 * (3 * 8 + 2 + 3)
    for name, curve in curves.items():
        assert curve.shape == (len(LAMBDAS),), name
        np.testing.assert_allclose(curve, curve[::-1], atol=1e-12)


@pytest.mark.parametrize(("suffix", "temperature"), [("", 1.0), ("_scaled", 1.5)])
def test_figures_are_those_of_the_measures(suffix, temperature):
    student = model(0, temperature=1.5)
    spoken = log_softmax(student.outputs["mixed"].logits.astype(np.float64) / temperature, axis=-1)
    expected, ours = between(spoken, np.array(LAMBDAS)), figures(LINEARITY, student)
    np.testing.assert_allclose(ours[f"nonlinearity{suffix}"], expected.nonlinearity.mean(axis=1))
    ratio = expected.nonlinearity.mean(axis=1) / expected.entropy.mean(axis=1)
    np.testing.assert_allclose(ours[f"dominance{suffix}"], ratio)
    assert ours[f"linearity/dominance_peak{suffix}"] == pytest.approx(ratio.max())
    by_pair = expected.nonlinearity[1:-1].mean(axis=0)
    assert ours[f"linearity/nonlinearity{suffix}"] == pytest.approx(by_pair.mean())
    assert ours[f"linearity/nonlinearity_p99{suffix}"] == pytest.approx(np.quantile(by_pair, 0.99))
    uniform = np.log(CLASSES) - expected.linear_entropy.mean(axis=1)
    np.testing.assert_allclose(ours[f"uniform{suffix}"], uniform)
    assert (ours[f"uniform_dominance{suffix}"] < 1).all()


@pytest.mark.parametrize(("suffix", "scales"), [("", (1.0, 1.0)), ("_scaled", (1.5, 0.7))])
def test_the_bound_is_of_what_the_student_tells_of_its_teacher(suffix, scales):
    models = model(0, temperature=1.5), model(1, temperature=0.7)
    logits = [each.outputs["mixed"].logits.astype(np.float64) for each in models]
    student, teacher = (log_softmax(z / scale, axis=-1) for z, scale in zip(logits, scales, strict=True))
    ours = figures(LINEARITY, *models)
    np.testing.assert_allclose(ours[f"bound{suffix}"], information_bound(teacher, student))
    assert ours[f"linearity/bound{suffix}"] == pytest.approx(ours[f"bound{suffix}"][1:-1].mean())


def test_a_student_equal_to_its_teacher_gains_nothing():
    ours = figures(LINEARITY, model(0), model(0))
    for name, value in metrics(ours).items():
        if any(word in name for word in OF_TWO):
            assert value == pytest.approx(0, abs=1e-12)


def test_a_linear_student_of_another_teacher_gains_all_that_its_teacher_lacks():
    teacher = model(1)
    corners = softmax(teacher.outputs["mixed"].logits[[0, -1]].astype(np.float64), axis=-1)
    share = np.array(LAMBDAS)[:, None, None]
    student = changed(teacher, "mixed", np.log(share * corners[1] + (1 - share) * corners[0]))
    ours = figures(LINEARITY, student, teacher)
    assert ours["linearity/nonlinearity"] == pytest.approx(0, abs=1e-10)
    assert ours["linearity/gain"] == pytest.approx(figures(LINEARITY, teacher)["linearity/nonlinearity"])
    assert ours["linearity/gain_low"] > 0
    assert ours["linearity/kl_real"] == pytest.approx(0, abs=1e-10)
    assert ours["linearity/independence"] == pytest.approx(ours["linearity/kl_mixed"], abs=1e-10)
    assert ours["linearity/kl_mixed"] > 0.1


def test_intervals_hold_their_figure_and_are_the_same_each_time():
    ours, again = (figures(LINEARITY, model(0), model(1)) for _ in range(2))
    for name, value in ours.items():
        np.testing.assert_array_equal(value, again[name])
        if f"{name}_low" in ours:
            assert (ours[f"{name}_low"] <= value).all() if np.ndim(value) else ours[f"{name}_low"] <= value
            assert np.all(value <= ours[f"{name}_high"])
    other = figures(LINEARITY, model(0), model(1), OPTIONS.model_copy(update={"seed": 1}))
    assert other["linearity/gain"] == ours["linearity/gain"]
    assert other["linearity/gain_low"] != ours["linearity/gain_low"]


@pytest.mark.parametrize("name", ["nonlinearity", "gain", "kl_mixed"])
def test_intervals_shrink_with_the_number_of_pairs(name):
    widths = []
    for num in (50, 800):
        ours = figures(LINEARITY, pairs(num), pairs(num, seed=1))
        widths.append(ours[f"linearity/{name}_high"] - ours[f"linearity/{name}_low"])
    assert widths[1] == pytest.approx(widths[0] / 4, rel=0.35)


def test_huge_logits_give_finite_figures():
    assert_finite(figures(LINEARITY, model(0, scale=1e5, temperature=0.05), model(1, scale=1e5)))


def test_logits_alike_in_everything_give_finite_figures():
    same = changed(model(0), "mixed", np.zeros((5, 40, CLASSES)))
    ours = figures(LINEARITY, same, same)
    assert_finite(ours)
    assert ours["linearity/entropy"] == pytest.approx(np.log(CLASSES))


def test_values_by_pair_average_to_the_figures():
    ours = figures(LINEARITY, model(0), model(1))
    half = len(LAMBDAS) // 2
    for suffix in ("", "_scaled"):
        assert ours[f"gain_by_pair{suffix}"].mean() == pytest.approx(ours[f"linearity/gain{suffix}"], abs=1e-6)
        independence = ours[f"independence_by_pair{suffix}"].mean()
        assert independence == pytest.approx(ours[f"linearity/independence{suffix}"], abs=1e-6)
        for name in ("nonlinearity", "entropy"):
            assert ours[f"{name}_half{suffix}"].mean() == pytest.approx(ours[name + suffix][half], abs=1e-6)
