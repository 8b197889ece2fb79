import logging
import re

import click
import pytest
from click.testing import CliRunner

from kd_core.config.errors import SpecError
from kd_core.store.records import Store
from sweeps.terminal.options import (
    json_option,
    log_to_stderr,
    set_option,
    store_at,
    store_option,
    sweep_named,
    tracking_option,
)


@click.command()
@store_option
@set_option
@tracking_option
@json_option
def command(**given):
    """Prints what it was given."""
    click.echo(repr(given))


@pytest.mark.parametrize(
    ("arguments", "environment", "given"),
    [
        ([], {}, {"storage": "./runs", "overrides": (), "tracking_uri": None, "as_json": False}),
        (
            ["--storage", "s3://a/b", "--set", "a=1", "--set", "b=2", "--json"],
            {"MLFLOW_TRACKING_URI": "http://host"},
            {"storage": "s3://a/b", "overrides": ("a=1", "b=2"), "tracking_uri": "http://host", "as_json": True},
        ),
    ],
)
def test_options_have_their_names_and_defaults(arguments, environment, given):
    said = CliRunner().invoke(command, arguments, env={"MLFLOW_TRACKING_URI": None} | environment)
    assert eval(said.output) == given


def test_what_the_library_says_is_a_line_on_stderr(capsys):
    for _ in range(2):
        log_to_stderr()
    logging.getLogger("kd_core.any").info("fetching %s", "data")
    assert re.fullmatch(r"\d\d:\d\d:\d\d fetching data\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("storage", "problem"),
    [("{folder}/file/runs", "file is a file; name a folder"), ("nosuch://a", "cannot be reached")],
)
def test_a_storage_that_is_none_is_one_sentence(tmp_path, storage, problem):
    (tmp_path / "file").write_text("")
    with click.Context(command), pytest.raises(SpecError, match=f"--storage: .*{problem}"):
        store_at(storage.format(folder=tmp_path))


def test_a_store_and_a_sweep_are_found_by_their_names(tmp_path):
    with click.Context(command) as context:
        store = store_at(str(tmp_path))
    assert (store, context.obj) == (Store.at(tmp_path), str(tmp_path))
    assert sweep_named(store, "tiny").path == store.root / "sweeps" / "tiny"
    with pytest.raises(SpecError, match=r"'\.\./tiny' is no sweep name"):
        sweep_named(store, "../tiny")
