import json

import numpy as np
import pytest
from pydantic import ValidationError

from kd_core.config import (
    DataConfig,
    FinetuneConfig,
    MixupConfig,
    TeacherConfig,
    TrialConfig,
    ViewConfig,
    canonical_json,
    digest,
    finetuning_trial,
    trial_key,
)


def content(method: str = "kd_mixup", **edits) -> dict:
    """A trial as YAML would give it, with dotted edits: `content(**{"train.epochs": 5})`."""
    value = {
        "data": {"source": "folder", "path": "/data"},
        "method": method,
        "student": {"model": "mobilenetv2_100", "bottleneck": 256},
        "train": {"epochs": 2},
    }
    if method.startswith("kd"):
        value["teacher"] = {"model": "resnet18", "finetune": {"epochs": 1}}
    for key, edit in edits.items():
        *groups, name = key.split(".")
        group = value
        for each in groups:
            group = group.setdefault(each, {})
        group[name] = edit
    return value


def config(method: str = "kd_mixup", **edits) -> TrialConfig:
    return TrialConfig.model_validate(content(method, **edits))


def key_of(trial: TrialConfig) -> str:
    return trial_key(trial, "fingerprint", "weights")


MATTERS = {
    "view.padding": 3,
    "view.flip": False,
    "mixup": {"distribution": "beta", "concentration": 0.4},
    "mixup.fraction": 0.5,
    "teacher.model": "resnet34",
    "teacher.stem_stride": 1,
    "teacher.image_size": 64,
    "temperature": 3,
    "alpha": 0.1,
    "beta": 2,
    "student.model": "mobilenetv2_050",
    "student.bottleneck": 128,
    "student.dropout": 0.1,
    "student.stem_stride": 1,
    "student.image_size": 64,
    "student.pretrained": True,
    "train.epochs": 3,
    "train.batch_size": 64,
    "train.optimizer": "sgd",
    "train.learning_rate": 0.1,
    "train.weight_decay": 0,
    "train.schedule": "constant",
    "train.warmup_epochs": 1,
    "stream_seed": 1,
    "seed": 1,
}


@pytest.mark.parametrize("name", MATTERS)
def test_the_key_changes_with_what_can_change_the_numbers(name):
    assert key_of(config(**{name: MATTERS[name]})) != key_of(config())


@pytest.mark.parametrize("version", ["STREAM_VERSION", "LOSS_VERSION"])
def test_the_key_changes_with_the_version_of_the_stream_and_the_loss(version, monkeypatch):
    before = key_of(config())
    monkeypatch.setattr(f"kd_core.config.{version}", 10**6)
    assert key_of(config()) != before


def test_every_edit_gives_a_key_of_its_own():
    keys = {key_of(config(**{name: value})) for name, value in MATTERS.items()}
    keys |= {key_of(config(temperature="sigma")), key_of(config("kd")), trial_key(config(), "other", "weights")}
    assert len(keys | {trial_key(config(), "fingerprint", "others")}) == len(MATTERS) + 4


@pytest.mark.parametrize(
    "edits",
    [
        {},
        {"temperature": 2},
        {"alpha": 0, "beta": 1},
        {"mixup": "uniform"},
        {"data.path": "/elsewhere"},
        {"teacher.seed": 3},  # seen through the hash of the weights
        {"teacher.finetune": {"epochs": 9}},
    ],
    ids=str,
)
def test_the_key_does_not_change_with_what_cannot(edits):
    assert key_of(config(**edits)) == key_of(config())


def test_a_checkpoint_counts_by_its_bytes_and_not_by_its_path(tmp_path):
    keys = []
    for name, weights in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(weights)
        keys.append(key_of(config(**{"student.checkpoint": str(tmp_path / name)})))
    assert keys[0] == keys[1] != keys[2]


def test_the_key_of_a_distillation_needs_the_hash_of_the_teacher():
    with pytest.raises(ValueError, match="hash of its teacher"):
        trial_key(config("kd"), "fingerprint")


@pytest.mark.parametrize(
    ("method", "mixup", "alpha", "beta", "temperature"),
    [
        ("classic", "off", 1, 0, None),
        ("mixup", "uniform", 1, 0, None),
        ("kd", "off", 0, 1, 2),
        ("kd_mixup", "uniform", 0, 1, 2),
    ],
)
def test_each_method_has_its_defaults(method, mixup, alpha, beta, temperature):
    trial = config(method)
    assert (trial.mixup.distribution, trial.alpha, trial.beta, trial.temperature) == (mixup, alpha, beta, temperature)
    assert trial.view == ViewConfig(padding=4, flip=True)


def test_beta_is_what_alpha_leaves():
    assert config(alpha=0.2).beta == pytest.approx(0.8)
    assert config(alpha=0.2, beta=5).beta == 5


@pytest.mark.parametrize(
    ("method", "edits", "message"),
    [
        ("classic", {"temperature": 2}, "takes no temperature"),
        ("classic", {"teacher": {"model": "resnet18"}}, "takes no teacher"),
        ("mixup", {"alpha": 0.5}, "takes no alpha"),
        ("classic", {"mixup": "uniform"}, "use method: mixup"),
        ("kd", {"mixup": "uniform"}, "use method: kd_mixup"),
        ("kd", {"teacher": None}, "needs a teacher"),
        ("mixup", {"mixup": False}, "use method: classic"),
        ("kd_mixup", {"mixup": "off"}, "use method: kd"),
        ("kd", {"train.batch_size": 33}, "even"),
        ("kd", {"train.batch_size": 0}, "greater than 0"),
        *[("kd", {"temperature": value}, "above 0, or sigma") for value in (0, -1, True, "warm", "-2")],
        *[("kd", {"temperature": float(value)}, "above 0, or sigma") for value in ("nan", "inf")],
        ("kd", {"alpha": 2}, "less than or equal to 1"),
        ("kd", {"alpha": float("nan")}, "alpha"),
        ("kd", {"beta": -1}, "greater than or equal to 0"),
        ("kd", {"temprature": 2}, "temprature"),
        ("kd", {"student.dropout": 1}, "less than 1"),
        ("kd", {"data.path": None}, "needs data.path"),
        ("kd", {"data": {"source": "digits", "path": "/data"}}, "takes no path"),
        ("kd_mixup", {"mixup": "beta"}, "concentration"),
        ("kd_mixup", {"mixup.concentration": 1}, "concentration"),
        ("kd_mixup", {"mixup.fraction": 1.5}, "less than or equal to 1"),
        ("boost", {}, "classic"),
    ],
)
def test_what_makes_no_sense_is_refused(method, edits, message):
    with pytest.raises(ValidationError, match=message):
        config(method, **edits)


def test_a_trial_that_minimises_nothing_is_refused():
    with pytest.raises(ValidationError):
        config("kd", alpha=0, beta=0)


@pytest.mark.parametrize("name", ["train.learning_rate", "train.weight_decay", "train.warmup_epochs", "beta"])
def test_infinities_are_refused(name):
    with pytest.raises(ValidationError):
        config("kd", **{name: float("inf")})


@pytest.mark.parametrize("value", [False, "off", {"distribution": "off"}])
def test_off_is_a_word_that_yaml_reads_as_false(value):
    assert MixupConfig.model_validate(value) == MixupConfig(distribution="off")
    assert config("classic", mixup=value).mixup.distribution == "off"


def test_a_config_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        config().alpha = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("method", ["classic", "mixup", "kd", "kd_mixup"])
def test_a_config_survives_json(method):
    trial = config(method)
    again = TrialConfig.model_validate(json.loads(json.dumps(trial.model_dump(mode="json"))))
    assert again == trial
    assert key_of(again) == key_of(trial)


def test_canonical_json_is_one_text_for_equal_values():
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) == "43258cff783fe703"
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(np.nan)


def test_fine_tuning_a_teacher_is_the_classic_training_of_its_network():
    teacher = TeacherConfig(model="resnet18", stem_stride=1, finetune=FinetuneConfig(epochs=3), seed=4)
    trial = finetuning_trial(teacher, DataConfig(source="digits"), ViewConfig(flip=False))
    assert (trial.method, trial.student.model, trial.student.stem_stride) == ("classic", "resnet18", 1)
    assert (trial.train.epochs, trial.seed, trial.view.flip) == (3, 4, False)
    untouched = finetuning_trial(TeacherConfig(model="resnet18"), DataConfig(source="digits"), ViewConfig())
    assert untouched.train.epochs == 0
