"""The commands `kdsweep run`, `plan` and `status`: what a sweep would do, does and has done."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from kd_core.config.errors import SpecError
from kd_core.store.records import Store, SweepRecord
from sweeps.commands.cluster import show_job
from sweeps.config.errors import naming_source
from sweeps.config.sweep import SweepSpec
from sweeps.terminal.interrupt import program
from sweeps.terminal.options import (
    json_option,
    print_json,
    set_option,
    snapshot_of,
    store_at,
    store_option,
    sweep_named,
    tracking_option,
)


@click.command()
@click.argument("spec")
@store_option
@set_option
@click.option("--address", help="Address of a Ray cluster, such as auto; by default, one is started on this machine.")
@tracking_option
@json_option
def run(
    spec: str, storage: str, overrides: tuple[str, ...], address: str | None, tracking_uri: str | None, as_json: bool
) -> None:
    """Run the sweep of SPEC, a file or the name of a shipped spec; a second run resumes it or does nothing."""
    from sweeps.config.reader import read_spec

    sweep, store = read_spec(spec, overrides), store_at(storage)
    sys.exit(run_here(sweep, spec, store, storage, address, tracking_uri, as_json))


def run_here(
    sweep: SweepSpec,
    source: str,
    store: Store,
    storage: str,
    address: str | None,
    tracking_uri: str | None,
    as_json: bool,
) -> int:
    """Run a sweep, whose spec was read from source, and print how it went; returns the exit status."""
    from sweeps.run import run_sweep
    from sweeps.terminal.console import print_failures, print_outcome
    from sweeps.terminal.progress import SweepProgress
    from sweeps.tracking.sync import embedded_uri

    tracking_uri = tracking_uri or embedded_uri(store)
    with naming_source(source), redirect_stdout(sys.stderr), SweepProgress() as progress:
        outcome = run_sweep(sweep, store, progress, address=address, tracking_uri=tracking_uri)
    searched, runs = not sweep.search.is_grid, _runs_command(storage, tracking_uri)
    print_outcome(outcome.report, outcome.counts, runs, searched)
    if not outcome.ok:
        print_failures(progress.failures)
    if as_json:
        print_json(outcome.as_json())
    return 0 if outcome.ok else 1


def _runs_command(storage: str, tracking_uri: str | None) -> str | None:
    """The command or URI that shows the runs of a sweep in MLflow; None without tracking."""
    if tracking_uri and tracking_uri.startswith("sqlite:"):
        where = "" if Path(storage) == Path("./runs") else f" --storage {storage}"
        return f"{program()} ui{where}"
    return tracking_uri


@click.command()
@click.argument("spec")
@store_option
@set_option
@json_option
def plan(spec: str, storage: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what is up to date, what would run, and what it would cost, without running anything."""
    from kd_core.data.survey import summarize
    from sweeps.config.reader import read_spec
    from sweeps.plan.cost import bfloat16_gains, cost_of
    from sweeps.plan.eta import time_of
    from sweeps.plan.novelty import novelties
    from sweeps.plan.plan import plan_sweep
    from sweeps.terminal.console import print_plan
    from sweeps.terminal.survey import looking

    sweep, store = read_spec(spec, overrides), store_at(storage)
    with naming_source(spec):
        with looking() as progress:
            data = summarize(sweep.data, progress)
        planned = plan_sweep(sweep, store, data)
        if not planned.up_to_date:
            from sweeps.config.networks import check_networks

            check_networks(sweep, planned.data.num_classes)
    cost, time, gains = cost_of(planned), time_of(planned, store), bfloat16_gains(planned)
    new = novelties(planned, store)
    if as_json:
        costs = {"cost": vars(cost), "time": time.as_json(), "bfloat16_gains": gains}
        print_json(planned.as_json() | costs | {"new": [novelty.as_json() for novelty in new]})
    else:
        print_plan(planned, cost, gains, time, [novelty.sentence for novelty in new])


@click.command()
@click.argument("name")
@store_option
@click.option("--address", metavar="URL", help="Job server of the cluster that runs it; the storage is then the job's.")
@click.option("--watch", "follow", is_flag=True, help="Follow it until nothing is left to run; Ctrl-C ends this.")
@json_option
def status(name: str, storage: str, address: str | None, follow: bool, as_json: bool) -> None:
    """Show the status of each teacher, signal and trial of the sweep NAME."""
    from sweeps.terminal.console import print_status
    from sweeps.terminal.status import status_of

    if follow and as_json:
        raise SpecError("--watch: prints no JSON; leave out --json, or --watch")
    job, seen = show_job(name, address, storage) if address is not None else ({}, storage)
    store = store_at(seen) if seen is not None else None
    if follow and store is not None:
        _watch(store, sweep_named(store, name))
        return
    rows = status_of(snapshot_of(store, name)) if store is not None else {}
    if as_json:
        print_json({"sweep": name} | job | rows)
    elif rows:
        print_status([row for kind in rows.values() for row in kind])


def _watch(store: Store, sweep: SweepRecord) -> None:
    """Follow a sweep on stderr until nothing of it is left to run, or Ctrl-C."""
    from sweeps.terminal.follower import watch
    from sweeps.terminal.interrupt import ending_at_ctrl_c
    from sweeps.terminal.progress import SweepProgress

    with ending_at_ctrl_c():
        watch(store, sweep, SweepProgress())
