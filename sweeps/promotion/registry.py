"""Promoted students in an MLflow registry: one model a sweep, one version a student, and aliases."""

import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from analysis.snapshot import Snapshot
from kd_core.config.errors import SpecError
from kd_core.config.identity import digest, file_sha256
from sweeps.tracking.sync import is_synced, sync

os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

CONTENT = "kdsweep.content"  # the tag of a version with a digest of all that it is made from
CARD = "README.md"
_PREDICTOR = Path(__file__).with_name("predictor.py")
_NEEDED = ("mlflow", "numpy", "onnxruntime", "pillow")  # by the predictor
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_RESERVED = re.compile(r"latest|v\d+|\d+", re.IGNORECASE)
_MOST_CHARACTERS = 5000  # of a description, in MLflow's database


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    model: str
    number: str
    is_new: bool


def check_alias(alias: str) -> None:
    """Raise SpecError for what MLflow takes for no alias."""
    if not _ALIAS.fullmatch(alias) or _RESERVED.fullmatch(alias):
        raise SpecError(f"--as: {alias[:100]}: is no alias; use letters, digits, - and _, but neither latest nor v1")


def content_of(card: str, weights_sha256: str) -> str:
    """The digest of all that a version is made from."""
    return digest([card, weights_sha256, file_sha256(_PREDICTOR)])


class Registry:
    """The registry of an MLflow server, for the students of one sweep, whose runs it has."""

    def __init__(self, snapshot: Snapshot, uri: str) -> None:
        from mlflow import MlflowClient

        self._store, self._name, self._uri = snapshot.store, snapshot.sweep.name, uri
        if not is_synced(snapshot, uri):
            sync(self._store, self._name, uri)
        self._client = MlflowClient(uri)

    def find(self, content: str) -> Version | None:
        """The version that is made from this content, or None."""
        found = self._client.search_model_versions(f"name = '{self._name}'", max_results=1000)
        number = next((each.version for each in found if each.tags.get(CONTENT) == content), None)
        return Version(self._name, str(number), is_new=False) if number is not None else None

    def add(self, content: str, card: str, trial: str, folder: Path) -> Version:
        """Attach a saved model to its trial's run, and register it as a new version."""
        run = self._run_of(trial)
        parent, place = run.data.tags["mlflow.parentRunId"], f"promoted-{content}"
        self._client.log_artifacts(run.info.run_id, str(folder), place)
        self._create_model()
        report = f"#/experiments/{run.info.experiment_id}/runs/{parent}/artifacts/report.html"
        description = f"{card[: _MOST_CHARACTERS - 200]}\n\n[The front and the report of the sweep]({report})"
        made = self._client.create_model_version(
            self._name,
            f"runs:/{run.info.run_id}/{place}",
            run.info.run_id,
            tags={CONTENT: content, "kdsweep.trial": trial, "kdsweep.sweep_run": parent},
            description=description,
        )
        return Version(self._name, str(made.version), is_new=True)

    def name_version(self, version: Version, alias: str) -> None:
        """Let an alias mean a version, and no other."""
        self._client.set_registered_model_alias(version.model, alias, version.number)

    def _run_of(self, trial: str) -> Any:
        """The run of a trial; if somebody has deleted it, a new one."""
        found = self._runs_of(trial)
        if not found:
            sync(self._store, self._name, self._uri)
            found = self._runs_of(trial)
        return found[0]

    def _runs_of(self, trial: str) -> list[Any]:
        experiment = self._client.get_experiment_by_name(self._name)
        if experiment is None:
            return []
        return self._client.search_runs([experiment.experiment_id], f"tags.`kdsweep.trial` = '{trial}'", max_results=1)

    def _create_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_registered_model(self._name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            text = f"Students of the sweep {self._name}: raw images to calibrated class probabilities."
            self._client.create_registered_model(self._name, {"kdsweep.sweep": self._name}, text)


def save_model(folder: Path, network: Path, card: str, example: Any, class_names: Sequence[str]) -> None:
    """Write a network in ONNX as an MLflow model: the predictor, its signature, an example, and the card."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow, about itself
        import mlflow.pyfunc
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        images = TensorSpec(np.dtype(object), (-1,))  # MLflow's form of arrays of several shapes
        probabilities = TensorSpec(np.dtype(np.float32), (-1, len(class_names)))
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(_PREDICTOR),
            artifacts={"network": str(network)},
            signature=ModelSignature(Schema([images]), Schema([probabilities])),
            input_example=example,
            pip_requirements=[f"{name}=={version(name)}" for name in _NEEDED],
            metadata={"classes": list(class_names)},
        )
    (folder / CARD).write_text(card)
