"""What MLflow shows of one trial: its params, its metrics, where it was trained, on which data, and its files."""

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from kd_core.measure.outcomes import RAW
from kd_core.store.files import DamagedError
from kd_core.store.record import Record, Status
from sweeps.tracking.varied import params_of

ESTIMATED = (
    "accuracy",
    "ece",
    "ece_scaled",
    "nll_scaled",
)  # test figures with an interval: test/ece_low, test/ece_high
PASSING = ("kdsweep.error", "stop_reason", "rung")  # tags of an end that another try makes void
SWEEP = "0 the sweep"
RUN_STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
_SHORT = 500  # characters of an error in a tag; its traceback is an artifact


@dataclass(frozen=True)
class Child:
    """One trial, read once from its record."""

    record: Record
    status: Status
    config: dict[str, Any]
    verdict: dict[str, Any]
    failure: dict[str, Any]
    stop: dict[str, Any]

    @classmethod
    def of(cls, record: Record) -> "Child":
        """The present state of a trial."""
        if (verdict := record.verdict()) is not None:
            return cls(record, "finished", record.config() or {}, verdict, {}, {})
        return cls(record, record.status, record.config() or {}, {}, record.failure() or {}, record.stop() or {})

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        """The rows of its epochs."""
        return self.record.journal()

    @cached_property
    def seconds(self) -> float:
        """How long it has trained, as far as it is known."""
        return self.verdict.get("wall_s") or sum(row["epoch_s"] for row in self.record.journal())

    def without_journal(self) -> "Child":
        """The same trial, for keeping."""
        return replace(self)

    @property
    def run_status(self) -> str:
        """MLflow's word for the status."""
        return RUN_STATUS.get(self.status, "RUNNING")

    @property
    def started_at(self) -> float:
        """When its first epoch began, in seconds."""
        return self.journal[0]["time"] - self.journal[0]["epoch_s"] if self.journal else time.time()

    @property
    def ended_at(self) -> float | None:
        """When it finished, failed or was stopped, in seconds; None before."""
        return self.verdict.get("finished_at") or self.failure.get("time") or self.stop.get("time")

    @property
    def end(self) -> str:
        """When it ended, in ISO 8601, which tells a second failure from the first; "" before."""
        if self.status not in RUN_STATUS:
            return ""
        return datetime.fromtimestamp(self.ended_at or 0, UTC).isoformat(timespec="milliseconds")

    def params(self, teacher: str | None, keys: Iterable[str]) -> dict[str, str]:
        """Its params, by the keys that the sweep varies."""
        return params_of(self.config, teacher, keys)

    def tags(self) -> dict[str, str]:
        """Status, epochs, why it failed or was stopped, and the code and the machine that made it."""
        machine = self.verdict.get("machine", {})
        tags = {f"kdsweep.{name}": machine[name] for name in ("node", "device") if name in machine}
        commit = self.verdict.get("versions", {}).get("commit")
        if commit:
            tags["mlflow.source.git.commit"] = commit.removesuffix("-dirty")
            tags["mlflow.source.git.dirty"] = str(commit.endswith("-dirty")).lower()
        if self.failure:
            tags["kdsweep.error"] = self.failure["error"][:_SHORT]
        if self.stop:
            tags |= {"stop_reason": str(self.stop["reason"])[:_SHORT], "rung": str(self.stop["rung"])}
        if self.journal:
            tags["kdsweep.epochs"] = str(self.journal[-1]["epoch"])
        return tags | {"kdsweep.status": self.status, "kdsweep.ended": self.end}

    def metrics(self, since_epoch: int) -> list[Any]:
        """The figures of its epochs after one, and of its verdict."""
        rows = [row for row in self.journal if row["epoch"] > since_epoch]
        return _epoch_metrics(rows) + self._final_metrics() + self._rung()

    def _rung(self) -> list[Any]:
        """The rung at which it was stopped, also as a metric, by which one sorts."""
        from mlflow.entities import Metric

        stop = self.stop
        return [Metric("rung", float(stop["rung"]), int(1000 * stop["time"]), stop["epoch"])] if stop else []

    def _final_metrics(self) -> list[Any]:
        """The figures of the verdict, except those that the last epoch has logged with the same value."""
        from mlflow.entities import Metric

        verdict = self.verdict
        if not verdict:
            return []
        figures = verdict["metrics"] | {
            "scaling_temperature": verdict["temperature"],
            "num_parameters": verdict["num_parameters"],
            "wall_s": verdict["wall_s"],
        }
        timestamp, shown = int(1000 * verdict["finished_at"]), self.journal[-1] if self.journal else {}
        return [
            Metric(key, value, timestamp, verdict["epochs"])
            for key, value in figures.items()
            if shown.get(key) != value
        ]

    def write_files(self, folder: Path) -> bool:
        """Write config.json, and the traceback of a failure, to a folder."""
        if self.config:
            (folder / "config.json").write_text(json.dumps(self.config, indent=2, ensure_ascii=False) + "\n")
        if self.failure:
            (folder / "failure.txt").write_text(self.failure["traceback"].rstrip() + "\n")
        return True

    def write_diagram(self, folder: Path) -> bool:
        """Write its reliability diagram on test to a folder; false if its outcomes cannot be read.

        Not for two threads at once, since matplotlib's settings are those of the process.
        """
        from analysis.drawing.reliability import draw_reliability, reliability_curve
        from analysis.drawing.style import TEACHER_COLOURS, svg_of

        with suppress(OSError, DamagedError):
            curve = reliability_curve(self.record.outcomes("test"), RAW)
            drawing = draw_reliability(curve, TEACHER_COLOURS[0])
            svg = svg_of(drawing, "Reliability on test images, as trained", standalone=True)
            (folder / "reliability.svg").write_text(svg)
            return True
        return False


def datasets_of(config: Mapping[str, Any], data: Mapping[str, Any]) -> list[Any]:
    """A trial's data set as MLflow inputs, for training and for validation; none if the sweep does not tell it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    if "fingerprint" not in data or "data" not in config:
        return []
    source = config["data"]
    path = source.get("path")
    name = Path(path).name if path else source["source"]
    inputs = []
    for split in ("train", "validation"):
        profile = json.dumps({"num_rows": data[f"num_{split}"], "num_classes": data["num_classes"]})
        about = json.dumps({key: value for key, value in source.items() if value is not None})
        dataset = Dataset(f"{name} {split}", data["fingerprint"], source["source"], about, profile=profile)
        inputs.append(DatasetInput(dataset, [InputTag("mlflow.data.context", split)]))
    return inputs


def judgement_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics from an arm's row of the report: its front probability, and its estimates with their intervals."""
    metrics = {"front_probability": row.get("front_probability")}
    for figure in ESTIMATED:
        low, high = row.get(f"{figure}_interval") or (None, None)
        named = {"low": low, "high": high, "estimate": row.get(f"{figure}_estimate")}
        metrics |= {f"test/{figure}_{name}": value for name, value in named.items()}
    return {name: value for name, value in metrics.items() if value is not None}


def standing_of(child: "Child | None", row: Mapping[str, Any]) -> str:
    """The place of a trial in its sweep, by which the runs of the sweep are sorted; the sweep itself is SWEEP.

    The UI's list cuts what is longer than `1 on the front`.
    """
    if child is None:
        return "6 not in spec"
    if child.status != "finished":
        return f"5 {child.status}"
    if not row:
        return "4 not judged"
    return "1 on the front" if row["on_front"] else "2 plausible" if row["plausible"] else "3 ruled out"


def changed_points(shown: Mapping[str, float], metrics: Mapping[str, float], ended_at: float | None) -> list[Any]:
    """Those metrics that a run does not show with these values.

    A metric has the time of the record, so that a replay is the same, and one that changes has the present time.
    """
    from mlflow.entities import Metric

    now = time.time()
    return [
        Metric(name, value, int(1000 * (now if name in shown else ended_at or 0)), 0)
        for name, value in metrics.items()
        if shown.get(name) != value
    ]


def identity_of(trial: Mapping[str, Any]) -> dict[str, str]:
    """The names of a trial in its sweep, which another spec may change."""
    return {
        "kdsweep.label": trial["label"],
        "kdsweep.arm": trial["arm"],
        "kdsweep.teacher": trial["teacher"] or "",
        "kdsweep.seed": str(trial["seed"]),
        "kdsweep.role": trial.get("role", ""),
    }


def _epoch_metrics(rows: list[dict[str, Any]]) -> list[Any]:
    from mlflow.entities import Metric

    return [
        Metric(key, value, int(1000 * row["time"]), row["epoch"])
        for row in rows
        for key, value in row.items()
        if key not in ("epoch", "time")
    ]
