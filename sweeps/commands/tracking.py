"""The commands `kdsweep sync` and `kdsweep ui`, which bring a sweep to MLflow, and show it there."""

import os
import sys

import click

from kd_core.config.errors import SpecError
from kd_core.store.records import INDEX, Store
from sweeps.terminal.interrupt import program
from sweeps.terminal.options import store_at, store_option, sweep_named, tracking_option


@click.command()
@click.argument("name")
@store_option
@tracking_option
def sync(name: str, storage: str, tracking_uri: str | None) -> None:
    """Update MLflow with the records of the sweep NAME."""
    from sweeps.tracking.server import using_server, without_password
    from sweeps.tracking.sync import sync as sync_sweep
    from sweeps.tracking.sync import tracking_uri_of

    store = store_at(storage)
    sweep_named(store, name).index()
    uri = tracking_uri_of(store, tracking_uri)
    with using_server(uri):
        num_trials = sync_sweep(store, name, uri)
    click.echo(f"{num_trials} trials of {name} are up to date in MLflow at {without_password(uri)}", err=True)


@click.command()
@click.argument("name", required=False)
@store_option
@click.option("--port", default=5000, show_default=True, help="Port on 127.0.0.1.")
def ui(name: str | None, storage: str, port: int) -> None:
    """Serve the MLflow UI of a local storage, on this machine only, and open the runs of NAME, or of the last sweep."""
    from sweeps.tracking.runs import page_of
    from sweeps.tracking.server import is_taken, open_once_served
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
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # dozens of processes, of no use here
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--host", "127.0.0.1"]
    command += ["--artifacts-destination", (store.local / "mlartifacts").as_uri(), "--port", str(port)]
    os.execv(sys.executable, [*command, "--workers", "1", "--uvicorn-opts", "--log-level warning"])


def _newest_first(store: Store) -> list[str]:
    """The sweeps of a local store by their last start, the newest first."""
    started = {each.name: (each.path / INDEX).stat().st_mtime for each in store.sweeps()}
    return sorted(started, key=lambda name: started[name], reverse=True)
