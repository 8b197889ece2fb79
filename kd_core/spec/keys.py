"""Keys of products in the store: hashes of everything that can change their numbers, and of nothing else."""

import hashlib
import json
from pathlib import Path
from typing import Any

from upath import UPath

from kd_core.spec.config import NetworkConfig, TrialConfig

STREAM_VERSION = 1  # increment when the vicinal stream yields other batches for the same seed
LOSS_VERSION = 2  # increment when a method yields another loss for the same logits
NETWORK_VERSION = 2  # increment when a network yields other bits for equal weights and images, or a step other weights


def canonical_json(value: Any) -> str:
    """The canonical JSON text of a value: sorted keys, no spaces, so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of the sha256 of a JSON value: the key of a product in the store."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def file_sha256(path: Path | UPath) -> str:
    """The sha256 of a file's bytes, in hexadecimal; path may be an fsspec path."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()


def network_identity(network: NetworkConfig) -> dict[str, Any]:
    """The settings of a network that change its outputs, with its checkpoint's hash instead of its path."""
    form = network.model_dump(mode="json", exclude={"finetune", "seed", "checkpoint"})
    return form | {"checkpoint": file_sha256(UPath(network.checkpoint)) if network.checkpoint else None}


def signal_identity(config: TrialConfig, fingerprint: str, teacher_sha256: str) -> dict[str, Any]:
    """Everything that can change a teacher's logits on the vicinal stream of a trial; T, alpha and the student cannot.

    Its digest is the key of the stored signal, which all trials of equal identity share.
    """
    return {
        "teacher": _teacher_identity(config, teacher_sha256),
        "data": fingerprint,
        "view": config.view.model_dump(mode="json") | _cropped_from(config),
        "mixup": config.mixup.model_dump(mode="json"),
        "stream_seed": config.stream_seed,
        "stream_version": STREAM_VERSION,
        "network_version": NETWORK_VERSION,
        "dtype": "float16",
    }


def trial_key(config: TrialConfig, fingerprint: str, teacher_sha256: str | None = None) -> str:
    """The key of a trial's result: equal if and only if everything that can change its numbers is equal.

    fingerprint identifies the loaded data (`kd_core.data.splits.fingerprint_of`), teacher_sha256 the teacher's weights.
    """
    content = config.model_dump(mode="json", exclude={"data", "teacher", "student"})
    content |= {"data": fingerprint, "student": network_identity(config.student)}
    content |= {"stream_version": STREAM_VERSION, "loss_version": LOSS_VERSION, "network_version": NETWORK_VERSION}
    content |= _cropped_from(config) | _mixed_target(config)
    if not config.recycles:
        del content["recycle"]
    if config.teacher is not None:
        if teacher_sha256 is None:
            raise ValueError(f"the key of a {config.method} trial needs the hash of its teacher's weights")
        content["teacher"] = _teacher_identity(config, teacher_sha256)
    return digest(content)


_TEACHER_FORM = {"model", "bottleneck", "stem_stride", "image_size", "precision"}


def _teacher_identity(config: TrialConfig, sha256: str) -> dict[str, Any]:
    assert config.teacher is not None
    form = config.teacher.model_dump(mode="json", include=_TEACHER_FORM)
    return form | {"weights": sha256}


def _cropped_from(config: TrialConfig) -> dict[str, str]:
    """A key entry for resized crops that are taken from the original image, not the resized one."""
    streamed = config.view.crop == "resized" and config.data.streaming and config.data.image_size is not None
    return {"crop_of": "original"} if streamed else {}


def _mixed_target(config: TrialConfig) -> dict[str, str]:
    """A key entry for dkd with mixup, whose loss once took both classes of a mixed label for full targets."""
    mixed = config.method == "dkd" and config.mixup.distribution != "off"
    return {"mixed_target": "expected"} if mixed else {}
