"""The command `kdsweep evaluate`: how far the models of a sweep can be trusted beyond its test images."""

import sys
from contextlib import redirect_stdout

import click

from sweeps.config.errors import naming_source
from sweeps.terminal.options import (
    json_option,
    print_json,
    set_option,
    store_at,
    store_option,
    sweep_named,
    tracking_option,
)


@click.command()
@click.argument("name")
@click.option("--front", "which", flag_value="front", default="front", help="What may be on the front, and baselines.")
@click.option("--all", "which", flag_value="all", help="Every finished trial.")
@click.option("--trial", "trial", metavar="TRIAL", help="One trial, by its label or key, or an arm.")
@click.option("--only", metavar="NAME,…", help="Only these evaluators, such as linearity,corruption.")
@set_option
@store_option
@click.option("--address", help="Address of a Ray cluster, such as auto; by default, one is started on this machine.")
@tracking_option
@json_option
def evaluate(
    name: str,
    which: str,
    trial: str | None,
    only: str | None,
    overrides: tuple[str, ...],
    storage: str,
    address: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Evaluate models of the sweep NAME and their teachers: linearity, corruption, geometry, faithfulness and more.

    The figures are kept in the store and shown in the report and in MLflow; a second run does what is missing.
    """
    from analysis.report import update_report
    from analysis.snapshot import read_sweep
    from sweeps.config.reader import parse_spec
    from sweeps.evaluate import evaluate_sweep
    from sweeps.terminal.evaluations import print_evaluations
    from sweeps.terminal.progress import SweepProgress
    from sweeps.tracking.sync import BackgroundSync, embedded_uri, is_synced

    store = store_at(storage)
    uri, sweep = tracking_uri or embedded_uri(store), sweep_named(store, name)
    sweep.index()
    path = str(sweep.path / "spec.yaml")
    spec = parse_spec(sweep.spec_yaml(), path, overrides)
    chosen = tuple(each.strip() for each in (only or "").split(",") if each.strip())
    with naming_source(path), redirect_stdout(sys.stderr), SweepProgress() as progress:
        outcome = evaluate_sweep(spec, store, progress, which=trial or which, only=chosen, address=address)
        snapshot = read_sweep(store, name)
        report = update_report(snapshot)
        if uri is not None and not is_synced(snapshot, uri):
            BackgroundSync(store, name, uri, progress.note).finish()
    content = outcome.as_json()
    print_evaluations(snapshot, content["answers"], report.content["trust"], outcome.problems, report.path)
    if as_json:
        print_json(content | {"report": str(report.path)})
    sys.exit(1 if outcome.problems else 0)
