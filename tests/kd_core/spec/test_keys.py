"""Keys: equal exactly when everything that can change the numbers is equal."""

import pytest

from kd_core.spec import keys
from kd_core.spec.config import TrialConfig
from kd_core.spec.keys import canonical_json, digest, trial_key


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
def test_the_key_changes_with_what_can_change_the_numbers(config_of, name):
    assert key_of(config_of(**{name: MATTERS[name]})) != key_of(config_of())


@pytest.mark.parametrize("version", ["STREAM_VERSION", "LOSS_VERSION"])
def test_the_key_changes_with_the_version_of_the_stream_and_the_loss(config_of, version, monkeypatch):
    before = key_of(config_of())
    monkeypatch.setattr(f"kd_core.spec.keys.{version}", 10**6)
    assert key_of(config_of()) != before


def test_every_edit_gives_a_key_of_its_own(config_of):
    keys = {key_of(config_of(**{name: value})) for name, value in MATTERS.items()}
    keys |= {
        key_of(config_of(temperature="sigma")),
        key_of(config_of("kd")),
        trial_key(config_of(), "other", "weights"),
    }
    assert len(keys | {trial_key(config_of(), "fingerprint", "others")}) == len(MATTERS) + 4


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
def test_the_key_does_not_change_with_what_cannot(config_of, edits):
    assert key_of(config_of(**edits)) == key_of(config_of())


def test_a_checkpoint_counts_by_its_bytes_and_not_by_its_path(config_of, tmp_path):
    keys = []
    for name, weights in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(weights)
        keys.append(key_of(config_of(**{"student.checkpoint": str(tmp_path / name)})))
    assert keys[0] == keys[1] != keys[2]


def test_the_key_of_a_distillation_needs_the_hash_of_the_teacher(config_of):
    with pytest.raises(ValueError, match="hash of its teacher"):
        trial_key(config_of("kd"), "fingerprint")


def test_canonical_json_is_one_text_for_equal_values():
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) == "43258cff783fe703"
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_recycling_makes_another_trial_only_where_an_epoch_is_seen_twice(config_of):
    def key(recycle):
        return trial_key(config_of("kd_mixup", recycle=recycle, **{"train.epochs": 9}), "data", "weights")

    assert key(None) == key(9) == key(50)
    assert len({key(None), key(3), key(8)}) == 3


def test_dkd_has_the_key_of_older_records_where_no_label_is_mixed(config_of):
    """Of a mixed label, older versions took both classes for full targets."""
    teacher = {"model": "resnet18"}
    mixed, plain = config_of("dkd", teacher=teacher), config_of("dkd", teacher=teacher, mixup={"distribution": "off"})
    assert _key_before(plain) == key_of(plain)
    assert _key_before(mixed) != key_of(mixed)


def _key_before(config: TrialConfig) -> str:
    """The key of a trial with a teacher before dkd had a rule of its own for mixed labels."""
    content = config.model_dump(mode="json", exclude={"data", "teacher", "student", "recycle"})
    form = config.teacher.model_dump(mode="json", include=keys._TEACHER_FORM) if config.teacher else {}
    return digest(
        content
        | {"data": "fingerprint", "student": keys.network_identity(config.student)}
        | {"teacher": form | {"weights": "weights"}}
        | {"stream_version": keys.STREAM_VERSION, "loss_version": keys.LOSS_VERSION}
        | {"network_version": keys.NETWORK_VERSION}
    )
