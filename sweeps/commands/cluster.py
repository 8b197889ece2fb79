"""The commands `kdsweep submit` and `kdsweep stop`, which run sweeps as jobs of a Ray cluster, and the job's status."""

import sys
from typing import Any

import click

from kd_core.config.errors import SpecError
from sweeps.config.errors import naming_source
from sweeps.terminal.options import set_option, store_option, tracking_option

_ADDRESS_HELP = "URL of the cluster's job server, such as http://127.0.0.1:8265."
address_option = click.option("--address", required=True, envvar="RAY_API_SERVER_ADDRESS", help=_ADDRESS_HELP)


@click.command()
@click.argument("spec")
@address_option
@store_option
@set_option
@tracking_option
@click.option("--shared", multiple=True, metavar="DIR", help="A folder that every node mounts at this same path.")
@click.option("--follow", is_flag=True, help="Show the log until the sweep ends, and end with its exit code.")
@click.option("--wait", is_flag=True, help="Wait until the sweep ends, and end with its exit code.")
@click.option("--insecure", is_flag=True, help="Submit to another machine although it asks for no token.")
def submit(
    spec: str,
    address: str,
    storage: str,
    overrides: tuple[str, ...],
    tracking_uri: str | None,
    shared: tuple[str, ...],
    follow: bool,
    wait: bool,
    insecure: bool,
) -> None:
    """Run the sweep of SPEC as a job of a Ray cluster; submitted again, it attaches, or resumes."""
    from kd_core.fields import absolute
    from sweeps.cluster.job_server import JobServer
    from sweeps.cluster.submission import follow as follow_job
    from sweeps.cluster.submission import submit as submit_sweep
    from sweeps.config.reader import read_spec

    storage, server = absolute(storage), JobServer(address)
    elsewhere = None if server.is_loopback and not shared else [*shared, *([] if "://" in storage else [storage])]
    sweep = read_spec(spec, overrides, elsewhere)
    if server.is_open and not server.is_loopback and not insecure:
        problem = "asks for no token, so that anybody who reaches it may run code there and read your data"
        remedy = "start the cluster with RAY_AUTH_MODE=token, or give --insecure"
        raise SpecError(f"--address: {server.address}: {problem}; {remedy}")
    _check_tracking(tracking_uri)
    with naming_source(spec):
        submission = submit_sweep(server, sweep, storage, tracking_uri)
    click.echo(f"job {submission.job}: {'runs already' if submission.attached else 'submitted'}", err=True)
    if follow or wait:
        write = (lambda text: click.echo(text, err=True, nl=False)) if follow else None
        sys.exit(follow_job(server, submission.job, write, submission.log_start))
    click.echo(f"to end it, so that it can be resumed: kdsweep stop {sweep.name} --address {server.address}", err=True)


def _check_tracking(uri: str | None) -> None:
    """Raise SpecError for a URI with a password, which everybody who may list the jobs would see."""
    from urllib.parse import urlsplit

    if uri is not None and urlsplit(uri).password is not None:
        remedy = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD on the nodes instead"
        raise SpecError(f"--tracking-uri: holds a password, which everybody who lists the jobs would see; {remedy}")


@click.command()
@click.argument("name")
@address_option
def stop(name: str, address: str) -> None:
    """End the running jobs of the sweep NAME in order; submitted again, it resumes."""
    from sweeps.cluster.job_server import JobServer
    from sweeps.cluster.submission import stop as stop_jobs

    server = JobServer(address)
    stopped = stop_jobs(server, name)
    if not stopped:
        raise SpecError(f"{name}: no job of this sweep runs at {server.address}")
    for job in stopped:
        click.echo(f"job {job}: stopped; submit its spec again to resume", err=True)


def show_job(name: str, address: str, storage: str) -> tuple[dict[str, Any], str | None]:
    """Print the state of the newest job of the sweep NAME; returns it for JSON, and its storage if it can be read here.

    The storage is the job's, unless the command line names it, since another machine may mount it elsewhere. If it
    cannot be read, the last lines of the job's log are printed. Raises SpecError if the cluster knows no such job.
    """
    from sweeps.cluster.job_server import JobServer
    from sweeps.cluster.submission import last_job

    server = JobServer(address)
    job = last_job(server, name)
    if job is None:
        raise SpecError(f"{name}: {server.address} knows no job of this sweep; submit its spec, or correct the name")
    click.echo(f"job {job['id']}: {job['status']}, storage {job['storage']}", err=True)
    if click.get_current_context().get_parameter_source("storage") is click.core.ParameterSource.DEFAULT:
        storage = job["storage"]
    if _is_readable(storage, name):
        return {"job": job}, storage
    click.echo(f"{storage}: no records of {name} are seen there from this machine; the end of the job's log:", err=True)
    for line in job["log"] or [job["message"]]:
        click.echo(f"  {line}", err=True)
    return {"job": job}, None


def _is_readable(storage: str, name: str) -> bool:
    """Whether this machine sees the records of a sweep in a storage."""
    from kd_core.store.records import Store

    try:
        return bool(Store.at(storage).sweep(name).path.exists())
    except Exception:  # each file system raises its own errors
        return False
