"""Options that several commands have in common, and the store and the sweep that they name."""

import json
import logging
import time
from typing import Any

import click

from analysis.snapshot import Snapshot, read_sweep
from kd_core.config.errors import SpecError
from kd_core.store.records import Store, SweepRecord

_STORE_HELP = "Folder or fsspec URL of the store."
_SET_HELP = "Override a key of the spec (dotted, list indices allowed) by a YAML value."
_TRACKING_HELP = "MLflow tracking server; by default a SQLite file inside a local storage."
store_option = click.option(
    "--storage", default="./runs", envvar="KDSWEEP_STORAGE", show_default=True, help=_STORE_HELP
)
set_option = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=_SET_HELP)
tracking_option = click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help=_TRACKING_HELP)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")


class _StderrHandler(logging.Handler):
    """Prints messages as lines of a log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line."""
        click.echo(f"{time.strftime('%H:%M:%S')} {record.getMessage()}", err=True)


def log_to_stderr() -> None:
    """Print on stderr what kd_core logs, such as that it fetches data."""
    logger = logging.getLogger("kd_core")
    if not logger.handlers:
        logger.addHandler(_StderrHandler())
        logger.setLevel(logging.INFO)


def store_at(storage: str) -> Store:
    """The store that --storage names; raises SpecError if it cannot be reached."""
    try:
        store = Store.at(storage)
        places = [store.root, *store.root.parents] if store.local else [store.root]
        file = next((place for place in places if place.is_file()), None)
    except Exception as error:  # each file system raises its own errors
        problem = " ".join(str(error).split())[:200]
        raise SpecError(f"--storage: {storage}: cannot be reached ({problem}); name a folder or another URL") from error
    click.get_current_context().find_root().obj = storage  # for what goes wrong there later
    if file is not None:
        raise SpecError(f"--storage: {storage}: {file} is a file; name a folder or another URL")
    return store


def sweep_named(store: Store, name: str) -> SweepRecord:
    """The sweep NAME of a store; raises SpecError for what is no sweep's name."""
    try:
        return store.sweep(name)
    except ValueError as error:
        raise SpecError(str(error)) from None


def snapshot_of(store: Store, name: str) -> Snapshot:
    """The sweep NAME of a store, read; raises SpecError for what is no sweep's name, FileNotFoundError for no sweep."""
    return read_sweep(store, sweep_named(store, name).name)


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))
