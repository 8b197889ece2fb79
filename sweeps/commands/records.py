"""The commands `kdsweep report`, `verify` and `signal prune`, which work on what a sweep has stored."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from kd_core.config.errors import SpecError
from kd_core.store.records import Store, SweepRecord
from sweeps.config.errors import naming_source
from sweeps.terminal.options import json_option, print_json, snapshot_of, store_at, store_option, sweep_named


@click.command()
@click.argument("name")
@store_option
@click.option("--objectives", metavar="A,B", help="Objectives other than the spec's, such as accuracy,nll.")
@click.option("--against", metavar="OTHER", help="Compare with this sweep of the same storage and test images.")
@click.option("--from-mlflow", "uri", metavar="URI", help="Show the front of an MLflow experiment, and write no page.")
@click.option("--experiment", help="The experiment of --from-mlflow.  [default: NAME]")
@json_option
def report(
    name: str,
    storage: str,
    objectives: str | None,
    against: str | None,
    uri: str | None,
    experiment: str | None,
    as_json: bool,
) -> None:
    """Write the Pareto report of the sweep NAME again, from its records."""
    from analysis.objectives import objectives_named

    try:
        named = objectives_named(objectives.split(",")) if objectives is not None else None
    except ValueError as error:
        raise SpecError(f"--{error}") from None
    if uri:
        content = _report_of_experiment(uri, experiment or name, named)
    else:
        content = _report_of_sweep(store_at(storage), name, named, against)
    if as_json:
        print_json({"sweep": name} | content)


def _report_of_sweep(store: Store, name: str, objectives: dict[str, str] | None, against: str | None) -> dict[str, Any]:
    """Write the report of a sweep; returns what `--json` prints of it."""
    from analysis.report import write_report

    sweep, other = snapshot_of(store, name), snapshot_of(store, against) if against is not None else None
    try:
        report = write_report(sweep, objectives, other)
    except ValueError as error:
        raise SpecError(f"--against: {against}: {error}" if against else str(error)) from None
    click.echo(f"report: {report.path}", err=True)
    return report.as_json()


def _report_of_experiment(uri: str, experiment: str, objectives: dict[str, str] | None) -> dict[str, Any]:
    """Print the front of an MLflow experiment; returns what `--json` prints of it."""
    from sweeps.experiment import rows_of_experiment
    from sweeps.terminal.console import print_front
    from sweeps.tracking.server import using_server

    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.exists():  # MLflow would create it
        raise SpecError(f"--from-mlflow: {uri}: no such file")
    with using_server(uri):
        try:
            rows = rows_of_experiment(uri, experiment, objectives)
        except ValueError as error:
            raise SpecError(f"--from-mlflow: {error}") from None
    print_front(rows["arms"])
    return rows | {"claims": [], "report": None}


@click.command()
@click.argument("name")
@store_option
@click.option("--samples", default=1024, show_default=True, help="About how many slots of each signal to compare.")
@json_option
def verify(name: str, storage: str, samples: int, as_json: bool) -> None:
    """Read every file of the sweep NAME, and run its teachers again on a sample; exit 1 if anything is not whole.

    What is damaged is put aside, and the next `kdsweep run` makes it again.
    """
    from sweeps.plan.upkeep import problems_of
    from sweeps.terminal.console import print_verification

    store = store_at(storage)
    record = sweep_named(store, name)
    problems, verified = [], []
    for problem in problems_of(store, name):
        click.echo(problem, err=True)
        problems.append(problem)
    if samples > 0 and not record.problems():
        for verification in _verified_signals(store, record, samples):
            print_verification(verification)
            verified.append(verification)
    whole = not problems and all(verification.ok for verification in verified)
    click.echo(f"{name}: {'everything is whole' if whole else 'run its spec again to make what is damaged'}", err=True)
    if as_json:
        signals = [verification.as_json() for verification in verified]
        print_json({"sweep": name, "problems": problems, "signals": signals})
    sys.exit(0 if whole else 1)


def _verified_signals(store: Store, record: SweepRecord, samples: int) -> Iterator[Any]:
    """The comparisons of a sweep's stored signals with their teachers; the data is loaded only if there are any."""
    from kd_core.data.dataset import load
    from kd_core.data.survey import summarize
    from sweeps.config.reader import parse_spec
    from sweeps.plan.plan import plan_sweep
    from sweeps.plan.upkeep import verify_signals

    path = str(record.path / "spec.yaml")
    spec = parse_spec(record.spec_yaml(), path)
    with naming_source(path):
        planned = plan_sweep(spec, store, summarize(spec.data))
        if any(signal.record.epochs() for signal in planned.signals):
            yield from verify_signals(planned, load(spec.data), samples)


@click.group("signal")
def signal_group() -> None:
    """Prune stored teacher signals, the one pass of a teacher that all trials share."""


@signal_group.command()
@store_option
@click.option("--finished", is_flag=True, help="Also remove signals that only finished sweeps use.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@json_option
def prune(storage: str, finished: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the stored signals that no sweep of the store needs."""
    from kd_core.fields import size_text
    from sweeps.plan.upkeep import unneeded_signals

    unneeded = unneeded_signals(store_at(storage), finished)
    for signal in unneeded:
        click.echo(f"signal {signal.record.key}: {len(signal.epochs)} epochs, {size_text(signal.size_bytes)}", err=True)
        if not dry_run:
            signal.remove()
    freed = sum(signal.size_bytes for signal in unneeded)
    click.echo(f"{'would free' if dry_run else 'freed'} {size_text(freed)}", err=True)
    if as_json:
        print_json({"signals": [signal.record.key for signal in unneeded], "freed_bytes": freed})
