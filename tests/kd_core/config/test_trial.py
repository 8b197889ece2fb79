import json
import re
from functools import partial

import pytest
from pydantic import ValidationError

from kd_core.config.data import DataConfig, ViewConfig
from kd_core.config.networks import TeacherConfig
from kd_core.config.recipe import FinetuneConfig
from kd_core.config.trial import TrialConfig, finetuning_trial


def test_beta_is_what_alpha_leaves(config_of):
    assert config_of(alpha=0.2).beta == pytest.approx(0.8)
    assert config_of(alpha=0.2, beta=5).beta == 5


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
        *[("kd", {"temperature": value}, "above 0, or sigma") for value in (0, -1, True, "warm", "-2")],
        *[("kd", {"temperature": float(value)}, "above 0, or sigma") for value in ("nan", "inf")],
        ("kd", {"alpha": 2}, "less than or equal to 1"),
        ("kd", {"alpha": float("nan")}, "alpha"),
        ("kd", {"beta": -1}, "greater than or equal to 0"),
        ("kd", {"temprature": 2}, "temprature"),
        ("kd", {"student.dropout": 1}, "less than 1"),
        ("boost", {}, "classic"),
    ],
)
def test_what_makes_no_sense_is_refused(config_of, method, edits, message):
    with pytest.raises(ValidationError, match=message):
        config_of(method, **edits)


@pytest.mark.parametrize(
    ("method", "edits", "problem"),
    [
        *[(method, {}, "") for method in ("classic", "mixup", "kd", "zscore", "dist", "wttm")],
        ("dkd", {}, "dkd reads the labels, .* lack; use kd, kd_mixup, zscore, dist, wttm$"),
        ("cud", {}, "cud reads the labels"),
        ("dkd", {"alpha": 1, "beta": 0}, ""),
        ("kd", {"alpha": 0.2, "train.uncertainty": "dus"}, "uncertainty: dus reads the labels, .*; remove it$"),
        ("kd", {"train.uncertainty": "dus"}, ""),
        ("classic", {"train.uncertainty": "dus"}, ""),
    ],
)
def test_images_without_a_label_need_a_loss_that_reads_none(config_of, method, edits, problem):
    teacher = {} if method in ("classic", "mixup") else {"teacher": {"model": "resnet18"}}
    make = partial(config_of, method, **{"data.unlabelled": "/more"}, **teacher, **edits)
    if problem:
        with pytest.raises(ValidationError) as refused:
            make()
        assert re.search(problem, refused.value.errors()[0]["msg"])
    else:
        assert make().sees_unlabelled == (method not in ("classic", "mixup") and edits.get("beta") != 0)


def test_a_trial_that_minimises_nothing_is_refused(config_of):
    with pytest.raises(ValidationError):
        config_of("kd", alpha=0, beta=0)


def test_an_infinite_weight_is_refused(config_of):
    with pytest.raises(ValidationError):
        config_of("kd", beta=float("inf"))


def test_a_config_is_frozen(config_of):
    with pytest.raises(ValidationError, match="frozen"):
        config_of().alpha = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("method", ["classic", "mixup", "kd", "kd_mixup"])
def test_a_config_survives_json(config_of, method):
    trial = config_of(method)
    again = TrialConfig.model_validate(json.loads(json.dumps(trial.model_dump(mode="json"))))
    assert again == trial


def test_fine_tuning_a_teacher_is_the_classic_training_of_its_network():
    teacher = TeacherConfig(model="resnet18", stem_stride=1, finetune=FinetuneConfig(epochs=3), seed=4)
    trial = finetuning_trial(teacher, DataConfig(source="digits"), ViewConfig(flip=False))
    assert (trial.method, trial.student.model, trial.student.stem_stride) == ("classic", "resnet18", 1)
    assert (trial.train.epochs, trial.seed, trial.view.flip) == (3, 4, False)
    untouched = finetuning_trial(TeacherConfig(model="resnet18"), DataConfig(source="digits"), ViewConfig())
    assert untouched.train.epochs == 0


@pytest.mark.parametrize(("recycle", "num_stream_epochs"), [(None, 9), (3, 3), (9, 9), (20, 9)])
def test_a_trial_uses_as_many_epochs_of_the_stream_as_it_trains_or_recycles(config_of, recycle, num_stream_epochs):
    trial = config_of("kd_mixup", recycle=recycle, **{"train.epochs": 9, "train.head_epochs": 2})
    assert trial.num_stream_epochs == num_stream_epochs
    assert trial.recycles == (num_stream_epochs < 9)
