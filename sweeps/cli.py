"""The command line: `kdsweep run | plan | status | sync | report | ui`. Prose goes to stderr, JSON to stdout."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from kd_core.config import TrainConfig
from kd_core.data import DataError, fingerprint_of, summarize
from kd_core.records import Record, Store
from sweeps.spec import SpecError, check_teacher_heads, read_spec


class _Commands(click.Group):
    """A group in which a user's mistake is one sentence and exit code 2, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (SpecError, DataError, FileNotFoundError) as error:
            _complain(str(error))


def _complain(message: str) -> NoReturn:
    click.echo(f"kdsweep: {message}", err=True)
    sys.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Find the accuracy–calibration Pareto front of distilling a small classifier with mixup."""


def _store_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--storage", default="./runs", show_default=True, help="Folder or fsspec URL of the store.")(
        command
    )


def _set_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "Override a key of the spec: dotted, list indices allowed, the value as YAML."
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=text)(command)


def _tracking_option(command: Callable[..., Any]) -> Callable[..., Any]:
    text = "MLflow tracking server; by default a SQLite file inside a local storage."
    return click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help=text)(command)


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(command)


@main.command()
@click.argument("spec")
@_store_option
@_set_option
@click.option("--address", help="Ray cluster to run on, such as auto; by default one is started on this machine.")
@_tracking_option
@_json_option
def run(
    spec: str, storage: str, overrides: tuple[str, ...], address: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """Bring the store up to date with SPEC, a file or a shipped spec's name; again, it resumes or does nothing."""
    from sweeps.progress import SweepProgress
    from sweeps.run import run_sweep
    from sweeps.tracking import embedded_uri

    sweep, store = read_spec(spec, overrides), Store.at(storage)
    tracking_uri = tracking_uri or embedded_uri(store)
    try:
        with redirect_stdout(sys.stderr), SweepProgress() as progress:  # what libraries print is no JSON
            outcome = run_sweep(sweep, store, progress, address=address, tracking_uri=tracking_uri)
    except KeyboardInterrupt:
        click.echo(f"\nstopped; nothing is lost. To go on: {_same_command(spec, storage, overrides)}", err=True)
        # Ray's and MLflow's threads must not keep an interrupted process waiting
        os._exit(130)
    _print_outcome(outcome, storage, tracking_uri)
    if as_json:
        click.echo(json.dumps(_outcome_json(outcome), ensure_ascii=False))
    sys.exit(0 if outcome.ok else 1)


@main.command()
@click.argument("spec")
@_store_option
@_set_option
@_json_option
def plan(spec: str, storage: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what is up to date, what would run, and what it would cost, without running anything."""
    from sweeps.plan import cost_of, plan_sweep

    sweep, store = read_spec(spec, overrides), Store.at(storage)
    data = summarize(sweep.data)
    check_teacher_heads(sweep, data.num_classes)
    planned = plan_sweep(sweep, store, fingerprint_of(sweep.data))
    cost = cost_of(planned, data)
    if as_json:
        trials = [{"label": each.trial.label, "status": each.status} for each in planned.trials]
        teachers = [
            {"name": each.name, "status": each.record.status, "trials": each.num_trials} for each in planned.teachers
        ]
        click.echo(json.dumps({"sweep": sweep.name, "teachers": teachers, "trials": trials, "cost": vars(cost)}))
        return
    console = _stderr()
    console.print(
        f"{sweep.name}: {data.num_train} training, {data.num_validation} validation and {data.num_test} test images "
        f"of {data.num_classes} classes at {data.image_size} px",
        soft_wrap=True,
    )
    table = _table("teacher", "model", "status", "trials", "epochs")
    for each in planned.teachers:
        network = each.finetuning
        table.add_row(
            each.name, network.student.model, each.record.status, str(each.num_trials), str(network.train.num_epochs)
        )
    if planned.teachers:
        console.print(table)
    table = _table("trial", "status", "epochs")
    for each in planned.trials:
        table.add_row(each.trial.label, each.status, str(each.trial.config.train.num_epochs))
    console.print(table)
    total = cost.student_flops + cost.teacher_flops + cost.finetuning_flops
    console.print(
        f"to compute: {total / 1e12:,.1f} TFLOP: fine-tuning teachers {cost.finetuning_flops / 1e12:,.1f}, asking them "
        f"{cost.teacher_flops / 1e12:,.1f} in {cost.teacher_passes} passes over the training images, training students "
        f"{cost.student_flops / 1e12:,.1f}",
        soft_wrap=True,
    )


@main.command()
@click.argument("name")
@_store_option
@_json_option
def status(name: str, storage: str, as_json: bool) -> None:
    """Show what has become of each teacher and trial of the sweep NAME, as its files say."""
    store = Store.at(storage)
    members = _sweep(store, name).members()
    teachers = [_status_row(f"teacher {each['name']}", store.teacher(each["key"])) for each in members["teachers"]]
    trials = [_status_row(each["label"], store.trial(each["key"])) for each in members["trials"]]
    waiting = {"key": None, "status": "pending", "epoch": 0, "epochs": None, "error": None}
    trials += [{"label": label} | waiting for label in members.get("waiting", [])]
    if as_json:
        click.echo(json.dumps({"sweep": name, "teachers": teachers, "trials": trials}, ensure_ascii=False))
        return
    table = _table("", "status", "epoch", "key", "error")
    for row in teachers + trials:
        epochs = f"{row['epoch']}/{row['epochs']}" if row["epochs"] is not None else ""
        table.add_row(row["label"], row["status"], epochs, row["key"] or "", row["error"] or "")
    _stderr().print(table)


def _status_row(label: str, record: Record) -> dict[str, Any]:
    journal, failure, config = record.journal(), record.failure(), record.config()
    return {
        "label": label,
        "key": record.key,
        "status": record.status,
        "epoch": journal[-1]["epoch"] if journal else 0,
        "epochs": TrainConfig.model_validate(config["train"]).num_epochs if config else None,
        "error": failure["error"] if failure else None,
    }


@main.command()
@click.argument("name")
@_store_option
@_tracking_option
def sync(name: str, storage: str, tracking_uri: str | None) -> None:
    """Bring MLflow up to date with the records of the sweep NAME."""
    from sweeps.tracking import embedded_uri
    from sweeps.tracking import sync as sync_sweep

    store = Store.at(storage)
    _sweep(store, name).members()
    uri = tracking_uri or embedded_uri(store)
    if uri is None:
        raise SpecError(f"--tracking-uri: missing; {storage} is remote and holds no tracking store of its own")
    try:
        num_trials = sync_sweep(store, name, uri)
    except Exception as error:
        click.echo(f"kdsweep: MLflow at {uri} does not answer: {str(error).splitlines()[0]}", err=True)
        sys.exit(1)
    click.echo(f"{num_trials} trials of {name} are up to date in MLflow at {uri}", err=True)


@main.command()
@click.argument("name")
@_store_option
@_json_option
def report(name: str, storage: str, as_json: bool) -> None:
    """Write the Pareto report of the sweep NAME again from its records."""
    from analysis.report import write_report
    from analysis.tables import front_rows

    store = Store.at(storage)
    _sweep(store, name).members()
    written = write_report(store, name)
    click.echo(f"report: {written.path}", err=True)
    if as_json:
        click.echo(json.dumps({"sweep": name, "front": front_rows(written.front), "report": str(written.path)}))


@main.command()
@_store_option
@click.option("--port", default=5000, show_default=True, help="Port on 127.0.0.1.")
def ui(storage: str, port: int) -> None:
    """Open the MLflow UI of a local storage, on this machine only."""
    from sweeps.tracking import embedded_uri

    store = Store.at(storage)
    uri = embedded_uri(store)
    if uri is None or store.local is None or not (store.local / "mlflow.db").exists():
        raise SpecError(f"--storage: {storage}: holds no tracking store; run a sweep there first")
    click.echo(f"MLflow UI: http://127.0.0.1:{port}  (Ctrl-C ends it)", err=True)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    destination = ["--artifacts-destination", (store.local / "mlartifacts").as_uri(), "--port", str(port)]
    os.execv(sys.executable, command + destination)


def _sweep(store: Store, name: str) -> Any:
    try:
        return store.sweep(name)
    except ValueError as error:
        raise SpecError(str(error)) from None


def _kdsweep() -> str:
    """How to call this program again: by its name, or where the shell does not know it, by its path."""
    called = Path(sys.argv[0])
    return "kdsweep" if called.name != "kdsweep" or shutil.which("kdsweep") else os.path.relpath(called)


def _same_command(spec: str, storage: str, overrides: tuple[str, ...]) -> str:
    sets = "".join(f" --set '{override}'" for override in overrides)
    return f"{_kdsweep()} run {spec} --storage {storage}{sets}"


def _outcome_json(outcome: Any) -> dict[str, Any]:
    from analysis.tables import front_rows

    return {
        "sweep": outcome.sweep,
        "trials": outcome.counts,
        "front": front_rows(outcome.report.front),
        "report": str(outcome.report.path),
    }


def _print_outcome(outcome: Any, storage: str, tracking_uri: str | None) -> None:
    """The front as a table, where the report is, and how to look at the runs."""
    from analysis.tables import front_rows

    console = _stderr()
    table = _table(
        "Pareto front", "accuracy %", "ECE", "ECE scaled", "NLL", title="selected on validation, shown on test"
    )
    for row in front_rows(outcome.report.front):
        figures = (f"{100 * row['accuracy']:.2f}", f"{row['ece']:.4f}", f"{row['ece_scaled']:.4f}", f"{row['nll']:.3f}")
        table.add_row(row["label"], *figures)
    console.print(table)
    console.print(", ".join(f"{count} {what}" for what, count in outcome.counts.items()), markup=False)
    console.print(f"report: {outcome.report.path}", markup=False, soft_wrap=True)
    if tracking_uri and tracking_uri.startswith("sqlite:"):
        where = "" if Path(storage) == Path("./runs") else f" --storage {storage}"
        console.print(f"runs:   {_kdsweep()} ui{where}", markup=False, soft_wrap=True)
    elif tracking_uri:
        console.print(f"runs:   {tracking_uri}", markup=False, soft_wrap=True)


def _stderr() -> Console:
    return Console(stderr=True, highlight=False)


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_style="dim", title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == columns[0])
    return table


if __name__ == "__main__":
    main()
