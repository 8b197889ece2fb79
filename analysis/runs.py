"""The trials and teachers of a sweep as tables, read from the store or from an MLflow experiment."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from kd_core.measure.outcomes import figure_names
from kd_core.store.records import Record, Store

METRICS = [name for split in ("validation", "test") for name in figure_names(split, standardized=True)]
RECIPE = ["method", "teacher", "temperature", "alpha", "student"]
TRIAL_COLUMNS = ["trial", "label", "arm", *RECIPE, "seed", "status", "error"]
TEACHER_COLUMNS = ["teacher", "key", "model", "status", "error"]
FIGURES = ["scaling_temperature", "num_parameters", "wall_s"]


def runs_of(store: Store, name: str) -> pd.DataFrame:
    """One row per trial of a sweep, in the order of its spec; an unfinished trial has its status and NaN figures."""
    trials = store.sweep(name).members()["trials"]
    return _table([_trial_row(member, store.trial(member["key"])) for member in trials], TRIAL_COLUMNS)


def teachers_of(store: Store, name: str) -> pd.DataFrame:
    """One row per teacher of a sweep, with the figures of its card."""
    teachers = store.sweep(name).members()["teachers"]
    return _table([_teacher_row(member, store.teacher(member["key"])) for member in teachers], TEACHER_COLUMNS)


def journals_of(store: Store, name: str) -> pd.DataFrame:
    """One row per epoch of every trial that trained: arm, seed, epoch and the figures of its journal."""
    rows = [
        {"arm": member["arm"], "seed": member["seed"], **row}
        for member in store.sweep(name).members()["trials"]
        for row in store.trial(member["key"]).journal()
    ]
    columns = ["arm", "seed", "epoch", "validation/accuracy", "validation/ece", *(key for row in rows for key in row)]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))


def recycled_of(store: Store, name: str) -> list[int]:
    """The different numbers of epochs after which trials of a sweep repeat the vicinal stream."""
    configs = [store.trial(member["key"]).config() or {} for member in store.sweep(name).members()["trials"]]
    choices = {(config.get("recycle"), config["train"]["epochs"]) for config in configs if config}
    return sorted({recycle for recycle, epochs in choices if recycle is not None and recycle < epochs})


def runs_of_experiment(tracking_uri: str, experiment: str) -> pd.DataFrame:
    """The table of `runs_of` from an MLflow experiment, one row per child run, oldest first.

    Raises ValueError, naming the existing experiments, if none has this name.
    """
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        known = ", ".join(sorted(each.name for each in client.search_experiments()))
        raise ValueError(f"{tracking_uri}: no experiment named {experiment}; there are {known}")
    return _table([_child_row(run) for run in _child_runs(client, found.experiment_id)], TRIAL_COLUMNS)


def temperature_name(temperature: float | str | None) -> str:
    """A distillation temperature as text: "2", "0.5", "sigma", or "" for a trial without one."""
    if temperature in (None, "", "None"):
        return ""
    return "sigma" if temperature == "sigma" else f"{float(temperature):g}"


def _trial_row(member: Mapping[str, Any], record: Record) -> dict[str, Any]:
    config = record.config() or {}
    identity = {
        "trial": member["key"],
        "label": member["label"],
        "arm": member["arm"],
        "method": config.get("method", ""),
        "teacher": member["teacher"] or "",
        "temperature": temperature_name(config.get("temperature")),
        "alpha": config.get("alpha"),
        "student": config.get("student", {}).get("model", ""),
        "seed": member["seed"],
    }
    return identity | _findings(record)


def _teacher_row(member: Mapping[str, Any], record: Record) -> dict[str, Any]:
    network = (record.config() or {}).get("student", {})  # fine-tuning is the trial whose student is the teacher
    return {"teacher": member["name"], "key": member["key"], "model": network.get("model", "")} | _findings(record)


def _findings(record: Record) -> dict[str, Any]:
    status, failure = record.status, record.failure()
    findings = {"status": status, "error": failure["error"].splitlines()[0] if failure else ""}
    verdict = record.verdict()
    if status != "finished" or verdict is None:
        return findings
    figures = {"scaling_temperature": verdict.get("temperature")}
    figures |= {name: verdict.get(name) for name in ("num_parameters", "wall_s")}
    return findings | figures | verdict["metrics"]


def _child_runs(client: Any, experiment_id: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], "tags.`kdsweep.trial` LIKE '%'", order_by=["attributes.start_time"], page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


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
        "student": params.get("student.model", ""),
        "seed": int(tags["kdsweep.seed"]),
        "status": tags["kdsweep.status"],
        "error": tags.get("kdsweep.error", ""),
    }
    finished = identity["status"] == "finished"
    figures = {name: value for name, value in run.data.metrics.items() if name in FIGURES or _is_final(name)}
    return identity | (figures if finished else {})


def _is_final(metric: str) -> bool:
    return metric.startswith(("validation/", "test/"))


def _table(rows: list[dict[str, Any]], identity: list[str]) -> pd.DataFrame:
    """Rows under the identity columns, then every figure as a float, NaN where there is none."""
    columns = list(dict.fromkeys([*identity, *FIGURES, *METRICS, *(name for row in rows for name in row)]))
    numbers = ["alpha", *columns[len(identity) :]] if "alpha" in identity else columns[len(identity) :]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(numbers, float))
