"""Tests which trial is promoted: by name, or from the front."""

import pytest

from analysis.choices import WORDS
from analysis.report import update_report
from analysis.snapshot import read_sweep
from kd_core.config.errors import SpecError
from sweeps.promotion.choice import choose_trial
from tests.products import members_of

CLASSIC, SIGMA = "classic seed 0", "kd_mixup resnet T=sigma seed 0"


def test_a_trial_is_named_by_its_label_its_key_or_the_beginning_of_either(tiny_store):
    key = next(each["key"] for each in members_of(tiny_store.sweep("tiny"))["trials"] if each["label"] == SIGMA)
    for name in (SIGMA, key, key[:6], SIGMA[:21]):
        choice = choose_trial(read_sweep(tiny_store, "tiny"), name)
        assert (choice.trial.key, choice.run["label"], choice.reason) == (key, SIGMA, "as named")


@pytest.mark.parametrize("word", WORDS)
def test_a_word_takes_the_arm_that_the_report_names_as_shipped(tiny_store, word):
    choice, report = choose_trial(read_sweep(tiny_store, "tiny"), word), update_report(read_sweep(tiny_store, "tiny"))
    said = report.content["temperature_scaled"]["choices"]
    assert choice.arm in report.arms
    assert (choice.arm["arm"], choice.run["arm"]) == (said[word], said[word])
    assert choice.trial.product.key == choice.arm["trial"]
    assert choice.reason == f"{word} of the front as shipped"  # of one seed


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
        choose_trial(read_sweep(tiny_store, "tiny"), name)


def test_what_is_not_finished_or_damaged_is_not_promoted(store):
    record = choose_trial(read_sweep(store, "tiny"), CLASSIC).trial.product
    weights = record.weights.read_bytes()
    record.weights.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(SpecError, match=r"student\.safetensors: is damaged.*run its spec again"):
        choose_trial(read_sweep(store, "tiny"), CLASSIC)
    (record.path / "manifest.json").unlink()
    with pytest.raises(SpecError, match=f"{CLASSIC}: is pending, not finished"):
        choose_trial(read_sweep(store, "tiny"), CLASSIC)
    record.fail("RuntimeError: out of memory", "")
    with pytest.raises(SpecError, match=r"is failed, not finished \(RuntimeError: out of memory\)"):
        choose_trial(read_sweep(store, "tiny"), CLASSIC)
    for each in members_of(store.sweep("tiny"))["trials"]:
        (store.trial(each["key"]).path / "manifest.json").unlink(missing_ok=True)
    with pytest.raises(SpecError, match="no trial has finished"):
        choose_trial(read_sweep(store, "tiny"), "knee")
