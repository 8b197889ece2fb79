"""Keys: equal exactly when everything that can change the numbers is equal."""

from typing import Annotated

import pytest
from pydantic import create_model

from kd_core.config.identity import canonical_json, digest, identity_of, signal_identity, trial_identity, trial_key
from kd_core.config.trial import TrialConfig
from kd_core.fields import Config, Neutral
from tests.kd_core.config import golden

CONFIGS = {
    *("TrialConfig", "DataConfig", "ViewConfig", "MixupConfig", "StudentConfig", "TeacherConfig", "TrainConfig"),
    *("FusedTeacherConfig", "FinetuneConfig", "PieceConfig", "DkdConfig", "DistConfig", "CudConfig"),
}


def key_of(trial: TrialConfig) -> str:
    return trial_key(trial, "fingerprint", "teacher")


MATTERS = {
    "view.padding": 3,
    "view.flip": False,
    "mixup": {"distribution": "beta", "concentration": 0.4},
    "mixup.fraction": 0.5,
    "teacher.precision": "bfloat16",
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


@pytest.mark.parametrize(
    ("method", "edits", "changes"),
    [("classic", {}, False), ("mixup", {}, False), ("kd", {}, True), ("kd_mixup", {"alpha": 1}, False)],
)
def test_unlabelled_images_change_the_keys_of_those_trials_alone_that_see_them(config_of, method, edits, changes):
    config, teacher = config_of(method, **edits), None if method in ("classic", "mixup") else "teacher"
    keys = [trial_key(config, data, teacher) for data in ("labelled", "labelled+more", "labelled+other")]
    assert len(set(keys)) == (3 if changes else 1)
    if teacher is not None:
        signals = {digest(signal_identity(config, data, teacher)) for data in ("labelled", "labelled+more")}
        assert len(signals) == (2 if changes else 1)


@pytest.mark.parametrize("version", ["STREAM_VERSION", "LOSS_VERSION"])
def test_the_key_changes_with_the_version_of_the_stream_and_the_loss(config_of, version, monkeypatch):
    before = key_of(config_of())
    monkeypatch.setattr(f"kd_core.config.identity.{version}", 10**6)
    assert key_of(config_of()) != before


def test_every_edit_gives_a_key_of_its_own(config_of):
    keys = {key_of(config_of(**{name: value})) for name, value in MATTERS.items()}
    keys |= {
        key_of(config_of(temperature="sigma")),
        key_of(config_of("kd")),
        trial_key(config_of(), "other", "teacher"),
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
        {"data.streaming": True},
        {"teacher.seed": 3},  # seen through the teacher's key
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


def test_an_order_of_classes_counts_by_its_bytes_and_none_by_nothing(config_of, tmp_path):
    keys = []
    for name, content in (("a", "cat"), ("b", "cat"), ("c", "dog")):
        (tmp_path / name).write_text(content)
        keys.append(key_of(config_of(**{"student.classes": str(tmp_path / name)})))
    assert keys[0] == keys[1] != keys[2]
    assert key_of(config_of(**{"student.classes": None})) == key_of(config_of()) not in keys


def test_the_key_of_a_distillation_needs_that_of_its_teacher(config_of):
    with pytest.raises(ValueError, match="key of its teacher"):
        trial_key(config_of("kd"), "fingerprint")


def test_canonical_json_is_one_text_for_equal_values():
    assert canonical_json({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) == "43258cff783fe703"
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(float("nan"))


def test_recycling_makes_another_trial_only_where_an_epoch_is_seen_twice(config_of):
    def key(recycle):
        return trial_key(config_of("kd_mixup", recycle=recycle, **{"train.epochs": 9}), "data", "teacher")

    assert key(None) == key(9) == key(50)
    assert len({key(None), key(3), key(8)}) == 3


def configs_in(config: Config) -> dict[type[Config], Config]:
    """A config and all configs inside of it, by their type."""
    found = {type(config): config}
    for name in type(config).model_fields:
        values = getattr(config, name)
        for value in values if isinstance(values, tuple) else [values]:
            found |= configs_in(value) if isinstance(value, Config) else {}
    return found


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_a_new_field_with_a_neutral_value_changes_no_identity_and_one_without_does(config_of, name):
    pieces = {"epochs": 1, "schedule": "piecewise", "pieces": [{"until": 1, "start": 0.1, "end": 0}]}
    trials = [config_of(teacher={"fuse": [{"model": "resnet18"}]})]
    trials += [config_of(method, teacher={"model": "resnet18"}) for method in ("dkd", "dist", "cud")]
    trials += [
        config_of("kd", teacher={"model": "resnet18", "finetune": {"epochs": 1}}),
        config_of(train=pieces),
    ]
    found = {kind.__name__: config for trial in trials for kind, config in configs_in(trial).items()}
    config, instead = found[name], {"path": "content", "data": "content"}
    before = identity_of(config, **instead)
    for metadata, same in (((Neutral("off"),), True), ((), False)):
        field = (Annotated[str, *metadata] if metadata else str, "off")
        grown = create_model("Grown", __base__=type(config), novelty=field)
        assert (
            identity_of(grown.model_validate(config.model_dump()), path="content", data="content") == before
        ) == same
        changed = grown.model_validate(config.model_dump() | {"novelty": "on"})
        assert identity_of(changed, **instead) != before


def test_no_key_changes_without_a_new_version():
    """A key that changes makes all stored products of its form anew, so that has to be meant.

    If it is, raise the version of what yields other numbers, or give the new field a neutral value; then write the
    golden file anew: python -m tests.kd_core.config.golden.
    """
    assert golden.keys() == golden.written()


def fused(config_of, rule="mean", precision="float32") -> TrialConfig:
    members = [{"model": "resnet18", "finetune": {"epochs": 1}}, {"model": "vit", "pretrained": True}]
    return config_of(teacher={"fuse": [members[0], members[1] | {"precision": precision}], "rule": rule})


def test_a_fused_teacher_is_its_members_keys_in_their_order_their_precisions_and_the_rule(config_of):
    trials = [
        trial_key(fused(config_of), "fingerprint", ("one", "two")),
        trial_key(fused(config_of), "fingerprint", ("two", "one")),
        trial_key(fused(config_of), "fingerprint", ("one", "three")),
        trial_key(fused(config_of, rule="confidence"), "fingerprint", ("one", "two")),
        trial_key(fused(config_of, rule="entropy"), "fingerprint", ("one", "two")),
        trial_key(fused(config_of, precision="bfloat16"), "fingerprint", ("one", "two")),
        trial_key(config_of(), "fingerprint", "one"),
    ]
    assert len(set(trials)) == len(trials)
    identity = trial_identity(fused(config_of), "fingerprint", ("one", "two"))
    members = [{"key": key, "precision": "float32"} for key in ("one", "two")]
    assert identity["teacher"] == {"fuse": members, "rule": "mean"}


def test_each_member_of_a_fused_teacher_has_the_signal_that_it_has_alone(config_of):
    alone, together = config_of(), fused(config_of)
    as_member = signal_identity(together.taught_by(together.teachers[0]), "fingerprint", "teacher")
    assert as_member == signal_identity(alone, "fingerprint", "teacher")
