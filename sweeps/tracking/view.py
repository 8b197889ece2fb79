"""Shows the records of one sweep in its MLflow runs."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from upath import UPath

from analysis.objectives import figure_of, scaled
from analysis.report import CONTENT, PAGE, report_problems
from analysis.runs import latency_figures
from analysis.snapshot import Snapshot, Trial
from kd_core.config.data import DataSummary
from kd_core.config.identity import digest
from kd_core.measure.predictions import SCALED
from kd_core.store.files import read_json
from kd_core.store.records import Store
from sweeps.tracking.differing_settings import differing_keys, differing_names, params_of
from sweeps.tracking.note import note_of
from sweeps.tracking.runs import MlflowRun, SweepRuns
from sweeps.tracking.trial_run import (
    PASSING,
    RUN_STATUS,
    SWEEP_STANDING,
    answer_metrics,
    arm_metrics,
    changed_metrics,
    datasets_of,
    end_of,
    ended_at,
    metrics_of,
    name_tags,
    standing_of,
    started_at,
    tags_of,
    training_s,
    write_diagram,
    write_files,
)

MOST_DIAGRAMS = 200  # of trials whose reliability is drawn, those of plausible arms first; each takes 50 ms
_STATUSES = ("finished", "stopped", "failed", "running", "damaged", "pending")


class SweepView:
    """What MLflow shows of one sweep; ended are its trials that have ended, by key, which need not be read again."""

    def __init__(self, client: Any, store: Store, name: str, artifact_location: str | None) -> None:
        self._runs = SweepRuns(client, name, artifact_location)
        self._store, self._sweep = store, store.sweep(name)
        self.ended: dict[str, Trial] = {}
        self._begun: set[str] = set()
        self._keys: list[str] = []
        self._columns: list[str] = []

    def show(self, snapshot: Snapshot, judged: bool) -> None:
        """Bring the runs up to date with the records, and with judged also with the report."""
        index = snapshot.index
        trials = {trial.key: trial for trial in snapshot.trials if trial.config or trial.status == "failed"}
        self._find_differing([trial for trial in trials.values() if trial.config])
        metrics = map(figure_of, scaled(index.objectives))
        self._runs.choose_columns(metrics, self._columns, has_rungs=any(trial.stop for trial in trials.values()))
        if not self._runs.has_parent:
            self._runs.create_parent(min(map(started_at, trials.values()), default=None))
        for trial in trials.values():
            self._show_trial(trial, index.data)
        content = read_json(self._sweep.report / CONTENT) or {}
        self._show_parent(snapshot, trials, content)
        if judged:
            self._judge(snapshot, trials, content)

    def _find_differing(self, trials: list[Trial]) -> None:
        """Find what the sweep varies, and the params that differ, once a trial has begun that was not known."""
        if (keys := {trial.key for trial in trials}) != self._begun:
            self._begun, self._keys = keys, differing_keys([trial.config for trial in trials])
            self._columns = differing_names([self._params(trial) for trial in trials])

    def _params(self, trial: Trial) -> dict[str, str]:
        """The params of a trial, by the keys that the sweep varies."""
        return params_of(trial.config, trial.entry.teacher, self._keys)

    def _show_trial(self, trial: Trial, data: DataSummary | None) -> None:
        """Create or update the run of one trial; one that shows the trial's end gets no more than missing params."""
        run = self._runs.children.get(trial.key) or self._runs.create_child(trial.entry, started_at(trial))
        params, end, status = self._params(trial), end_of(trial), RUN_STATUS.get(trial.status, "RUNNING")
        present = [run.tags.get("kdsweep.status"), run.tags.get("kdsweep.ended"), run.status]
        if end and present == [trial.status, end, status]:
            run.log(params=params)
        else:
            run.log_data(datasets_of(trial.config, data))
            if end:
                _attach(run, partial(write_files, trial))
            outdated = {name: "" for name in PASSING if name in run.tags}
            metrics = metrics_of(trial, since_epoch=int(run.tags.get("kdsweep.epochs", 0)))
            run.log(outdated | name_tags(trial) | tags_of(trial), params, metrics)
            run.set_status(status, ended_at(trial))
        if end:
            self.ended[trial.key] = replace(trial)  # without its journal

    def _show_parent(self, snapshot: Snapshot, trials: Mapping[str, Trial], content: Mapping[str, Any]) -> None:
        """Count the trials by status, attach the spec, and close the run when every trial has ended."""
        run, statuses = self._runs.parent, _statuses(snapshot)
        self._attach_new(run, "kdsweep.spec", self._sweep.path / "spec.yaml", self._copy_spec)
        tags = {f"kdsweep.{status}": str(statuses.count(status)) for status in _STATUSES} | {"standing": SWEEP_STANDING}
        failures = [(trial.entry.label, trial.failure.error) for trial in trials.values() if trial.failure]
        hours = sum(map(training_s, trials.values())) / 3600
        tags["mlflow.note.content"] = note_of(snapshot.index, statuses, hours, failures, content)
        run.log(tags)
        ended = all(status in RUN_STATUS for status in statuses)
        last = max((ended_at(trial) or 0 for trial in trials.values()), default=0)
        run.set_status("RUNNING" if not ended else "FAILED" if "failed" in statuses else "FINISHED", last)

    def _judge(self, snapshot: Snapshot, trials: Mapping[str, Trial], content: Mapping[str, Any]) -> None:
        """Attach the report; show what it says of each trial's arm, latencies and places in the sweep, if they changed.

        The place of a trial that only an earlier spec of the sweep had is −1.
        """
        self._attach_new(self._runs.parent, "kdsweep.report", self._sweep.report / PAGE, self._copy_report)
        arms = {row["arm"]: row for row in content.get("arms", [])}
        rows = {
            trial.key: arms[trial.entry.arm]
            for trial in trials.values()
            if trial.entry.arm in arms and trial.status == "finished"
        }
        if rows:
            self._runs.parent.log({"kdsweep.objectives": json.dumps(content[SCALED]["objectives"])})
        places = {trial.key: (place, trial) for place, trial in enumerate(snapshot.trials)}
        for key, run in self._runs.children.items():
            place, listed = places.get(key, (-1, None))
            tags = {"kdsweep.place": str(place), "kdsweep.in_spec": str(listed is not None).lower()}
            tags |= name_tags(listed) if listed else {}
            row, latency, trial = rows.get(key, {}), snapshot.latencies.get(key), trials.get(key)
            metrics = arm_metrics(row) | answer_metrics(snapshot.evaluations.get(key, {}))
            tags["standing"] = standing_of(trial, row)
            if rows:
                tags |= {name: str(row.get(name, False)).lower() for name in ("on_front", "plausible")}
            if latency is not None:
                tags |= {"kdsweep.latency_device": latency["device"]}
                metrics |= latency_figures(latency)
            run.log(tags, metrics=changed_metrics(run.metrics, metrics, ended_at(trial)))
            if trial is None and run.status == "RUNNING":
                run.set_status("KILLED")
        self._draw([trial for trial in trials.values() if trial.status == "finished"], rows)

    def _draw(self, finished: list[Trial], rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Attach reliability diagrams of finished trials that have none."""
        finished.sort(key=lambda trial: not rows.get(trial.key, {}).get("plausible"))
        for trial in finished[:MOST_DIAGRAMS]:
            run = self._runs.children[trial.key]
            if run.tags.get("kdsweep.diagram") != end_of(trial) and _attach(run, partial(write_diagram, trial)):
                run.log({"kdsweep.diagram": end_of(trial)})

    def _attach_new(self, run: MlflowRun, tag: str, source: UPath, write: Callable[[Path], bool]) -> None:
        """Attach what is written from a file of the store, unless a tag says that it was."""
        version = digest(source.read_bytes().decode(errors="replace")) if source.exists() else None
        if version not in (None, run.tags.get(tag)) and _attach(run, write):
            run.log({tag: version})

    def _copy_spec(self, folder: Path) -> bool:
        (folder / "spec.yaml").write_bytes((self._sweep.path / "spec.yaml").read_bytes())
        return True

    def _copy_report(self, folder: Path) -> bool:
        if report_problems(self._store, self._sweep.name):
            return False
        for file in self._sweep.report.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        return True


def _attach(run: MlflowRun, write: Callable[[Path], bool]) -> bool:
    """Attach the files that are written to a folder, if there are any; returns what the writer does."""
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder))
        run.attach(Path(folder))
    return written


def _statuses(snapshot: Snapshot) -> list[str]:
    """The status of every trial of the sweep."""
    trials = zip(snapshot.trials, snapshot.left_out, strict=True)
    return ["stopped" if out else trial.status for trial, out in trials]
