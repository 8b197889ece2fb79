"""The command `kdsweep schema`: what a spec may say, for editors."""

import click


@click.command()
def schema() -> None:
    """Print the JSON schema of a spec, by which editors complete and check it."""
    from sweeps.config.schema import schema_text

    click.echo(schema_text())
