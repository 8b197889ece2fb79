"""The trials and teachers of a sweep as tables, from its snapshot or from an MLflow experiment."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.objectives import EVALUATED
from analysis.settings import differing_settings
from analysis.snapshot import FusedTeacher, Member, Snapshot, Teacher, Trial
from kd_core.evaluate.latency import Latency
from kd_core.measure.predictions import RAW, SCALED, SUFFIXES, figure_names
from kd_core.store.evaluation import EvaluationManifest
from kd_core.store.files import read_ahead
from kd_core.store.product import SPLITS
from kd_core.store.records import LEFT_OUT

METRICS = [name for split in ("validation", "test") for name in figure_names(split, standardized=True)]
EVALUATED_METRICS = [*EVALUATED, *(f"{split}/{figure}" for split in SPLITS for figure in EVALUATED.values())]
RECIPE = ["method", "teacher", "temperature", "alpha", "student"]
SETTINGS = "settings"  # what else a sweep's trials differ in, {dotted key: value}
TRIAL_COLUMNS = ["trial", "label", "arm", *RECIPE, SETTINGS, "seed", "role", "status", "error", "latency_device"]
TEACHER_COLUMNS = ["teacher", "key", "model", "status", "error"]
LATENCIES = ["latency_ms_1", "latency_ms_64"]
FIGURES = ["scaling_temperature", "num_parameters", "wall_s", *LATENCIES]


def runs_of(snapshot: Snapshot) -> pd.DataFrame:
    """One row per trial of a sweep, in the order of its spec; an unfinished trial has its status and NaN figures.

    Those that are left out since their scout was stopped are `stopped` themselves. A trial whose manifest is damaged is
    not finished but `damaged`, and its error says which file is; so is one whose predictions are, once they were
    checked. Columns `abs_gap` are |gap| of each trial. The latencies of all students are from one device, which is in
    latency_device. Settings are the keys, beside those that have columns, in which trials of the sweep differ.
    """
    trials = snapshot.trials
    rows = [
        _trial_row(trial, snapshot.latencies.get(trial.key))
        | _evaluated_figures(snapshot.evaluations.get(trial.key, {}))
        | {SETTINGS: settings}
        | ({"status": "stopped", "error": LEFT_OUT} if out else {})
        for trial, settings, out in zip(
            trials, differing_settings([trial.config for trial in trials]), snapshot.left_out, strict=True
        )
    ]
    return _table(rows, TRIAL_COLUMNS)


def teachers_of(snapshot: Snapshot) -> pd.DataFrame:
    """One row per teacher of a sweep, with the figures of its card."""
    rows = [_teacher_row(teacher) for teacher in snapshot.teachers] + [_fused_row(each) for each in snapshot.fused]
    return _table(rows, TEACHER_COLUMNS)


def journals_of(snapshot: Snapshot) -> pd.DataFrame:
    """One row per epoch of every trial that trained: arm, seed, epoch and the figures of its journal."""
    journals = read_ahead(lambda trial: trial.epochs, snapshot.trials)
    rows = [
        {"arm": trial.entry.arm, "seed": trial.entry.seed, **row}
        for trial, journal in zip(snapshot.trials, journals, strict=True)
        for row in journal
    ]
    columns = ["arm", "seed", "epoch", "validation/accuracy", "validation/ece", *(key for row in rows for key in row)]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))


def recycled_of(snapshot: Snapshot) -> list[int]:
    """The different numbers of epochs after which trials of a sweep repeat the vicinal stream."""
    configs = [trial.config for trial in snapshot.trials if trial.config]
    choices = {(config.get("recycle"), config["train"]["epochs"]) for config in configs}
    return sorted({recycle for recycle, epochs in choices if recycle is not None and recycle < epochs})


def runs_of_experiment(tracking_uri: str, experiment: str) -> pd.DataFrame:
    """The table of `runs_of` from an MLflow experiment, one row per child run, in the order of the sweep's spec.

    Runs that the sweep has dropped since are left out. Once the sweep's report was shown in MLflow, there are also
    columns front_probability, plausible (true or false), and the intervals and estimates of the report, `test/ece_low`,
    `test/ece_high` and `test/ece_estimate`.
    Raises ValueError, naming the existing experiments, if none has this name.
    """
    client, experiment_id = _experiment(tracking_uri, experiment)
    runs = sorted(_runs_with(client, experiment_id, "kdsweep.trial"), key=_place)
    table = _table([_child_row(run) for run in runs if _place(run) >= 0], TRIAL_COLUMNS)
    return table.assign(plausible=table["plausible"] == 1) if "plausible" in table else table


def objectives_of_experiment(tracking_uri: str, experiment: str) -> dict[str, str] | None:
    """The objectives of the report that an MLflow experiment shows; None if it shows none. Raises as above."""
    client, experiment_id = _experiment(tracking_uri, experiment)
    tags = next((run.data.tags for run in _runs_with(client, experiment_id, "kdsweep.objectives")), {})
    return json.loads(tags["kdsweep.objectives"]) if tags else None


def latency_figures(latency: Latency) -> dict[str, float]:
    """The LATENCIES of a measurement: milliseconds an image."""
    return {name: latency[name.removeprefix("latency_")] for name in LATENCIES}


def temperature_name(temperature: float | str | None) -> str:
    """A distillation temperature as text: "2", "0.5", "sigma", or "" for a trial without one."""
    if temperature in (None, "", "None"):
        return ""
    return "sigma" if temperature == "sigma" else f"{float(temperature):g}"


def _trial_row(trial: Trial, latency: Latency | None) -> dict[str, Any]:
    entry, config, findings = trial.entry, trial.config, _findings(trial)
    identity = {
        "trial": trial.key,
        "label": entry.label,
        "arm": entry.arm,
        "method": config.get("method", ""),
        "teacher": entry.teacher or "",
        "temperature": temperature_name(config.get("temperature")),
        "alpha": config.get("alpha"),
        "student": config.get("student", {}).get("model", ""),
        "seed": entry.seed,
        "role": entry.role,
        "latency_device": "",
    }
    if latency is not None and trial.status == "finished":
        findings |= latency_figures(latency) | {"latency_device": latency["device"]}
    return identity | findings


def _evaluated_figures(answers: Mapping[str, EvaluationManifest]) -> dict[str, float]:
    """The figures of corrupted images that a report may take as objectives: they are the same on both splits."""
    metrics = {name: value for answer in answers.values() for name, value in answer.metrics.items()}
    known = {name: metrics[name] for name in EVALUATED if name in metrics}
    return known | {f"{split}/{EVALUATED[name]}": value for name, value in known.items() for split in SPLITS}


def _teacher_row(teacher: Teacher) -> dict[str, Any]:
    network = teacher.config.get("student", {})  # fine-tuning is the trial whose student is the teacher
    return {"teacher": teacher.entry.name, "key": teacher.key, "model": network.get("model", "")} | _findings(teacher)


def _fused_row(teacher: FusedTeacher) -> dict[str, Any]:
    row = {"teacher": teacher.entry.name, "key": teacher.key, "model": teacher.description}
    row |= {"status": teacher.status, "error": teacher.problem}
    if teacher.status != "finished":
        return row
    figures = {"scaling_temperature": teacher.predictions("test").temperature, "num_parameters": teacher.num_parameters}
    return row | figures | teacher.metrics


def _findings(member: Member) -> dict[str, Any]:
    failure, stop, result = member.failure, member.stop, member.result
    error = failure.error.splitlines()[0] if failure else member.problem
    findings = {"status": member.status, "error": f"rung {stop.rung}: {stop.reason}" if stop else error}
    if result is None:
        return findings
    figures = {"scaling_temperature": result.temperature, "num_parameters": result.num_parameters}
    return findings | figures | {"wall_s": result.wall_s} | result.metrics


def _experiment(tracking_uri: str, name: str) -> tuple[Any, str]:
    """A client of an MLflow server, and the identifier of an experiment there."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    found = client.get_experiment_by_name(name)
    if found is None:
        known = ", ".join(sorted(each.name for each in client.search_experiments()))
        raise ValueError(f"{tracking_uri}: no experiment named {name}; there are {known}")
    return client, found.experiment_id


def _runs_with(client: Any, experiment_id: str, tag: str) -> Iterator[Any]:
    """The runs of an experiment that have a tag, the oldest first."""
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], f"tags.`{tag}` LIKE '%'", order_by=["attributes.start_time"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def _place(run: Any) -> float:
    """The place of a child run's trial in the sweep; −1 if the sweep dropped it, infinity if the run tells none."""
    return float(run.data.tags.get("kdsweep.place", "inf"))


def _child_row(run: Any) -> dict[str, Any]:
    tags, params = run.data.tags, run.data.params
    identity = {
        "trial": tags["kdsweep.trial"],
        "label": tags["kdsweep.label"],
        "arm": tags["kdsweep.arm"],
        "method": params.get("method", ""),
        "teacher": tags["kdsweep.teacher"],
        "temperature": temperature_name(params.get("temperature")),
        "alpha": params.get("alpha"),
        "student": params.get("student", params.get("student.model", "")),  # the latter of an older version
        SETTINGS: {},
        "seed": int(tags["kdsweep.seed"]),
        "role": tags.get("kdsweep.role", ""),
        "status": tags["kdsweep.status"],
        "error": tags.get("kdsweep.error", ""),
        "latency_device": "",
    }
    if identity["status"] != "finished":
        return identity
    figures: dict[str, Any] = {name: value for name, value in run.data.metrics.items() if _is_final(name)}
    if "plausible" in tags:
        figures["plausible"] = tags["plausible"] == "true"
    return identity | figures | {"latency_device": tags.get("kdsweep.latency_device", "")}


def _is_final(metric: str) -> bool:
    return metric in (*FIGURES, "front_probability") or metric.startswith(("validation/", "test/"))


def _table(rows: list[dict[str, Any]], identity: list[str]) -> pd.DataFrame:
    """Rows under the identity columns, then every figure as a float, NaN where there is none."""
    columns = list(
        dict.fromkeys([*identity, *FIGURES, *METRICS, *EVALUATED_METRICS, *(name for row in rows for name in row)])
    )
    numbers = ["alpha", *columns[len(identity) :]] if "alpha" in identity else columns[len(identity) :]
    table = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float)).copy()  # side by side in memory
    gaps = [f"{split}/{{}}gap{SUFFIXES[reading]}" for split in ("validation", "test") for reading in (RAW, SCALED)]
    return table.assign(**{gap.format("abs_"): table[gap.format("")].abs() for gap in gaps})
