from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.evidence import Evidence
from analysis.statistics.matching import MIXUP, TEACHING, TEMPERATURE, Arms

COLUMNS = ["arm", "method", "teacher", "temperature", "alpha", "settings"]


def arms(*rows):
    """Arms of COLUMNS; the draws of the figure `accuracy` of arm number n are n."""
    points = pd.DataFrame(rows, columns=COLUMNS).assign(student="s")
    points = points.assign(trials=[[f"{name} 0", f"{name} 1"] for name in points["arm"]], num_seeds=2)
    names, draws = points["arm"].tolist(), {"accuracy": np.tile(np.arange(float(len(rows))), (5, 1))}
    plain = {"accuracy": draws["accuracy"][0]}
    return Arms(points, Evidence("test", 10, 5, names, dict.fromkeys(names, 2), plain, draws, {"accuracy": 0.0}))


SMALL, LARGE = {"train.epochs": 10}, {"train.epochs": 20}
UNIFORM = {"mixup.distribution": "uniform"}
SWEEP = arms(
    ("mixup", "mixup", "", "", 1.0, SMALL | UNIFORM),
    ("kd", "kd", "t", "2", 0.0, SMALL),
    ("kd long", "kd", "t", "2", 0.0, LARGE),
    ("both", "kd_mixup", "t", "2", 0.0, SMALL | UNIFORM),
    ("both at 4", "kd_mixup", "t", "4", 0.0, SMALL | UNIFORM),
    ("both at sigma", "kd_mixup", "t", "sigma", 0.0, SMALL | UNIFORM),
    ("both with labels", "kd_mixup", "t", "2", 0.2, SMALL | UNIFORM),
)


def names(pairs):
    return [tuple(SWEEP.points.loc[list(pair), "arm"]) for pair in pairs.items()]


def test_arms_are_paired_that_differ_only_in_what_a_claim_is_about():
    taught = SWEEP.of("kd_mixup")
    assert names(SWEEP.pairs(taught, SWEEP.of("kd"), MIXUP)) == [("both", "kd")]
    assert names(SWEEP.pairs(taught, SWEEP.of("mixup"), TEACHING)) == [
        (each, "mixup") for each in ("both", "both at 4", "both at sigma", "both with labels")
    ]


def test_groups_are_alike_in_all_but_what_a_claim_is_about_and_named_by_what_varies():
    groups = {name: rows["arm"].tolist() for name, rows in SWEEP.groups(SWEEP.of("kd_mixup"), TEMPERATURE)}
    assert groups == {"t, alpha 0": ["both", "both at 4", "both at sigma"], "t, alpha 0.2": ["both with labels"]}
    groups = {name: rows["arm"].tolist() for name, rows in SWEEP.groups(SWEEP.of("kd"), TEMPERATURE)}
    assert groups == {"t, train.epochs 10": ["kd"], "t, train.epochs 20": ["kd long"]}
    assert [name for name, _ in SWEEP.groups(SWEEP.of("mixup"), TEMPERATURE)] == ["s"]
    assert SWEEP.of("kd_mixup", fixed=True)["arm"].tolist() == ["both", "both at 4", "both with labels"]


@pytest.mark.parametrize(
    ("first", "second", "about", "keys"),
    [
        ("kd long", "both", MIXUP, "train.epochs"),
        ("kd long", "both at 4", MIXUP, "temperature, train.epochs"),
        ("kd", "both", MIXUP, ""),
        ("both", "both with labels", TEMPERATURE, ""),  # nothing at another temperature
    ],
)
def test_the_keys_are_named_in_which_the_nearest_arms_differ(first, second, about, keys):
    one, other = (SWEEP.points.loc[SWEEP.points["arm"] == each] for each in (first, second))
    assert SWEEP.apart(one, other, about) == keys
    assert SWEEP.apart(one, other.iloc[:0], about) == ""
    said = SWEEP.needs("two arms", one, other, about)
    assert said == ("two arms" if not keys else f"two arms, alike in all else; the nearest differ in {keys}")


def test_the_nearest_of_several_is_named():
    assert SWEEP.apart(SWEEP.of("kd").iloc[1:], SWEEP.of("kd_mixup"), MIXUP) == "train.epochs"


def test_a_case_is_a_weighted_sum_with_the_trials_and_the_seed_noise_of_its_arms():
    weights = pd.Series([1.0, -0.25, -0.25], [4, 1, 1])
    draws = SWEEP.draws("accuracy", weights)
    assert draws.tolist() == [3.5] * 5
    noisy = Arms(SWEEP.points, replace(SWEEP.test, seed_deviation={"accuracy": 0.1}))
    case = noisy.case("name", draws, weights, "accuracy")
    assert (case.name, case.num_seeds, case.freedom) == ("name", 2, 7)
    assert list(dict.fromkeys(case.trials)) == ["both at 4 0", "both at 4 1", "kd 0", "kd 1"]
    assert case.seed_variance == pytest.approx(0.1**2 * (1 + 0.5**2) / 2)
    assert (case.widened, case.freedom) == (0, 7)  # these draws are of images alone


def test_without_replicates_nothing_is_known_of_seeds():
    one = replace(SWEEP.test, num_seeds=dict.fromkeys(SWEEP.test.arms, 1), seed_deviation={"accuracy": np.nan})
    case = Arms(SWEEP.points, one).case("name", np.zeros(5), pd.Series([1.0], [0]), "accuracy")
    assert (case.num_seeds, case.seed_variance, case.widened) == (1, 0, 0)


def test_without_settings_arms_are_alike_by_their_columns():
    plain = Arms(SWEEP.points.drop(columns="settings"), SWEEP.test)
    assert len(plain.pairs(plain.of("kd_mixup"), plain.of("kd"), MIXUP)) == 1
