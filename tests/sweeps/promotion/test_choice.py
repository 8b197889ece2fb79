"""Tests which trial is promoted: by name, or from the front."""

import pandas as pd
import pytest

from analysis.pareto import front_of
from sweeps.promotion.choice import BY_FRONT, arm_of, chosen
from sweeps.spec.mistakes import SpecError

CLASSIC, SIGMA = "classic seed 0", "kd_mixup resnet T=sigma seed 0"
BLANK = ["method", "teacher", "temperature", "alpha", "student", "error", "latency_device"]


def front(*points, objectives=("validation/accuracy", "validation/ece")):
    """The front of arms with two seeds each, of which seed 1 is more accurate; points are (accuracy, ECE) of arms."""
    rows = [
        {"trial": f"{arm}{seed}", "label": f"{arm} seed {seed}", "arm": arm, "seed": seed, "status": "finished"}
        | {"validation/accuracy": accuracy + 0.001 * seed, "validation/ece": ece, "num_parameters": 100 * accuracy}
        | dict.fromkeys(BLANK, "")
        for arm, (accuracy, ece) in zip("abcdef", points, strict=False)
        for seed in (0, 1)
    ]
    directions = {name: "max" if name.endswith("accuracy") else "min" for name in objectives}
    return front_of(pd.DataFrame(rows), directions)


@pytest.mark.parametrize(
    ("points", "arm"),
    [
        ([(0.9, 0.10)], "a"),
        ([(0.8, 0.02), (0.9, 0.10)], "b"),  # two are equally far: the better by the first objective
        ([(0.8, 0.02), (0.89, 0.03), (0.9, 0.10)], "b"),
        ([(0.8, 0.02), (0.82, 0.09), (0.9, 0.10)], "c"),  # one inside the line
        ([(0.8, 0.02), (0.89, 0.03), (0.9, 0.10), (0.88, 0.031)], "b"),  # the last is not on the front
    ],
)
def test_the_knee_is_farthest_from_the_line_between_the_extremes(points, arm):
    assert arm_of(front(*points), "knee")["arm"] == arm


def test_the_knee_does_not_depend_on_units():
    points = [(0.9, 0.10), (0.88, 0.06), (0.87, 0.03), (0.8, 0.02)]
    larger = [(accuracy, 1000 * ece) for accuracy, ece in points]
    assert arm_of(front(*points), "knee")["arm"] == arm_of(front(*larger), "knee")["arm"] == "c"


def test_the_ends_of_the_front_are_the_most_accurate_and_the_best_calibrated_arm():
    found = front((0.8, 0.02), (0.89, 0.03), (0.9, 0.10), (0.7, 0.2))
    assert arm_of(found, "most-accurate")["trial"] == "c1"  # of its seeds the best on validation
    assert arm_of(found, "best-calibrated")["trial"] == "a1"


def test_a_front_without_calibration_has_a_best_calibrated_arm_nevertheless():
    found = front((0.8, 0.02), (0.89, 0.03), (0.9, 0.10), objectives=("validation/accuracy", "num_parameters"))
    assert arm_of(found, "best-calibrated")["arm"] == "a"


def test_a_trial_is_named_by_its_label_its_key_or_the_beginning_of_either(tiny_store):
    key = next(each["key"] for each in tiny_store.sweep("tiny").members()["trials"] if each["label"] == SIGMA)
    for name in (SIGMA, key, key[:6], SIGMA[:21]):
        choice = chosen(tiny_store, "tiny", name)
        assert (choice.record.key, choice.run["label"], choice.reason) == (key, SIGMA, "as named")


@pytest.mark.parametrize("word", BY_FRONT)
def test_a_word_takes_a_trial_of_the_front(tiny_store, word):
    choice = chosen(tiny_store, "tiny", word)
    assert choice.record.key in choice.front.members["trial"].tolist()
    assert choice.reason == f"{word} of the front"  # of one seed


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nosuch", "tiny has no such trial; `kdsweep status tiny` lists"),
        ("", "no such trial"),
        ("kd_mixup", "2 trials begin so, such as 'kd_mixup resnet T=2 seed 0' and"),
    ],
)
def test_a_name_of_no_trial_or_of_several_is_one_sentence(tiny_store, name, problem):
    with pytest.raises(SpecError, match=problem):
        chosen(tiny_store, "tiny", name)


def test_what_is_not_finished_or_damaged_is_not_promoted(store):
    record = chosen(store, "tiny", CLASSIC).record
    weights = record.weights.read_bytes()
    record.weights.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(SpecError, match=r"student\.safetensors: is damaged.*run its spec again"):
        chosen(store, "tiny", CLASSIC)
    (record.path / "result.json").unlink()
    with pytest.raises(SpecError, match=f"{CLASSIC}: is pending, not finished"):
        chosen(store, "tiny", CLASSIC)
    record.fail("RuntimeError: out of memory", "")
    with pytest.raises(SpecError, match=r"is failed, not finished \(RuntimeError: out of memory\)"):
        chosen(store, "tiny", CLASSIC)
    for each in store.sweep("tiny").members()["trials"]:
        (store.trial(each["key"]).path / "result.json").unlink(missing_ok=True)
    with pytest.raises(SpecError, match="no trial has finished"):
        chosen(store, "tiny", "knee")


def test_a_trial_that_waits_for_its_teacher_is_not_promoted(store):
    sweep = store.sweep("tiny")
    waiting = {"label": "kd later seed 0", "arm": "kd later", "teacher": "later", "seed": 0}
    sweep.write(sweep.spec_yaml(), sweep.members() | {"waiting": [waiting]})
    with pytest.raises(SpecError, match="kd later seed 0: waits for its teacher"):
        chosen(store, "tiny", "kd later")
