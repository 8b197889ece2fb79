"""The command `kdsweep promote`, which registers a trial's student in MLflow, and exports it."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from kd_core.config.errors import SpecError
from kd_core.store.records import SweepRecord
from sweeps.config.errors import found_in
from sweeps.terminal.options import json_option, snapshot_of, store_at, store_option, tracking_option
from sweeps.tracking.server import using_server, without_password

if TYPE_CHECKING:
    from analysis.snapshot import Snapshot
    from sweeps.promotion.choice import Choice
    from sweeps.promotion.formats import Measured
    from sweeps.promotion.registry import Version
    from sweeps.promotion.student import Student


@click.command()
@click.argument("name")
@click.argument("trial")
@click.option("--as", "alias", required=True, metavar="ALIAS", help="The version's alias, such as champion.")
@click.option("--export", "target", metavar="DIR", help="Also write safetensors, ExportedProgram, ONNX, int8.")
@click.option(
    "--tolerance",
    default=1e-5,
    show_default=True,
    help="The most that any probability may differ from the trial's own on the test images.",
)
@store_option
@tracking_option
@json_option
def promote(
    name: str,
    trial: str,
    alias: str,
    target: str | None,
    tolerance: float,
    storage: str,
    tracking_uri: str | None,
    as_json: bool,
) -> None:
    """Register the student of TRIAL in MLflow as a version of the model NAME, and give it an alias.

    TRIAL is a label or a key of the sweep NAME, or knee, most-accurate or best-calibrated: the arm that its report
    names, as shipped.
    """
    from sweeps.promotion.choice import chosen
    from sweeps.promotion.formats import check_target
    from sweeps.promotion.registry import check_alias
    from sweeps.tracking.sync import embedded_uri

    store, folder = store_at(storage), Path(target).absolute() if target else None
    uri = tracking_uri or embedded_uri(store)
    check_alias(alias)
    if folder is not None:
        check_target(folder)
    if uri is None:
        raise SpecError(f"--tracking-uri: missing; {storage} is remote and holds no tracking store of its own")
    snapshot = snapshot_of(store, name)
    choice = chosen(snapshot, trial)
    click.echo(f"{trial}: {choice.run['label']} ({choice.trial.key}), {choice.reason}", err=True)
    for sentence in choice.report.content.get("sanity", []):
        click.echo(f"but: {sentence}", err=True)
    version, measured = _promoted(snapshot, choice, uri, alias, folder, tolerance)
    _print_files(measured, folder)
    _print_version(version, alias, uri)
    if as_json:
        found = {"sweep": name, "trial": choice.trial.key, "label": choice.run["label"], "reason": choice.reason}
        found |= {"version": version.number, "new": version.is_new, "alias": alias, "uri": f"models:/{name}@{alias}"}
        files = [vars(each) for each in measured]
        click.echo(json.dumps(found | {"export": str(folder) if folder else None, "files": files}, ensure_ascii=False))


def _promoted(
    snapshot: Snapshot, choice: Choice, uri: str, alias: str, folder: Path | None, tolerance: float
) -> tuple[Version, list[Measured]]:
    """Register the chosen student unless it is registered, export it if there is a folder, and name its version."""
    from sweeps.promotion.card import card_of
    from sweeps.promotion.formats import FORMATS, ONNX, checked, replacing, write_formats
    from sweeps.promotion.registry import Registry, content_of, save_model
    from sweeps.promotion.student import student_of

    sweep = snapshot.sweep
    student = student_of(sweep, choice.trial.record)
    card = card_of(snapshot, choice, student)
    content = content_of(card, choice.trial.verdict["weights_sha256"])
    with redirect_stdout(sys.stderr), found_in(str(sweep.path / "spec.yaml")), TemporaryDirectory() as scratch:
        with using_server(uri):
            registry = Registry(snapshot, uri)
            version = registry.find(content)
        measured = []
        if version is None or folder is not None:
            with replacing(folder) if folder else nullcontext(Path(scratch)) as made:
                write_formats(student, made, FORMATS if folder else (ONNX,))
                measured = checked(student, made, tolerance)
                if folder is not None:
                    _describe(made, sweep, student, card, measured)
                if version is None:
                    example, model = student.test.image(0)[None].numpy(), Path(scratch) / "model"
                    save_model(model, made / ONNX, card, example, student.class_names)
                    with using_server(uri):
                        version = registry.add(content, card, choice.trial.key, model)
        assert version is not None
        with using_server(uri):
            registry.name_version(version, alias)
    return version, measured


def _describe(folder: Path, sweep: SweepRecord, student: Student, card: str, measured: list[Measured]) -> None:
    """Write the card, the front and the report beside an export, and mark it as one."""
    from analysis.report import PAGE
    from kd_core.store.files import write_json
    from sweeps.promotion.card import export_note
    from sweeps.promotion.formats import MARK
    from sweeps.promotion.registry import CARD

    (folder / CARD).write_text(f"{card}\n\n{export_note(measured)}\n")
    for file in ("front.svg", PAGE):
        (folder / file).write_bytes((sweep.report / file).read_bytes())
    files: dict[str, Any] = {each.name: vars(each) for each in measured}
    write_json(folder / MARK, {"sweep": sweep.name, "trial": student.record.key, "files": files})


def _print_files(measured: list[Measured], folder: Path | None) -> None:
    """Print what was written, and how it compares with the trial's stored test probabilities."""
    from kd_core.config.fields import size_text
    from sweeps.terminal.console import stderr, table

    if not measured:
        return
    shown = table("file", "size", "accuracy %", "ECE", "largest difference", title="on the test images, as stored")
    for each in measured:
        figures = f"{100 * each.accuracy:.2f}", f"{each.ece:.4f}", f"{each.difference:.1g}"
        shown.add_row(each.name, size_text(each.size_bytes), *figures)
    stderr().print(shown)
    if folder is not None:
        stderr().print(f"export: {folder}", markup=False, soft_wrap=True)


def _print_version(version: Version, alias: str, uri: str) -> None:
    """Print which version has the alias now, and how it is loaded."""
    state = "registered" if version.is_new else "was registered already"
    click.echo(f"version {version.number} of the model {version.model} {state}; it is now {alias}", err=True)
    load = f"mlflow.pyfunc.load_model('models:/{version.model}@{alias}')"
    click.echo(f"load: {load}, MLFLOW_TRACKING_URI={without_password(uri)}", err=True)
