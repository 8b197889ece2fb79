"""The command `kdsweep confirm`: fresh seeds of what a sweep has selected, and its report from these alone."""

import sys

import click

from kd_core.config.errors import SpecError
from kd_core.store.records import Store
from sweeps.commands.run import run_here
from sweeps.config.errors import naming_source
from sweeps.config.sweep import SweepSpec
from sweeps.terminal.options import json_option, store_at, store_option, sweep_named, tracking_option


@click.command()
@click.argument("name")
@store_option
@click.option(
    "--seeds", default=3, show_default=True, type=click.IntRange(1, 1000), help="How many fresh seeds, in all."
)
@click.option("--address", help="Address of a Ray cluster, such as auto; by default, one is started on this machine.")
@tracking_option
@json_option
def confirm(name: str, storage: str, seeds: int, address: str | None, tracking_uri: str | None, as_json: bool) -> None:
    """Train fresh seeds of the plausible arms of the sweep NAME and of its baseline; a second time resumes, or adds.

    The report then gives their figures on test from these seeds alone, which had no part in the selection.
    """
    store = store_at(storage)
    sweep = sweep_named(store, name)
    sweep.index()
    path = str(sweep.path / "spec.yaml")
    with naming_source(path):
        spec = confirmed(store, name, seeds)
    sys.exit(run_here(spec, path, store, storage, address, tracking_uri, as_json))


def confirmed(store: Store, name: str, num_seeds: int) -> SweepSpec:
    """Write what a sweep is to confirm, and return its spec; raises SpecError unless all of the sweep has been run."""
    from analysis.report import update_report
    from analysis.snapshot import read_sweep
    from kd_core.data.survey import summarize
    from sweeps.config.reader import parse_spec
    from sweeps.plan.confirmation import write_confirmation
    from sweeps.plan.plan import plan_sweep

    spec = parse_spec(store.sweep(name).spec_yaml(), name)
    plan = plan_sweep(spec, store, summarize(spec.data))
    selecting = [each for each in plan.trials if each.role != "confirmation"]
    num_left = sum(not each.done and each.status != "failed" for each in selecting) + plan.num_unproposed
    if num_left:
        raise SpecError(f"{num_left} of its trials are still to run, which may change the selection; run it first")
    content = update_report(read_sweep(store, name)).content
    chosen = [row["arm"] for row in content["arms"] if row["plausible"] or row["arm"] == content["baseline"]]
    if not chosen:
        raise SpecError("no trial has finished, so there is nothing to confirm; run it first")
    write_confirmation(spec, store, [each.trial for each in selecting], chosen, num_seeds)
    return spec
