"""Shows the records of one sweep in its MLflow runs."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from upath import UPath

from analysis.pareto import figure_of, scaled
from analysis.report import CONTENT, PAGE, report_problems
from analysis.runs import latencies_of, latency_figures
from kd_core.measure.outcomes import SCALED
from kd_core.spec.keys import digest
from kd_core.store.files import read_ahead, read_json
from kd_core.store.records import Store, left_out
from sweeps.tracking.child import (
    PASSING,
    RUN_STATUS,
    SWEEP,
    Child,
    changed_points,
    datasets_of,
    identity_of,
    judgement_of,
    standing_of,
)
from sweeps.tracking.note import note_of
from sweeps.tracking.runs_shown import ShownRun, SweepRuns
from sweeps.tracking.varied import differing, params_of, varied_keys

MOST_DIAGRAMS = 200  # of trials whose reliability is drawn, those of plausible arms first; each takes 50 ms
_STATUSES = ("finished", "stopped", "failed", "running", "damaged", "pending")


class SweepView:
    """What MLflow shows of one sweep; trials that have ended are read once."""

    def __init__(self, client: Any, store: Store, name: str, artifact_location: str | None) -> None:
        self._runs = SweepRuns(client, name, artifact_location)
        self._store, self._sweep = store, store.sweep(name)
        self._ended: dict[str, Child] = {}
        self._configs: dict[str, dict[str, Any]] = {}
        self._varied: list[str] = []
        self._columns: list[str] = []

    def show(self, members: Mapping[str, Any], judged: bool) -> None:
        """Bring the runs up to date with the records, and with judged also with the report."""
        children = self._read(members["trials"])
        self._find_varied(members["trials"], children)
        figures, has_rungs = (
            map(figure_of, scaled(members["objectives"])),
            any(child.stop for child in children.values()),
        )
        self._runs.choose_columns(figures, self._columns, has_rungs)
        if not self._runs.has_parent:
            self._runs.create_parent(min((child.started_at for child in children.values()), default=None))
        for trial in members["trials"]:
            if trial["key"] in children:
                self._show_trial(trial, children[trial["key"]], members.get("data") or {})
        self._show_parent(members, children)
        if judged:
            self._judge(members, children)

    def _read(self, trials: list[dict[str, Any]]) -> dict[str, Child]:
        """The trials that have begun or failed, by their keys."""
        folder = self._store.root / "trials"
        begun = {path.name for path in folder.iterdir()} if folder.exists() else set()
        keys = [trial["key"] for trial in trials if trial["key"] in begun]
        children = read_ahead(lambda key: self._ended.get(key) or Child.of(self._store.trial(key)), keys)
        return {
            key: child for key, child in zip(keys, children, strict=True) if child.config or child.status == "failed"
        }

    def _find_varied(self, trials: list[dict[str, Any]], children: Mapping[str, Child]) -> None:
        """Find what the sweep varies, and the params that differ, once a trial has begun that was not known."""
        configs = {key: child.config for key, child in children.items() if child.config}
        if configs.keys() != self._configs.keys():
            self._configs, self._varied = configs, varied_keys(configs.values())
            self._columns = differing(
                [
                    params_of(configs[trial["key"]], trial["teacher"], self._varied)
                    for trial in trials
                    if trial["key"] in configs
                ]
            )

    def _show_trial(self, trial: dict[str, Any], child: Child, data: Mapping[str, Any]) -> None:
        """Create or update the run of one trial; one that shows the trial's end gets no more than missing params."""
        run = self._runs.children.get(trial["key"]) or self._runs.create_child(trial, child.started_at)
        params = child.params(trial["teacher"], self._varied)
        shown = [run.tags.get("kdsweep.status"), run.tags.get("kdsweep.ended"), run.status]
        if child.end and shown == [child.status, child.end, child.run_status]:
            run.log(params=params)
        else:
            run.log_data(datasets_of(child.config, data))
            if child.end:
                _attach(run, child.write_files)
            shown_epochs = int(run.tags.get("kdsweep.epochs", 0))
            tags = identity_of(trial) | child.tags()
            outdated = {name: "" for name in PASSING if name in run.tags}
            run.log(outdated | tags, params, child.metrics(shown_epochs))
            run.set_status(child.run_status, child.ended_at)
        if child.end:
            self._ended[trial["key"]] = child.without_journal()

    def _show_parent(self, members: Mapping[str, Any], children: Mapping[str, Child]) -> None:
        """Count the trials by status, attach the spec, and close the run when every trial has ended."""
        run, statuses = self._runs.parent, _statuses(members, children)
        self._attach_new(run, "kdsweep.spec", self._sweep.path / "spec.yaml", self._copy_spec)
        content = read_json(self._sweep.report / CONTENT) or {}
        tags = {f"kdsweep.{status}": str(statuses.count(status)) for status in _STATUSES} | {"standing": SWEEP}
        failures = [
            (trial["label"], children[trial["key"]].failure["error"])
            for trial in members["trials"]
            if trial["key"] in children and children[trial["key"]].failure
        ]
        hours = sum(child.seconds for child in children.values()) / 3600
        tags["mlflow.note.content"] = note_of(self._sweep.name, members, statuses, hours, failures, content)
        run.log(tags)
        ended = all(status in RUN_STATUS for status in statuses)
        last = max((child.ended_at or 0 for child in children.values()), default=0)
        run.set_status("RUNNING" if not ended else "FAILED" if "failed" in statuses else "FINISHED", last)

    def _judge(self, members: Mapping[str, Any], children: Mapping[str, Child]) -> None:
        """Attach the report; show what it says of each trial's arm, latencies and places in the sweep, if they changed.

        The place of a trial that only an earlier spec of the sweep had is −1.
        """
        self._attach_new(self._runs.parent, "kdsweep.report", self._sweep.report / PAGE, self._copy_report)
        content = read_json(self._sweep.report / CONTENT) or {}
        arms = {row["arm"]: row for row in content.get("arms", [])}
        ended = {key for key, child in children.items() if child.status == "finished"}
        rows = {
            trial["key"]: arms[trial["arm"]]
            for trial in members["trials"]
            if trial["arm"] in arms and trial["key"] in ended
        }
        if rows:
            self._runs.parent.log({"kdsweep.objectives": json.dumps(content[SCALED]["objectives"])})
        latencies = latencies_of(self._store, members)
        places = {trial["key"]: (place, trial) for place, trial in enumerate(members["trials"])}
        for key, run in self._runs.children.items():
            place, trial = places.get(key, (-1, None))
            tags = {"kdsweep.place": str(place), "kdsweep.in_spec": str(trial is not None).lower()}
            tags |= identity_of(trial) if trial else {}
            row, latency = rows.get(key, {}), latencies.get(key)
            metrics = judgement_of(row)
            tags["standing"] = standing_of(children.get(key) if trial else None, row)
            if rows:
                tags |= {name: str(row.get(name, False)).lower() for name in ("on_front", "plausible")}
            if latency is not None:
                tags |= {"kdsweep.latency_device": latency["device"]}
                metrics |= latency_figures(latency)
            child = children.get(key)
            run.log(tags, metrics=changed_points(run.metrics, metrics, child.ended_at if child else None))
            if child is None and run.status == "RUNNING":
                run.set_status("KILLED")
        self._draw(children, rows)

    def _draw(self, children: Mapping[str, Child], rows: Mapping[str, Mapping[str, Any]]) -> None:
        """Attach reliability diagrams of finished trials that have none."""
        finished = [key for key, child in children.items() if child.status == "finished"]
        finished.sort(key=lambda key: not rows.get(key, {}).get("plausible"))
        for key in finished[:MOST_DIAGRAMS]:
            run, child = self._runs.children[key], children[key]
            if run.tags.get("kdsweep.diagram") != child.end and _attach(run, child.write_diagram):
                run.log({"kdsweep.diagram": child.end})

    def _attach_new(self, run: ShownRun, tag: str, source: UPath, write: Callable[[Path], bool]) -> None:
        """Attach what is written from a file of the store, unless a tag says that it was."""
        if source.exists() and not _shows(run, tag, source) and _attach(run, write):
            run.log({tag: _digest(source)})

    def _copy_spec(self, folder: Path) -> bool:
        (folder / "spec.yaml").write_bytes((self._sweep.path / "spec.yaml").read_bytes())
        return True

    def _copy_report(self, folder: Path) -> bool:
        if report_problems(self._store, self._sweep.name):
            return False
        for file in self._sweep.report.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        return True


def _attach(run: ShownRun, write: Callable[[Path], bool]) -> bool:
    """Attach the files that are written to a folder, if there are any; returns what the writer does."""
    with tempfile.TemporaryDirectory() as folder:
        written = write(Path(folder))
        run.attach(Path(folder))
    return written


def _shows(run: ShownRun, tag: str, source: UPath) -> bool:
    """Whether a tag says that a file of the store, as it is now, was attached."""
    return run.tags.get(tag) == _digest(source)


def _digest(source: UPath) -> str:
    return digest(source.read_bytes().decode(errors="replace"))


def _statuses(members: Mapping[str, Any], children: Mapping[str, Child]) -> list[str]:
    """The status of every trial of the sweep; one that has not begun, or waits for its teacher, is pending."""
    trials = members["trials"]
    found = [children[trial["key"]].status if trial["key"] in children else "pending" for trial in trials]
    roles = [(trial["arm"], trial.get("role", ""), status) for trial, status in zip(trials, found, strict=True)]
    found = ["stopped" if out else status for status, out in zip(found, left_out(roles), strict=True)]
    return found + ["pending"] * len(members.get("waiting", []))
