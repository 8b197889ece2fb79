"""The typed values that the files of a product hold.

Each is one JSON object with its checksum (`kd_core.store.files`). One of another shape is of another version of
kd-sweeps, and as good as missing.
"""

import hashlib
from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import ValidationError
from upath import UPath

from kd_core.config.errors import DamagedError
from kd_core.fields import Config
from kd_core.store.files import load_json, write_json

MadeFrom = dict[str, str]  # the sha256 of the weights that a product is made from (`made_from_weights`)


def made_from_weights(sha256s: Iterable[str]) -> MadeFrom:
    """What is made from the weights of these teachers: {"teacher": …, "teacher_2": …}; {} without one."""
    return {f"teacher_{number}" if number > 1 else "teacher": each for number, each in enumerate(sha256s, start=1)}


class Value(Config):
    """A frozen value that is kept in a JSON file."""

    @classmethod
    def read(cls, path: UPath) -> Self:
        """The value of a file; raises FileNotFoundError, and DamagedError if it is not what this version writes."""
        content = load_json(path)
        try:
            return cls.model_validate(content)
        except ValidationError:
            raise DamagedError(f"{path}: was written by another version of kd-sweeps; use another storage") from None

    def write(self, path: UPath) -> None:
        """Write the value to a file, atomically."""
        write_json(path, self.model_dump(mode="json"))


class File(Config):
    """What was written to a file."""

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Self:
        """What a file of these bytes is."""
        return cls(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


class TrialResult(Config):
    """What came of a trial, or of a teacher, which is the trial of its fine-tuning."""

    metrics: dict[str, float]
    """the metrics of both splits, by the names of `kd_core.measure.predictions.figure_names`"""
    temperature: float
    """of temperature scaling, fitted on validation"""
    temperature_has_optimum: bool
    """whether the validation images alone determine it"""
    epochs: int
    num_parameters: int
    wall_s: float
    """seconds of all epochs and of the evaluation"""


class Begun(Config):
    """What a product was begun with."""

    recipe: dict[str, Any]
    """its `kd_core.config.trial.TrialConfig` as JSON"""
    threads: int | None
    """the number of threads, which changes the last bits on a CPU"""
    made_from: MadeFrom


class Manifest(Value):
    """All about a finished product; it is written last."""

    kind: Literal["trial", "teacher"]
    key: str
    identity: dict[str, Any]
    """what the key is the digest of (`kd_core.config.identity.trial_identity`)"""
    begun: Begun
    result: TrialResult
    files: dict[str, File]
    versions: dict[str, str]
    machine: dict[str, str]
    """the "node" and the "device" that evaluated it"""
    finished_at: float
    """seconds since 1970"""

    @property
    def weights_sha256(self) -> str:
        """The sha256 of the trained network's file."""
        return next(file.sha256 for name, file in self.files.items() if name.endswith(".safetensors"))


class Failure(Value):
    """Why a trial failed."""

    error: str
    traceback: str
    time: float


class Stop(Value):
    """Why a sweep has stopped a trial early, by which of its rules."""

    sweep: str
    early_stopping: dict[str, Any] | None
    objectives: dict[str, str]
    rung: int
    epoch: int
    reason: str
    time: float
