"""The command `kdsweep promote`, which registers a trial's student in MLflow, and exports it."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from kd_core.store.records import SweepRecord
from sweeps.config.errors import naming_source
from sweeps.terminal.options import json_option, print_json, snapshot_of, store_at, store_option, tracking_option
from sweeps.tracking.server import using_server, without_password

if TYPE_CHECKING:
    from analysis.snapshot import Snapshot
    from sweeps.promotion.choice import Choice
    from sweeps.promotion.formats import FormatCheck
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
    from sweeps.promotion.choice import choose_trial
    from sweeps.promotion.formats import check_target
    from sweeps.promotion.registry import check_alias
    from sweeps.tracking.sync import tracking_uri_of

    store, folder = store_at(storage), Path(target).absolute() if target else None
    check_alias(alias)
    if folder is not None:
        check_target(folder)
    uri = tracking_uri_of(store, tracking_uri)
    snapshot = snapshot_of(store, name)
    choice = choose_trial(snapshot, trial)
    click.echo(f"{trial}: {choice.run['label']} ({choice.trial.key}), {choice.reason}", err=True)
    for sentence in choice.report.content.get("sanity", []):
        click.echo(f"but: {sentence}", err=True)
    version, checks = _promoted(snapshot, choice, uri, alias, folder, tolerance)
    _print_files(checks, folder)
    _print_version(version, alias, uri)
    if as_json:
        promoted = {"sweep": name, "trial": choice.trial.key, "label": choice.run["label"], "reason": choice.reason}
        promoted |= {"version": version.number, "new": version.is_new, "alias": alias, "uri": f"models:/{name}@{alias}"}
        print_json(promoted | {"export": str(folder) if folder else None, "files": list(map(vars, checks))})


def _promoted(
    snapshot: Snapshot, choice: Choice, uri: str, alias: str, folder: Path | None, tolerance: float
) -> tuple[Version, list[FormatCheck]]:
    """Register the chosen student unless it is registered, export it if there is a folder, and name its version."""
    from sweeps.promotion.card import card_of
    from sweeps.promotion.formats import FORMATS, ONNX, check_formats, replacing_folder, write_formats
    from sweeps.promotion.registry import Registry, content_of, save_model
    from sweeps.promotion.student import student_of

    sweep = snapshot.sweep
    student = student_of(sweep, choice.trial)
    card = card_of(snapshot, choice, student)
    assert choice.trial.manifest is not None
    content = content_of(card, choice.trial.manifest.weights_sha256)
    with redirect_stdout(sys.stderr), naming_source(str(sweep.path / "spec.yaml")), TemporaryDirectory() as scratch:
        with using_server(uri):
            registry = Registry(snapshot, uri)
            version = registry.find(content)
        checks = []
        if version is None or folder is not None:
            with replacing_folder(folder) if folder else nullcontext(Path(scratch)) as made:
                write_formats(student, made, FORMATS if folder else (ONNX,))
                checks = check_formats(student, made, tolerance)
                if folder is not None:
                    _describe(made, sweep, student, card, checks)
                if version is None:
                    example, model = student.test.image(0)[None].numpy(), Path(scratch) / "model"
                    save_model(model, made / ONNX, card, example, student.class_names)
                    with using_server(uri):
                        version = registry.add(content, card, choice.trial.key, model)
        assert version is not None
        with using_server(uri):
            registry.name_version(version, alias)
    return version, checks


def _describe(folder: Path, sweep: SweepRecord, student: Student, card: str, checks: list[FormatCheck]) -> None:
    """Write the card, the front and the report beside an export, and mark it as one."""
    from analysis.report import PAGE
    from kd_core.store.files import write_json
    from sweeps.promotion.card import export_note
    from sweeps.promotion.formats import MARK
    from sweeps.promotion.registry import CARD

    (folder / CARD).write_text(f"{card}\n\n{export_note(checks)}\n")
    for file in ("front.svg", PAGE):
        (folder / file).write_bytes((sweep.report / file).read_bytes())
    files: dict[str, Any] = {check.name: vars(check) for check in checks}
    write_json(folder / MARK, {"sweep": sweep.name, "trial": student.trial.key, "files": files})


def _print_files(checks: list[FormatCheck], folder: Path | None) -> None:
    """Print what was written, and how it compares with the trial's stored test probabilities."""
    from kd_core.fields import size_text
    from sweeps.terminal.console import stderr, table

    if not checks:
        return
    files = table("file", "size", "accuracy %", "ECE", "largest difference", title="on the test images, as stored")
    for check in checks:
        metrics = f"{100 * check.accuracy:.2f}", f"{check.ece:.4f}", f"{check.difference:.1g}"
        files.add_row(check.name, size_text(check.size_bytes), *metrics)
    stderr().print(files)
    if folder is not None:
        stderr().print(f"export: {folder}", markup=False, soft_wrap=True)


def _print_version(version: Version, alias: str, uri: str) -> None:
    """Print which version has the alias now, and how it is loaded."""
    state = "registered" if version.is_new else "was registered already"
    click.echo(f"version {version.number} of the model {version.model} {state}; it is now {alias}", err=True)
    load = f"mlflow.pyfunc.load_model('models:/{version.model}@{alias}')"
    click.echo(f"load: {load}, MLFLOW_TRACKING_URI={without_password(uri)}", err=True)
