"""The MLflow runs of one sweep: recognised by their tags, created where missing, and sent only what differs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kd_core.store.index import TrialEntry

_ENTITIES_A_REQUEST = 800  # of metrics; MLflow takes 1,000, with at most 100 tags and 100 params among them
_TRAINING = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on training runs
_COLUMNS = "mlflow.sharedViewState.kdsweep"  # a view of the list of runs that the UI shows under a link


@dataclass
class MlflowRun:
    """One MLflow run, with all that the server has of it."""

    client: Any
    run_id: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    has_data: bool

    @classmethod
    def of(cls, client: Any, run: Any) -> "MlflowRun":
        """A run as MLflow returns it."""
        data, inputs = run.data, run.inputs.dataset_inputs if run.inputs else []
        content = dict(data.tags), dict(data.params), dict(data.metrics)
        return cls(client, run.info.run_id, run.info.status, *content, has_data=bool(inputs))

    def log(
        self,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        metrics: Sequence[Any] = (),
    ) -> None:
        """Send metrics, tags that differ, and params that are missing, since MLflow lets no param change.

        Tags go with the last request, so that they can tell that all the rest was sent.
        """
        from mlflow.entities import Param, RunTag

        new_tags = {name: value for name, value in (tags or {}).items() if self.tags.get(name) != value}
        new_params = {name: value for name, value in (params or {}).items() if name not in self.params}
        if not (new_tags or new_params or metrics):
            return
        starts = range(0, max(1, len(metrics)), _ENTITIES_A_REQUEST)
        *first, last = [metrics[start : start + _ENTITIES_A_REQUEST] for start in starts]
        for part in first:
            self.client.log_batch(self.run_id, metrics=part)
        self.client.log_batch(
            self.run_id,
            metrics=last,
            params=[Param(name, value) for name, value in new_params.items()],
            tags=[RunTag(name, value) for name, value in new_tags.items()],
        )
        self.tags |= new_tags
        self.params |= new_params
        self.metrics |= {metric.key: metric.value for metric in metrics}

    def attach(self, folder: Path) -> None:
        """Send the files of a folder as artifacts, if there are any."""
        if any(folder.iterdir()):
            self.client.log_artifacts(self.run_id, str(folder))

    def log_data(self, datasets: list[Any]) -> None:
        """Send the data sets that were used, once."""
        if datasets and not self.has_data:
            self.client.log_inputs(self.run_id, datasets=datasets)
            self.has_data = True

    def set_status(self, status: str, ended_at: float | None = None) -> None:
        """Say that the run goes on, or how it has ended, and when, in seconds."""
        if status == self.status:
            return
        if status == "RUNNING":
            self.client.update_run(self.run_id, status)
        else:
            self.client.set_terminated(self.run_id, status, int(1000 * ended_at) if ended_at else None)
        self.status = status


class SweepRuns:
    """The runs of one sweep: the parent, and the child of each trial by its key."""

    def __init__(self, client: Any, name: str, artifact_location: str | None) -> None:
        self._client, self._name = client, name
        self._tags = dict(_TRAINING)
        self._experiment_id = self._experiment(artifact_location)
        runs = self._existing()
        self._parent = runs.pop(None, None)
        self.children: dict[str, MlflowRun] = {key: run for key, run in runs.items() if key is not None}

    @property
    def has_parent(self) -> bool:
        """Whether the parent run exists."""
        return self._parent is not None

    @property
    def parent(self) -> MlflowRun:
        """The run of the sweep itself."""
        assert self._parent is not None
        return self._parent

    def create_parent(self, started_at: float | None) -> None:
        """Create the run of the sweep itself."""
        self._parent = self._create(self._name, {}, started_at)

    def choose_columns(self, metrics: Iterable[str], params: Iterable[str], has_rungs: bool) -> None:
        """Let the UI's list of runs have columns for these metrics on test, for these params, and for rungs."""
        metrics = ["front_probability", *dict.fromkeys(f"test/{name}" for name in ("accuracy", "ece", *metrics))]
        metrics += ["rung"] * has_rungs
        columns = [f"metrics.`{name}`" for name in metrics] + [f"params.`{name}`" for name in params]
        columns = ["tags.`standing`", *columns, "attributes.`Created`", "attributes.`Duration`"]
        view = json.dumps({"orderByKey": "tags.`standing`", "orderByAsc": True, "selectedColumns": columns})
        if self._tags.get(_COLUMNS) != view:
            self._client.set_experiment_tag(self._experiment_id, _COLUMNS, view)
            self._tags[_COLUMNS] = view

    def create_child(self, trial: TrialEntry, started_at: float) -> MlflowRun:
        """Create the run of a trial, under the parent."""
        tags = {"mlflow.parentRunId": self.parent.run_id, "kdsweep.trial": trial.key}
        run = self._create(trial.label, tags, started_at)
        self.children[trial.key] = run
        return run

    def _create(self, run_name: str, tags: dict[str, str], started_at: float | None = None) -> MlflowRun:
        start_time = int(1000 * started_at) if started_at else None
        origin = {"kdsweep.sweep": self._name, "mlflow.source.name": "kdsweep", "mlflow.source.type": "LOCAL"}
        run = self._client.create_run(self._experiment_id, start_time, tags=tags | origin, run_name=run_name)
        return MlflowRun.of(self._client, run)

    def _experiment(self, artifact_location: str | None) -> str:
        from mlflow.entities import LifecycleStage

        experiment = self._client.get_experiment_by_name(self._name)
        if experiment is None:
            return self._client.create_experiment(self._name, artifact_location, _TRAINING)
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            self._client.restore_experiment(experiment.experiment_id)
        self._tags = experiment.tags
        return experiment.experiment_id

    def _existing(self) -> dict[str | None, MlflowRun]:
        """The runs that MLflow has, by the key of their trial, the parent under None."""
        runs, token = {}, None
        while True:
            page = self._client.search_runs([self._experiment_id], "tags.`kdsweep.sweep` != ''", page_token=token)
            runs |= {run.data.tags.get("kdsweep.trial"): MlflowRun.of(self._client, run) for run in page}
            if not (token := page.token):
                return runs


def page_of(tracking_uri: str, names: Iterable[str]) -> str | None:
    """The page with the sorted runs of the first of these sweeps that MLflow has; None if it has none of them."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    for name in names:
        if (experiment := client.get_experiment_by_name(name)) is not None:
            view = "viewStateShareKey=kdsweep&workflowType=machine_learning"
            return f"/#/experiments/{experiment.experiment_id}/runs?{view}"
    return None
