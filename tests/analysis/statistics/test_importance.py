import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.pareto import Front
from analysis.statistics.importance import IDLE, MATTERS, OPEN, importances_of, keys_of

ACCURACY, ECE = "validation/accuracy", "validation/ece"


def front(settings, accuracy, objectives=None, **columns):
    """A front of arms with these settings and accuracies; other keys are the same unless they are given."""
    texts = dict.fromkeys(("method", "teacher", "temperature", "student"), "same")
    points = pd.DataFrame({"settings": settings, "alpha": 0.0}).assign(**texts).assign(**columns)
    points[ACCURACY] = accuracy
    return Front(points.assign(**{ECE: 0.1}), objectives or {ACCURACY: "max"}, {}, 0.0)


def grid(**values):
    """The settings of a grid."""
    return [dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())]


def by_key(found):
    return {each.key: each for each in found}


def test_shares_of_a_grid_are_those_of_its_effects_and_an_idle_key_has_none():
    settings = grid(depth=[1, 2, 3], width=[1, 2, 3, 4], name=["a", "b", "c"])
    accuracy = np.array([0.6 + 0.03 * each["depth"] + 0.01 * (each["width"] == 3) for each in settings])
    effects = [(0.03 * np.array([1, 2, 3])).var(), (0.01 * np.array([0, 0, 1, 0])).var()]
    noise = np.random.default_rng(0).normal(scale=1e-3, size=len(settings))
    depth, width, name = importances_of(front(settings, accuracy + noise))
    assert (depth.key, width.key, name.key) == ("depth", "width", "name")
    assert depth.share == pytest.approx(effects[0] / sum(effects), abs=0.02)
    assert width.share == pytest.approx(effects[1] / sum(effects), abs=0.02)
    assert name.share == pytest.approx(0, abs=0.01)
    assert [depth.verdict, width.verdict, name.verdict] == [MATTERS, MATTERS, IDLE]
    assert (depth.num_values, width.num_values, name.num_arms) == (3, 4, 36)
    for each in (depth, width, name):
        assert 0 <= each.low <= each.share <= each.high <= 1


def test_an_optimum_within_the_range_of_a_search_is_seen():
    rates = np.random.default_rng(1).permutation(np.linspace(0, 1, 40))
    settings = [{"rate": rate, "momentum": other} for rate, other in zip(rates, rates[::-1] ** 0.5, strict=True)]
    rate, momentum = importances_of(front(settings, 0.8 - (rates - 0.5) ** 2))
    assert (rate.key, rate.verdict) == ("rate", MATTERS)
    assert rate.share > 0.9
    assert momentum.verdict != MATTERS


def test_labels_by_chance_hardly_ever_matter():
    generator, settings = np.random.default_rng(2), grid(first=[1, 2, 3], second=["a", "b", "c"], third=[1, 2, 3, 4])
    said = [importances_of(front(settings, generator.normal(size=len(settings)))) for _ in range(12)]
    assert sum(any(each.verdict == MATTERS for each in found) for found in said) <= 2
    assert np.mean([each.share for found in said for each in found]) < 0.1


def test_much_noise_leaves_it_open_what_does_nothing_and_of_few_arms_nothing_is_said():
    settings = grid(first=[1, 2, 3], second=["a", "b"], third=range(5))
    accuracy = np.array([0.1 * each["first"] for each in settings])
    found = by_key(importances_of(front(settings, accuracy + np.random.default_rng(3).normal(scale=0.3, size=30))))
    assert found["second"].verdict == OPEN
    assert importances_of(front(settings[:29], accuracy[:29])) == []


def test_keys_that_always_change_together_are_one():
    settings = [
        {"epochs": number, "rate": -number, "name": name} for number, name in itertools.product([1, 2, 3], "ab" * 5)
    ]
    found = importances_of(front(settings, np.linspace(0.1, 0.3, 30)))
    assert [each.key for each in found] == ["epochs, rate", "name"]


def test_numbers_of_a_search_that_rise_and_fall_together_are_one():
    rates = np.random.default_rng(5).permutation(np.linspace(1, 2, 30))
    settings = [
        {"rate": rate, "decay": 1 / rate, "other": other} for rate, other in zip(rates, rates[::-1], strict=True)
    ]
    assert {each.key for each in importances_of(front(settings, rates))} == {"decay, rate", "other"}


def test_two_halves_are_told_apart_and_a_text_of_its_own_for_each_arm_is_left_out():
    settings = [each | {"name": f"arm {number}"} for number, each in enumerate(grid(first=[1, 2], second=range(15)))]
    halves = [each | {"third": number % 2} for number, each in enumerate(settings)]
    found = importances_of(front(halves, np.linspace(0.1, 0.55, 30) ** 2))
    assert {each.key for each in found} == {"first", "second", "third"}


def test_a_key_that_only_some_arms_have_is_judged_among_them():
    """Temperatures are alike; that arms without one are much worse is what the method does."""
    generator, temperatures = np.random.default_rng(4), ["", "", "", *["2", "4", "sigma"] * 3] * 3
    methods = (["classic"] * 3 + ["kd"] * 9) * 3
    accuracy = np.where(np.array(methods) == "kd", 0.9, 0.5) + generator.normal(scale=0.01, size=36)
    found = by_key(importances_of(front([{}] * 36, accuracy, method=methods, temperature=temperatures)))
    assert found["method"].verdict == MATTERS
    assert found["method"].share > 0.95
    assert found["temperature"].num_arms == 27
    assert found["temperature"].share < 0.02


def test_each_objective_has_its_own_shares_and_a_constant_one_none():
    settings = grid(first=range(6), second=range(5))
    found = importances_of(front(settings, np.linspace(0, 1, 30), {ACCURACY: "max", ECE: "min"}))
    assert {each.objective for each in found} == {ACCURACY}


def test_arms_without_the_objective_do_not_count():
    settings, accuracy = grid(first=range(6), second=range(6)), np.linspace(0, 1, 36)
    accuracy[4] = np.nan
    assert {each.num_arms for each in importances_of(front(settings, accuracy))} == {35}


def test_values_of_keys_are_numbers_text_or_none():
    points = front([{"flag": True, "steps": [1, 2]}, {"rate": 0.1}], [0.1, 0.2], temperature=["2", ""]).points
    keys = keys_of(points.assign(alpha=[np.nan, 0.5]))
    assert keys["temperature"] == [2.0, None]
    assert keys["alpha"] == [None, 0.5]
    assert keys["flag"] == ["true", None]
    assert keys["steps"] == ["[1, 2]", None]
    assert keys["rate"] == [None, 0.1]
    assert "settings" not in keys
    assert set(keys_of(points.drop(columns="settings"))) == {"method", "teacher", "temperature", "alpha", "student"}
