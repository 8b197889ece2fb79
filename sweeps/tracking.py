"""Shows the records in MLflow, one parent run per sweep and one child per trial, without affecting a sweep.

Everything here reads records and writes MLflow, and can be repeated: runs are found by their tags, and metrics have the
timestamps of the records, so a replay changes nothing. No failure here stops a sweep.
"""

import fcntl
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from upath import UPath

from analysis.report import CONTENT, INPUTS, PAGE, inputs_of, report_problems
from analysis.runs import latencies_of, latency_figures
from kd_core.measure.outcomes import RAW
from kd_core.spec.keys import digest
from kd_core.store.files import clear_orphans, read_json, write_json, writing
from kd_core.store.records import Record, Store

os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

SYNC_INTERVAL_S = 5.0
FINAL_SYNC_TIMEOUT_S = 90.0
ESTIMATED = ("accuracy", "ece", "ece_scaled")  # test figures with an interval: test/ece_low, test/ece_high
_RUN_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_METRICS_A_REQUEST = 1000  # MLflow's limit per log_batch


def embedded_uri(store: Store) -> str | None:
    """The URI of the tracking store inside a local storage, or None if the storage is remote."""
    return f"sqlite:///{store.local / 'mlflow.db'}" if store.local is not None else None


def sync(store: Store, name: str, tracking_uri: str) -> int:
    """Update MLflow with the records of a sweep; returns the number of its trials.

    Raises MLflow's errors, and FileNotFoundError for a sweep that never ran.
    """
    state = _state(store, name, tracking_uri)  # taken before reading: later changes are left to the next sync
    num_trials = _show(store, name, tracking_uri, judged=True)
    write_json(_marker(store, name), {"shown": state})
    return num_trials


def is_synced(store: Store, name: str, tracking_uri: str) -> bool:
    """Whether MLflow has the current records of a sweep, according to the last sync; contacts no server."""
    if tracking_uri == embedded_uri(store) and not (store.root / "mlflow.db").exists():
        return False
    return read_json(_marker(store, name)) == {"shown": _state(store, name, tracking_uri)}


def _marker(store: Store, name: str) -> UPath:
    return store.sweep(name).path / "mlflow.json"


def _state(store: Store, name: str, tracking_uri: str) -> str:
    """A digest of all that MLflow shows of a sweep and of its URI, which may hold a password and is not stored."""
    attached = None if report_problems(store, name) else read_json(store.sweep(name).report / INPUTS)
    return digest([tracking_uri, inputs_of(store, name), attached])


def _show(store: Store, name: str, tracking_uri: str, judged: bool = False) -> int:
    """Show the records of a sweep, and with judged also what its report says of every trial."""
    from mlflow import MlflowClient

    members = store.sweep(name).members()
    with _one_at_a_time(store):
        if store.local is not None and tracking_uri == embedded_uri(store):
            _create_database(store.local / "mlflow.db")
        view = _SweepView(MlflowClient(tracking_uri), store, name, members)
        for trial in members["trials"]:
            view.sync_trial(trial)
        view.sync_parent()
        if judged:
            view.sync_judgement()
    return len(members["trials"])


class BackgroundSync:
    """Syncs a sweep every few seconds from a thread, from now on; a failing server causes one warning and no delay."""

    def __init__(self, store: Store, name: str, tracking_uri: str, warn: Callable[[str], None]) -> None:
        self._sweep = store, name, tracking_uri
        self._warn, self._name, self._uri = warn, name, tracking_uri
        self._done = threading.Event()
        self._problem: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="mlflow-sync", daemon=True)
        self._thread.start()

    def finish(self) -> bool:
        """Sync once more, waiting a bounded time; returns whether MLflow is up to date."""
        self._done.set()
        self._thread.join(FINAL_SYNC_TIMEOUT_S)
        up_to_date = not self._thread.is_alive() and self._problem is None
        if not up_to_date:
            self._warn(f"MLflow at {self._uri} is behind; the sweep is not. Later: kdsweep sync {self._name}")
        return up_to_date

    def _run(self) -> None:
        last = False
        while not last:
            last = self._done.wait(SYNC_INTERVAL_S)
            try:
                (sync if last else _show)(*self._sweep)
                self._problem = None
            except Exception as error:
                if self._problem is None:
                    self._warn(f"MLflow at {self._uri} does not answer ({type(error).__name__}); the sweep goes on")
                self._problem = error


def _create_database(path: Path) -> None:
    """Let MLflow create its database under another name: a kill in between would leave one that it cannot use."""
    from mlflow import MlflowClient

    clear_orphans(path.parent)
    if not path.exists():
        with writing(path) as temporary:
            MlflowClient(f"sqlite:///{temporary}").search_experiments()


@contextmanager
def _one_at_a_time(store: Store) -> Iterator[None]:
    """Keep two syncs of one local store from creating the same run twice."""
    if store.local is None:
        yield
        return
    store.local.mkdir(parents=True, exist_ok=True)
    with (store.local / ".mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class _SweepView:
    """The MLflow runs of one sweep."""

    def __init__(self, client: Any, store: Store, name: str, members: dict[str, Any]) -> None:
        self.client, self.store, self.name, self.members = client, store, name, members
        self.experiment_id = self._experiment()
        runs = self._runs()
        self.parent = runs.get(None) or self._create_parent()
        self.children = {key: run for key, run in runs.items() if key is not None}

    def _experiment(self) -> str:
        from mlflow.entities import LifecycleStage

        experiment = self.client.get_experiment_by_name(self.name)
        if experiment is None:
            local = self.store.local
            embedded = local is not None and self.client.tracking_uri.startswith("sqlite:")
            location = (local / "mlartifacts" / self.name).as_uri() if embedded and local is not None else None
            tags = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on training runs
            return self.client.create_experiment(self.name, artifact_location=location, tags=tags)
        if experiment.lifecycle_stage == LifecycleStage.DELETED:
            self.client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def _runs(self) -> dict[str | None, Any]:
        """Runs by the key of their trial, the parent under None."""
        found, token = [], None
        while True:
            page = self.client.search_runs([self.experiment_id], "tags.`kdsweep.sweep` != ''", page_token=token)
            found += page
            if not (token := page.token):
                return {run.data.tags.get("kdsweep.trial"): run for run in found}

    def _create_parent(self) -> Any:
        tags = {
            "kdsweep.sweep": self.name,
            "mlflow.note.content": "Open **Artifacts → report.html** for the Pareto front.",
        }
        return self.client.create_run(self.experiment_id, tags=tags, run_name=self.name)

    def sync_trial(self, trial: dict[str, Any]) -> None:
        """Create or update the child run of one trial; a run that shows the trial's end is not changed."""
        record = self.store.trial(trial["key"])
        status, config = record.status, record.config()
        if config is None and status != "failed":
            return
        run = self.children.get(trial["key"]) or self._create_child(trial, config or {}, record)
        self.children[trial["key"]] = run
        tags = run.data.tags
        if tags.get("kdsweep.status") == status and status in _RUN_STATUS:
            return
        rows = [row for row in record.journal() if row["epoch"] > int(tags.get("kdsweep.epochs", 0))]
        self._log(run, _epoch_metrics(rows) + _final_metrics(record))
        self.client.set_tag(run.info.run_id, "kdsweep.status", status)
        if rows:
            self.client.set_tag(run.info.run_id, "kdsweep.epochs", str(rows[-1]["epoch"]))
        if status in _RUN_STATUS:
            failure = record.failure() or {}
            if failure:
                self.client.set_tag(run.info.run_id, "kdsweep.error", failure["error"])
            ended = (record.verdict() or {}).get("finished_at") or failure.get("time")
            self.client.set_terminated(run.info.run_id, _RUN_STATUS[status], int(1000 * ended) if ended else None)
        elif run.info.status != "RUNNING":
            self.client.update_run(run.info.run_id, "RUNNING")

    def _create_child(self, trial: dict[str, Any], config: dict[str, Any], record: Record) -> Any:
        from mlflow.entities import Param

        tags = _identity(trial) | {
            "mlflow.parentRunId": self.parent.info.run_id,
            "kdsweep.sweep": self.name,
            "kdsweep.trial": trial["key"],
        }
        journal = record.journal()
        started = journal[0]["time"] - journal[0]["epoch_s"] if journal else time.time()
        run = self.client.create_run(self.experiment_id, int(1000 * started), tags=tags, run_name=trial["label"])
        params = [Param(key, str(value)) for key, value in _flat(config).items() if value is not None]
        self.client.log_batch(run.info.run_id, params=params)
        return run

    def _log(self, run: Any, metrics: list[Any]) -> None:
        for start in range(0, len(metrics), _METRICS_A_REQUEST):
            self.client.log_batch(run.info.run_id, metrics=metrics[start : start + _METRICS_A_REQUEST])

    def sync_parent(self) -> None:
        """Count the trials by status, attach the report, and close the run when every trial has ended."""
        run_id = self.parent.info.run_id
        statuses = [self.store.trial(trial["key"]).status for trial in self.members["trials"]]
        for status in ("finished", "stopped", "failed", "running", "damaged", "pending"):
            self.client.set_tag(run_id, f"kdsweep.{status}", str(statuses.count(status)))
        report = self.store.sweep(self.name).report
        if (report / PAGE).exists() and not report_problems(self.store, self.name):
            self._attach(run_id, report)
        ended = all(status in _RUN_STATUS for status in statuses)
        status = "RUNNING" if not ended else "FAILED" if "failed" in statuses else "FINISHED"
        if ended:
            self.client.set_terminated(run_id, status)
        else:
            self.client.update_run(run_id, status)

    def sync_judgement(self) -> None:
        """Show what the report says of each trial's arm, its latency, and its place in the sweep, where these changed.

        The place of a trial that only an earlier spec of the sweep had is −1.
        """
        content = read_json(self.store.sweep(self.name).report / CONTENT) or {}
        rows = {trial: row for row in content.get("arms", []) for trial in row["trials"]}
        objectives = json.dumps(content.get(RAW, {}).get("objectives", {}))
        if rows and self.parent.data.tags.get("kdsweep.objectives") != objectives:
            self.client.set_tag(self.parent.info.run_id, "kdsweep.objectives", objectives)
        latencies, trials = latencies_of(self.store, self.members), self.members["trials"]
        places = {trial["key"]: {"kdsweep.place": str(place)} | _identity(trial) for place, trial in enumerate(trials)}
        for key, run in self.children.items():
            row, latency = rows.get(key, {}), latencies.get(key)
            tags, metrics = places.get(key, {"kdsweep.place": "-1"}), _judgement(row)
            if rows:
                tags |= {name: str(row.get(name, False)).lower() for name in ("on_front", "plausible")}
            if latency is not None:
                tags |= {"kdsweep.latency_device": latency["device"]}
                metrics |= latency_figures(latency)
            self._bring(run, tags, metrics, self.store.trial(key))

    def _bring(self, run: Any, tags: dict[str, str], metrics: dict[str, float], record: Record) -> None:
        """Set those tags and metrics of a child that differ, in one request; none if nothing differs.

        A metric has the time of the record, so that a replay is the same, and one that changes has the present time.
        """
        from mlflow.entities import Metric, RunTag

        shown = run.data
        changed = {name: value for name, value in metrics.items() if shown.metrics.get(name) != value}
        new_tags = [RunTag(name, value) for name, value in tags.items() if shown.tags.get(name) != value]
        if not (changed or new_tags):
            return
        ended, now = (record.verdict() or {}).get("finished_at", 0), time.time()
        points = [
            Metric(name, value, int(1000 * (now if name in shown.metrics else ended)), 0)
            for name, value in changed.items()
        ]
        self.client.log_batch(run.info.run_id, metrics=points, tags=new_tags)

    def _attach(self, run_id: str, report: Any) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for file in report.iterdir():
                (Path(folder) / file.name).write_bytes(file.read_bytes())
            self.client.log_artifacts(run_id, folder)


def _identity(trial: dict[str, Any]) -> dict[str, str]:
    """The names of a trial in its sweep, which another spec may change."""
    return {
        "kdsweep.label": trial["label"],
        "kdsweep.arm": trial["arm"],
        "kdsweep.teacher": trial["teacher"] or "",
        "kdsweep.seed": str(trial["seed"]),
    }


def _judgement(row: dict[str, Any]) -> dict[str, float]:
    """The metrics from an arm's row of the report: its front probability, and its estimates with their intervals."""
    metrics = {"front_probability": row.get("front_probability")}
    for figure in ESTIMATED:
        low, high = row.get(f"{figure}_interval") or (None, None)
        named = {"low": low, "high": high, "estimate": row.get(f"{figure}_estimate")}
        metrics |= {f"test/{figure}_{name}": value for name, value in named.items()}
    return {name: value for name, value in metrics.items() if value is not None}


def _epoch_metrics(rows: list[dict[str, Any]]) -> list[Any]:
    from mlflow.entities import Metric

    return [
        Metric(key, value, int(1000 * row["time"]), row["epoch"])
        for row in rows
        for key, value in row.items()
        if key not in ("epoch", "time")
    ]


def _final_metrics(record: Record) -> list[Any]:
    """The figures of the verdict, except those that the last epoch has logged with the same value."""
    from mlflow.entities import Metric

    verdict = record.verdict()
    if verdict is None:
        return []
    figures = verdict["metrics"] | {
        "scaling_temperature": verdict["temperature"],
        "num_parameters": verdict["num_parameters"],
        "wall_s": verdict["wall_s"],
    }
    timestamp, journal = int(1000 * verdict["finished_at"]), record.journal()
    shown = journal[-1] if journal else {}
    return [
        Metric(key, value, timestamp, verdict["epochs"]) for key, value in figures.items() if shown.get(key) != value
    ]


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
