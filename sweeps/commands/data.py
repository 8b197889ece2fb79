"""The commands `kdsweep data` and `kdsweep init`: a look at somebody's images, and a spec to begin with."""

import re
from pathlib import Path

import click

from kd_core.config.errors import SpecError
from kd_core.store.files import write_bytes
from sweeps.config.errors import naming_source
from sweeps.terminal.interrupt import program
from sweeps.terminal.options import json_option, print_json, set_option


@click.command()
@click.argument("source", metavar="SPEC|DIR")
@set_option
@click.option("--page", metavar="FILE", help="Also draw what the networks see, and what is doubtful, as an HTML page.")
@json_option
def data(source: str, overrides: tuple[str, ...], page: str | None, as_json: bool) -> None:
    """Show what is found in a folder, or in the data of a spec: parts, classes, what is left out or doubtful."""
    from kd_core.config.data import ViewConfig
    from kd_core.data.survey import survey_of
    from sweeps.config.reader import data_options, read_spec
    from sweeps.plan.starter import data_of
    from sweeps.terminal.survey import looking, print_survey

    with looking() as progress:
        if Path(source).is_dir():
            survey, view = data_of(Path(source), data_options(overrides), progress), ViewConfig()
        else:
            spec = read_spec(source, overrides)
            with naming_source(source):
                survey, view = (
                    survey_of(spec.data, progress, whole=spec.data.source in ("folder", "parquet")),
                    spec.view,
                )
    if page is not None:
        from analysis.drawing.data_page import data_page
        from kd_core.data.samples import samples_of

        write_bytes(Path(page), data_page(samples_of(survey, view)).encode())
    if as_json:
        print_json(survey.as_json())
    else:
        print_survey(survey)


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@set_option
@click.option("--out", type=click.Path(path_type=Path), help="The spec to write; by default DIR's name with .yaml.")
def init(folder: Path, overrides: tuple[str, ...], out: Path | None) -> None:
    """Look at the images in DIR and write a spec for them, with comments, that plans at once."""
    from kd_core.fields import shown
    from sweeps.config.reader import data_options
    from sweeps.plan.starter import starter_of
    from sweeps.terminal.survey import looking, print_survey

    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-") or "sweep"
    out = out or Path(f"{name}.yaml")
    if out.exists():
        raise SpecError(f"{shown(out)}: is there already; remove it, or give another name by --out")
    with looking() as progress:
        starter = starter_of(folder, data_options(overrides), progress)
    print_survey(starter.survey)
    write_bytes(out, starter.text(name, str(folder.resolve())).encode())
    click.echo(f"wrote {out}; next: {program()} plan {out}, then {program()} run {out}", err=True)
