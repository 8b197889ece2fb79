import click
import pytest
from click.testing import CliRunner

from sweeps.terminal.options import json_option, set_option, store_option, tracking_option


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
