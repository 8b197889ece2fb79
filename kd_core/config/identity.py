"""Identity: what can change a product's numbers, and nothing else; the digest of its identity is a product's key.

Every field of a config is part of the identity of what is made by it, unless its annotation says otherwise
(`kd_core.fields`): a Mark.PLACE, and a Mark.MODEL that is a folder, is replaced by the hash of what lies there, a
Mark.APART left out, and so is a field that has its Neutral value. So a new field with a neutral value changes no key,
and one without changes all.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from upath import UPath

from kd_core.config.model_source import model_identity
from kd_core.config.networks import FusedTeacherConfig, TeacherConfig
from kd_core.config.trial import TrialConfig
from kd_core.fields import Config, Mark, Neutral

STREAM_VERSION = 1  # increment when the vicinal stream yields other batches for the same seed
LOSS_VERSION = 3  # increment when a method yields another loss for the same logits
NETWORK_VERSION = 2  # increment when a network yields other bits for equal weights and images, or a step other weights
TeacherKey = str | tuple[str, ...] | None  # of a teacher, of each member of a fused one, or None without a teacher


def canonical_json(value: Any) -> str:
    """The canonical JSON text of a value: sorted keys, no spaces, so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of the sha256 of a JSON value: the key of a product in the store."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def flattened(value: Any, name: str = "") -> dict[str, Any]:
    """A JSON value with its nested keys as dotted ones: {"train.epochs": 3, …}."""
    if not isinstance(value, dict):
        return {name: value}
    return {inner: leaf for key in value for inner, leaf in flattened(value[key], f"{name}.{key}".strip(".")).items()}


def file_sha256(path: Path | UPath) -> str:
    """The sha256 of a file's bytes, in hexadecimal; path may be an fsspec path."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()


def identity_of(config: Config, **instead: Any) -> dict[str, Any]:
    """The identity of a config as a JSON value; instead gives values that stand for fields, such as a product's key.

    Raises OSError if a file whose content counts cannot be read.
    """
    identity = {}
    for name, field in type(config).model_fields.items():
        marks, value = field.metadata, getattr(config, name)
        if name in instead:
            value = instead[name]
        elif Mark.PLACE in marks and value is not None:
            value = file_sha256(UPath(value))
        elif Mark.MODEL in marks and value is not None:
            value = model_identity(value)
        value = _as_json(value)
        if Mark.APART not in marks and Neutral(value) not in marks:
            identity[name] = value
    return identity


def _as_json(value: Any) -> Any:
    if isinstance(value, Config):
        return identity_of(value)
    return [_as_json(each) for each in value] if isinstance(value, tuple) else value


def signal_identity(config: TrialConfig, fingerprint: str, teacher_key: str) -> dict[str, Any]:
    """What can change a teacher's logits on the vicinal stream of a trial; T, alpha and the student cannot.

    Its digest is the key of the stored signal, which all trials of equal identity share; arguments are as in trial_key.
    Each member of a fused teacher has a signal of its own, that of `config.taught_by(member)`.
    """
    assert not isinstance(config.teacher, FusedTeacherConfig)
    return {
        "teacher": _teacher_identity(config.teacher, teacher_key),
        "data": _data_identity(config, fingerprint),
        "view": _view_identity(config),
        "mixup": identity_of(config.mixup),
        "stream_seed": config.stream_seed,
        "dtype": "float16",
        "versions": {"stream": STREAM_VERSION, "network": NETWORK_VERSION},
    }


def trial_identity(config: TrialConfig, fingerprint: str, teacher_key: TeacherKey = None) -> dict[str, Any]:
    """What can change the result of a trial.

    fingerprint identifies the loaded data (`kd_core.data.splits.fingerprint_of`). teacher_key is that of the trial that
    makes the teacher, so that the keys of a whole sweep are known before anything runs; of a fused teacher, those of
    its members in their order; None without a teacher.
    """
    if config.teacher is not None and teacher_key is None:
        raise ValueError(f"the key of a {config.method} trial needs the key of its teacher")
    return identity_of(
        config,
        data=_data_identity(config, fingerprint),
        view=_view_identity(config),
        teacher=_teacher_identity(config.teacher, teacher_key),
        recycle=config.recycle if config.recycles else None,
    ) | {"versions": {"stream": STREAM_VERSION, "loss": LOSS_VERSION, "network": NETWORK_VERSION}}


def trial_key(config: TrialConfig, fingerprint: str, teacher_key: TeacherKey = None) -> str:
    """The key of a trial's result: equal if and only if its identity is."""
    return digest(trial_identity(config, fingerprint, teacher_key))


def _data_identity(config: TrialConfig, fingerprint: str) -> str:
    """The fingerprint of the data; without its part after a +, of unlabelled images, for a trial that sees none."""
    return fingerprint if config.sees_unlabelled else fingerprint.partition("+")[0]


def _teacher_identity(teacher: TeacherConfig | FusedTeacherConfig | None, key: TeacherKey) -> dict[str, Any] | None:
    """A teacher as its students see it: the product, and the precision in which it labels; or several, and the rule."""
    if isinstance(teacher, FusedTeacherConfig):
        members = zip(teacher.fuse, key or (), strict=True)
        return identity_of(teacher, fuse=[_teacher_identity(*member) for member in members])
    return {"key": key, "precision": teacher.precision} if teacher is not None else None


def _view_identity(config: TrialConfig) -> dict[str, Any]:
    return identity_of(config.view) | ({"of": "original"} if config.crops_the_original else {})
