"""Params are what a sweep varies, under short names, and nothing that follows from them."""

import pytest

from analysis.settings import flat_of
from kd_core.config.trial import TrialConfig
from sweeps.tracking.differing_settings import differing_keys, differing_names, params_of, setting_text


def config_of(method="classic", **changes):
    """The config of a trial as its record has it."""
    teacher = {"model": "test_resnet"} if method not in ("classic", "mixup") else None
    content = {"data": {"source": "digits"}, "method": method, "student": {"model": "test_efficientnet"}}
    content |= {"train": {"epochs": 2}, "teacher": teacher} | changes
    return TrialConfig.model_validate(content).model_dump(mode="json")


def test_what_follows_from_the_method_the_teacher_or_alpha_is_not_varied():
    configs = [config_of("classic"), config_of("mixup"), config_of("kd"), config_of("kd_mixup", alpha=0.2)]
    assert differing_keys([*configs, config_of("dkd"), config_of("kd", teacher={"model": "resnet18"})]) == []


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("train.learning_rate", {"train": {"epochs": 2, "learning_rate": 0.01}}),
        ("beta", {"alpha": 0.0, "beta": 0.5}),
        ("student.dropout", {"student": {"model": "test_efficientnet", "dropout": 0.1}}),
        ("mixup.fraction", {"mixup": {"distribution": "uniform", "fraction": 0.5}}),
    ],
)
def test_what_an_arm_sets_is_varied(key, changes):
    assert differing_keys([config_of("kd_mixup"), config_of("kd_mixup", **changes)]) == [key]
    assert key in params_of(config_of("kd_mixup", **changes), "resnet", [key])


def test_params_have_the_names_that_people_use():
    config = config_of("kd", temperature="sigma", alpha=0.0, seed=3)
    assert params_of(config, "resnet", []) == {
        "method": "kd",
        "teacher": "resnet",
        "temperature": "sigma",
        "alpha": "0",
        "student": "test_efficientnet",
        "seed": "3",
    }
    assert "temperature" not in params_of(config_of(), None, [])


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (2.0, "2"), (0.002, "0.002"), (7, "7"), ("a b", "a b"), ([1, 2], "[1,2]")]
)
def test_a_setting_is_written_as_in_yaml(value, text):
    assert setting_text(value) == text


def test_a_flat_config_has_dotted_keys_and_only_what_is_set():
    assert flat_of({"a": {"b": 1, "c": None}, "d": 2}) == {"a.b": 1, "d": 2}


def test_params_that_are_the_same_in_all_trials_need_no_column():
    trials = [{"method": "kd", "alpha": "0", "seed": "0"}, {"method": "mixup", "seed": "0"}]
    assert differing_names(trials) == ["method", "alpha"]
    assert differing_names(trials[:1]) == ["method", "alpha", "seed"]
