"""What MLflow shows of one trial: its params, its metrics, where it was trained, on which data, and its files."""

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from analysis.snapshot import Trial
from kd_core.config.data import DataSummary
from kd_core.config.errors import DamagedError
from kd_core.measure.predictions import RAW
from kd_core.store.evaluation import EvaluationManifest

ESTIMATED = ("accuracy", "ece", "ece_scaled", "nll_scaled")  # on test, with an interval: test/ece_low, test/ece_high
PASSING = ("kdsweep.error", "stop_reason", "rung")  # tags of an end that another try makes void
SWEEP_STANDING = "0 the sweep"
RUN_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}  # of all others, RUNNING
_SHORT = 500  # characters of an error in a tag; its traceback is an artifact


def training_s(trial: Trial) -> float:
    """How long a trial has trained, as far as it is known."""
    return trial.result.wall_s if trial.result else sum(row["epoch_s"] for row in trial.epochs)


def started_at(trial: Trial) -> float:
    """When the first epoch of a trial began, in seconds."""
    return trial.epochs[0]["time"] - trial.epochs[0]["epoch_s"] if trial.epochs else time.time()


def ended_at(trial: Trial | None) -> float | None:
    """When a trial finished, failed or was stopped, in seconds; None before."""
    if trial is None or trial.manifest is not None:
        return trial and trial.manifest and trial.manifest.finished_at
    end = trial.failure or trial.stop
    return end and end.time


def end_of(trial: Trial) -> str:
    """When a trial ended, in ISO 8601, which tells a second failure from the first; "" before."""
    if trial.status not in RUN_STATUS:
        return ""
    return datetime.fromtimestamp(ended_at(trial) or 0, UTC).isoformat(timespec="milliseconds")


def tags_of(trial: Trial) -> dict[str, str]:
    """Status, epochs, why a trial failed or was stopped, and the code and the machine that made it."""
    manifest = trial.manifest
    tags = {f"kdsweep.{name}": text for name, text in manifest.machine.items()} if manifest else {}
    commit = manifest and manifest.versions.get("commit")
    if commit:
        tags["mlflow.source.git.commit"] = commit.removesuffix("-dirty")
        tags["mlflow.source.git.dirty"] = str(commit.endswith("-dirty")).lower()
    if trial.failure:
        tags["kdsweep.error"] = trial.failure.error[:_SHORT]
    if trial.stop:
        tags |= {"stop_reason": trial.stop.reason[:_SHORT], "rung": str(trial.stop.rung)}
    if trial.epochs:
        tags["kdsweep.epochs"] = str(trial.journal.num_epochs)
    return tags | {"kdsweep.status": trial.status, "kdsweep.ended": end_of(trial)}


def metrics_of(trial: Trial, since_epoch: int) -> list[Any]:
    """The figures of a trial's epochs after one, and of its result, and the rung of a stop, by which one sorts."""
    from mlflow.entities import Metric

    rows, stop = [row for row in trial.epochs if row["epoch"] > since_epoch], trial.stop
    points = [
        Metric(key, value, int(1000 * row["time"]), row["epoch"])
        for row in rows
        for key, value in row.items()
        if key not in ("epoch", "time")
    ]
    rung = [Metric("rung", float(stop.rung), int(1000 * stop.time), stop.epoch)] if stop else []
    return points + _final_metrics(trial) + rung


def _final_metrics(trial: Trial) -> list[Any]:
    """The figures of the result, except those that the last epoch has logged with the same value."""
    from mlflow.entities import Metric

    if trial.manifest is None:
        return []
    result, last = trial.manifest.result, trial.epochs[-1] if trial.epochs else {}
    figures = result.metrics | {
        "scaling_temperature": result.temperature,
        "num_parameters": result.num_parameters,
        "wall_s": result.wall_s,
    }
    timestamp = int(1000 * trial.manifest.finished_at)
    return [Metric(key, value, timestamp, result.epochs) for key, value in figures.items() if last.get(key) != value]


def write_files(trial: Trial, folder: Path) -> bool:
    """Write config.json, and the traceback of a failure, to a folder."""
    if trial.config:
        (folder / "config.json").write_text(json.dumps(trial.config, indent=2, ensure_ascii=False) + "\n")
    if trial.failure:
        (folder / "failure.txt").write_text(trial.failure.traceback.rstrip() + "\n")
    return True


def write_diagram(trial: Trial, folder: Path) -> bool:
    """Write a trial's reliability diagram on test to a folder; false if its predictions cannot be read.

    Not for two threads at once, since matplotlib's settings are those of the process.
    """
    from analysis.drawing.reliability import draw_reliability, reliability_curve
    from analysis.drawing.style import TEACHER_COLOURS

    with suppress(OSError, DamagedError):
        curve = reliability_curve(trial.predictions("test"), RAW)
        name = "Reliability on test images, as trained"
        svg = draw_reliability(curve, TEACHER_COLOURS[0], name, standalone=True)
        (folder / "reliability.svg").write_text(svg)
        return True
    return False


def datasets_of(config: Mapping[str, Any], data: DataSummary | None) -> list[Any]:
    """A trial's data set as MLflow inputs, for training and for validation; none before the trial has begun."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if not config or data is None:
        return []
    source = config["data"]
    path = source.get("path")
    name = Path(path).name if path else source["source"]
    inputs = []
    for split in ("train", "validation"):
        profile = json.dumps({"num_rows": getattr(data, f"num_{split}"), "num_classes": data.num_classes})
        about = json.dumps({key: value for key, value in source.items() if value is not None})
        dataset = Dataset(f"{name} {split}", data.fingerprint, source["source"], about, profile=profile)
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", split)]))
    return inputs


def arm_metrics(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics from an arm's row of the report: its front probability, and its estimates with their intervals."""
    metrics = {"front_probability": row.get("front_probability")}
    for metric in ESTIMATED:
        low, high = row.get(f"{metric}_interval") or (None, None)
        estimate = {"low": low, "high": high, "estimate": row.get(f"{metric}_estimate")}
        metrics |= {f"test/{metric}_{part}": value for part, value in estimate.items()}
    return {name: value for name, value in metrics.items() if value is not None}


def answer_metrics(answers: Mapping[str, EvaluationManifest]) -> dict[str, float]:
    """The metrics of a trial's evaluations, without the ends of their intervals, which are in the report."""
    metrics = {name: value for answer in answers.values() for name, value in answer.metrics.items()}
    return {name: value for name, value in metrics.items() if not name.endswith(("_low", "_high"))}


def standing_of(trial: Trial | None, row: Mapping[str, Any]) -> str:
    """The place of a trial in its sweep, by which the runs of the sweep are sorted; the sweep itself is SWEEP_STANDING.

    The UI's list cuts what is longer than `1 on the front`.
    """
    if trial is None:
        return "6 not in spec"
    if trial.status != "finished":
        return f"5 {trial.status}"
    if not row:
        return "4 not judged"
    return "1 on the front" if row["on_front"] else "2 plausible" if row["plausible"] else "3 ruled out"


def changed_metrics(present: Mapping[str, float], metrics: Mapping[str, float], ended_at: float | None) -> list[Any]:
    """Those metrics that a run has not, or with other values than at present.

    A metric has the time of the record, so that a replay is the same, and one that changes has the present time.
    """
    from mlflow.entities import Metric

    now = time.time()
    return [
        Metric(name, value, int(1000 * (now if name in present else ended_at or 0)), 0)
        for name, value in metrics.items()
        if present.get(name) != value
    ]


def name_tags(trial: Trial) -> dict[str, str]:
    """The names of a trial in its sweep, which another spec may change."""
    entry = trial.entry
    return {
        "kdsweep.label": entry.label,
        "kdsweep.arm": entry.arm,
        "kdsweep.teacher": entry.teacher or "",
        "kdsweep.seed": str(entry.seed),
        "kdsweep.role": entry.role,
    }
