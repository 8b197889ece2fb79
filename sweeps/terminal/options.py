"""Options that several commands have in common."""

from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]


def store_option(command: Command) -> Command:
    """--storage, where the records are."""
    text = "Folder or fsspec URL of the store."
    return click.option("--storage", default="./runs", show_default=True, help=text)(command)


def set_option(command: Command) -> Command:
    """--set, which overrides keys of the spec."""
    text = "Override a key of the spec (dotted, list indices allowed) by a YAML value."
    return click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help=text)(command)


def tracking_option(command: Command) -> Command:
    """--tracking-uri, the MLflow server."""
    text = "MLflow tracking server; by default a SQLite file inside a local storage."
    return click.option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", help=text)(command)


def json_option(command: Command) -> Command:
    """--json, for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(command)
