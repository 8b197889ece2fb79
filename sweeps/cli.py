"""The command line, `kdsweep run | plan | status | submit | stop | report | promote | …`; only JSON goes to stdout."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import click

from kd_core.store.records import Store, SweepRecord
from sweeps.cluster.commands import show_job, stop, submit
from sweeps.promotion.promote import promote
from sweeps.spec.mistakes import SpecError, found_in
from sweeps.terminal.interrupt import leaving_at_signals, program
from sweeps.terminal.options import json_option, set_option, store_at, store_option, sweep_named, tracking_option
from sweeps.tracking.answers import end_unanswered


class _Commands(click.Group):
    """A group that reports a user's mistake as one sentence with exit code 2, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and report a user's mistake."""
        try:
            return super().invoke(ctx)
        except SpecError as error:
            _complain(str(error))
        except OSError as error:
            _complain(_problem(error, ctx.obj))


def _problem(error: OSError, storage: str | None) -> str:
    """What an operating system's error says, where, and what to do."""
    if error.strerror is None:
        return str(error)
    where = error.filename or f"--storage: {storage}"
    return f"{where}: {error.strerror}; make room there, or name another --storage, and give the same command again"


def _complain(message: str) -> NoReturn:
    click.echo(f"kdsweep: {message}", err=True)
    sys.exit(2)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def main() -> None:
    """Find the accuracy–calibration Pareto front of distilling a small classifier with mixup."""


@main.command()
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
    from sweeps.run import run_sweep
    from sweeps.spec.reader import read_spec
    from sweeps.terminal.console import print_failures, print_outcome
    from sweeps.terminal.progress import SweepProgress
    from sweeps.tracking.sync import embedded_uri

    sweep, store = read_spec(spec, overrides), store_at(storage)
    tracking_uri = tracking_uri or embedded_uri(store)
    with found_in(spec), redirect_stdout(sys.stderr), SweepProgress() as progress:
        outcome = run_sweep(sweep, store, progress, address=address, tracking_uri=tracking_uri)
    print_outcome(outcome.report, outcome.counts, _runs_command(storage, tracking_uri))
    if not outcome.ok:
        print_failures(progress.failures)
    if as_json:
        click.echo(json.dumps(outcome.as_json(), ensure_ascii=False))
    sys.exit(0 if outcome.ok else 1)


@main.command()
@click.argument("spec")
@store_option
@set_option
@json_option
def plan(spec: str, storage: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Show what is up to date, what would run, and what it would cost, without running anything."""
    from kd_core.data.splits import summarize
    from sweeps.plan.cost import bfloat16_gains, cost_of
    from sweeps.plan.pace import time_of
    from sweeps.plan.plan import plan_sweep
    from sweeps.spec.reader import read_spec
    from sweeps.terminal.console import print_plan

    sweep, store = read_spec(spec, overrides), store_at(storage)
    with found_in(spec):
        planned = plan_sweep(sweep, store, summarize(sweep.data))
        if not planned.up_to_date:
            from sweeps.spec.networks import check_networks

            check_networks(sweep, planned.data.num_classes)
    cost, time, gains = cost_of(planned), time_of(planned, store), bfloat16_gains(planned)
    if as_json:
        found = {"cost": vars(cost), "time": time.as_json(), "bfloat16_gains": gains}
        click.echo(json.dumps(planned.as_json() | found))
    else:
        print_plan(planned, cost, gains, time)


@main.command()
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
    rows = status_of(store, sweep_named(store, name)) if store is not None else {}
    if as_json:
        click.echo(json.dumps({"sweep": name} | job | rows, ensure_ascii=False))
    elif rows:
        print_status([row for kind in rows.values() for row in kind])


def _watch(store: Store, sweep: SweepRecord) -> None:
    """Follow a sweep on stderr until nothing of it is left to run, or Ctrl-C."""
    from sweeps.terminal.follower import watch
    from sweeps.terminal.interrupt import ending_at_ctrl_c
    from sweeps.terminal.progress import SweepProgress

    with ending_at_ctrl_c():
        watch(store, sweep, SweepProgress(only_trials=True))


@main.command()
@click.argument("name")
@store_option
@tracking_option
def sync(name: str, storage: str, tracking_uri: str | None) -> None:
    """Update MLflow with the records of the sweep NAME."""
    from sweeps.tracking.answers import without_password
    from sweeps.tracking.sync import embedded_uri
    from sweeps.tracking.sync import sync as sync_sweep

    store = store_at(storage)
    sweep_named(store, name).members()
    uri = tracking_uri or embedded_uri(store)
    if uri is None:
        raise SpecError(f"--tracking-uri: missing; {storage} is remote and holds no tracking store of its own")
    try:
        num_trials = sync_sweep(store, name, uri)
    except Exception as error:
        end_unanswered(uri, error)
    click.echo(f"{num_trials} trials of {name} are up to date in MLflow at {without_password(uri)}", err=True)


@main.command()
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
    from analysis.pareto import objectives_named

    try:
        named = objectives_named(objectives.split(",")) if objectives is not None else None
    except ValueError as error:
        raise SpecError(f"--{error}") from None
    printed = _read(uri, experiment or name, named) if uri else _written(store_at(storage), name, named, against)
    if as_json:
        click.echo(json.dumps({"sweep": name} | printed, ensure_ascii=False))


def _written(store: Store, name: str, objectives: dict[str, str] | None, against: str | None) -> dict[str, Any]:
    """Write the report of a sweep; returns what `--json` prints of it."""
    from analysis.report import write_report

    for each in (name, against):
        if each is not None:
            sweep_named(store, each).members()
    try:
        written = write_report(store, name, objectives, against)
    except ValueError as error:
        raise SpecError(f"--against: {against}: {error}" if against else str(error)) from None
    click.echo(f"report: {written.path}", err=True)
    return written.as_json()


def _read(uri: str, experiment: str, objectives: dict[str, str] | None) -> dict[str, Any]:
    """Print the front of an MLflow experiment; returns what `--json` prints of it."""
    from sweeps.experiment import rows_of_experiment
    from sweeps.terminal.console import print_front

    file = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not file.exists():  # MLflow would create it
        raise SpecError(f"--from-mlflow: {uri}: no such file")
    try:
        rows = rows_of_experiment(uri, experiment, objectives)
    except ValueError as error:
        raise SpecError(f"--from-mlflow: {error}") from None
    except Exception as error:
        end_unanswered(uri, error)
    print_front(rows["arms"])
    return rows | {"claims": [], "report": None}


@main.command()
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
        for each in _verified_signals(store, record, samples):
            print_verification(each)
            verified.append(each)
    whole = not problems and all(each.ok for each in verified)
    click.echo(f"{name}: {'everything is whole' if whole else 'run its spec again to make what is damaged'}", err=True)
    if as_json:
        found = {"problems": problems, "signals": [each.as_json() for each in verified]}
        click.echo(json.dumps({"sweep": name} | found, ensure_ascii=False))
    sys.exit(0 if whole else 1)


def _verified_signals(store: Store, record: SweepRecord, samples: int) -> Iterator[Any]:
    """The comparisons of a sweep's stored signals with their teachers; the data is loaded only if there are any."""
    from kd_core.data.dataset import load
    from kd_core.data.splits import summarize
    from sweeps.plan.plan import plan_sweep
    from sweeps.plan.upkeep import verify_signals
    from sweeps.spec.reader import parse_spec

    path = str(record.path / "spec.yaml")
    spec = parse_spec(record.spec_yaml(), path)
    with found_in(path):
        planned = plan_sweep(spec, store, summarize(spec.data))
        if any(each.record is not None and each.record.epochs() for each in planned.signals):
            yield from verify_signals(planned, load(spec.data), samples)


@main.group("signal")
def signal_group() -> None:
    """Prune stored teacher signals, the one pass of a teacher that all trials share."""


@signal_group.command()
@store_option
@click.option("--finished", is_flag=True, help="Also remove signals that only finished sweeps use.")
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@json_option
def prune(storage: str, finished: bool, dry_run: bool, as_json: bool) -> None:
    """Remove the stored signals that no sweep of the store needs."""
    from sweeps.plan.upkeep import unneeded_signals
    from sweeps.terminal.progress import size_text

    unneeded = unneeded_signals(store_at(storage), finished)
    for each in unneeded:
        click.echo(f"signal {each.record.key}: {len(each.epochs)} epochs, {size_text(each.size_bytes)}", err=True)
        if not dry_run:
            each.remove()
    freed = sum(each.size_bytes for each in unneeded)
    click.echo(f"{'would free' if dry_run else 'freed'} {size_text(freed)}", err=True)
    if as_json:
        click.echo(json.dumps({"signals": [each.record.key for each in unneeded], "freed_bytes": freed}))


@main.command()
@click.argument("name", required=False)
@store_option
@click.option("--port", default=5000, show_default=True, help="Port on 127.0.0.1.")
def ui(name: str | None, storage: str, port: int) -> None:
    """Serve the MLflow UI of a local storage, on this machine only, and open the runs of NAME, or of the last sweep."""
    from sweeps.tracking.answers import is_taken, open_once_served
    from sweeps.tracking.runs_shown import page_of
    from sweeps.tracking.sync import embedded_uri

    store = store_at(storage)
    uri = embedded_uri(store)
    if uri is None or store.local is None or not (store.local / "mlflow.db").exists():
        raise SpecError(f"--storage: {storage}: holds no tracking store; run a sweep there first")
    page = page_of(uri, [name] if name else _newest_first(store))
    if name and page is None:
        raise SpecError(f"{name}: MLflow in {storage} has no such sweep; run it there, or `{program()} sync {name}`")
    if is_taken(port):
        raise SpecError(f"--port: {port}: another server uses it; give another, such as {port + 1}")
    url = f"http://127.0.0.1:{port}{page or ''}"
    click.echo(f"MLflow UI: {url}  (Ctrl-C ends it)", err=True)
    if sys.stderr.isatty():
        open_once_served(url)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    destination = ["--artifacts-destination", (store.local / "mlartifacts").as_uri(), "--port", str(port)]
    os.execv(sys.executable, command + destination)


def _newest_first(store: Store) -> list[str]:
    """The sweeps of a local store by their last start, the newest first."""
    started = {each.name: (each.path / "trials.json").stat().st_mtime for each in store.sweeps()}
    return sorted(started, key=lambda name: started[name], reverse=True)


def _runs_command(storage: str, tracking_uri: str | None) -> str | None:
    """The command or URI that shows the runs of a sweep in MLflow; None without tracking."""
    if tracking_uri and tracking_uri.startswith("sqlite:"):
        where = "" if Path(storage) == Path("./runs") else f" --storage {storage}"
        return f"{program()} ui{where}"
    return tracking_uri


main.add_command(submit)
main.add_command(stop)
main.add_command(promote)


if __name__ == "__main__":
    with leaving_at_signals():
        main()
