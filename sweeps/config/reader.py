"""Reads a sweep's spec from YAML into frozen values; every error is a sentence with file, key, value and remedy."""

from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from analysis.objectives import LATE, SIZES, check_selecting, figure_of
from kd_core.config.errors import SpecError
from kd_core.config.networks import check_different
from kd_core.fields import shown
from kd_core.store.records import SAFE_NAME
from sweeps.config.errors import naming_source, sentence_of
from sweeps.config.places import Location, check_paths, placed
from sweeps.config.sweep import SweepSpec
from sweeps.config.yaml_text import yaml_text, yaml_value


def shipped_specs() -> list[str]:
    """The names of the specs that come with the package."""
    names = (Path(file.name) for file in files("sweeps").joinpath("specs").iterdir())
    return sorted(name.stem for name in names if name.suffix == ".yaml")


def read_spec(source: str, overrides: Sequence[str] = (), elsewhere: Sequence[str] | None = None) -> SweepSpec:
    """Read a spec from a path or by a shipped name, with KEY=VALUE overrides applied; raises SpecError.

    Relative paths in a file are relative to its folder, those in overrides and in a shipped spec to the working folder.
    For a sweep that runs on other machines, elsewhere is the list of folders that they share: the spec's paths must be
    URLs or below one of them, and need not be here.
    """
    path = _file_of(source)
    try:
        text = (path or _shipped(source)).read_text()
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{source}: is no text in UTF-8 ({error.reason} at byte {error.start}); save it as such"
        ) from None
    return parse_spec(text, source, overrides, elsewhere, path.parent if path else Path())


def parse_spec(
    text: str,
    source: str,
    overrides: Sequence[str] = (),
    elsewhere: Sequence[str] | None = None,
    folder: Path = Path(),
) -> SweepSpec:
    """A spec from its YAML text; raises SpecError.

    source is its name in error messages, elsewhere as in read_spec, and the text's relative paths are of the folder.
    """
    content = _parse_yaml(text, source)
    given = [_apply(content, override) for override in overrides]
    with naming_source(source):
        content = placed(content, folder, given)
    try:
        spec = SweepSpec.model_validate(content)
    except ValidationError as error:
        raise SpecError(f"{source}: {sentence_of(error, SweepSpec)}") from None
    check_paths(spec, source, elsewhere)
    _check_references(spec, source)
    return spec


def data_options(overrides: Sequence[str]) -> dict[str, Any]:
    """The fields of the data that overrides such as data.label_column=fine set; raises SpecError for other keys."""
    content: dict[str, Any] = {}
    given = [_apply(content, override) for override in overrides]
    for override in overrides:
        if not override.startswith("data."):
            raise SpecError(f"--set {shown(override)}: a folder has data only; give data.KEY=VALUE, or a spec")
    return placed(content, Path(), given).get("data", {})


def to_yaml(spec: SweepSpec) -> str:
    """The resolved spec as YAML, including defaults."""
    return yaml_text(spec.model_dump(mode="json"))


def _file_of(source: str) -> Path | None:
    """The file that a path names, if it is there."""
    with suppress(OSError, RuntimeError):  # a name that is too long, or the home of an unknown user
        path = Path(source).expanduser()
        return path if path.is_file() else None
    return None


def _shipped(source: str) -> Path:
    """The file of a shipped spec; raises SpecError if there is none of this name."""
    shipped = Path(str(files("sweeps").joinpath("specs", f"{source}.yaml")))
    if SAFE_NAME.fullmatch(source) and shipped.is_file():
        return shipped
    meant = next((f"{source}{ending}" for ending in (".yaml", ".yml") if _file_of(f"{source}{ending}")), "")
    remedy = f"did you mean {meant}?" if meant else f"the shipped ones are {', '.join(shipped_specs())}"
    raise SpecError(f"{source}: no such file, nor a shipped spec; {remedy}")


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    with naming_source(source):
        content = yaml_value(text)
    if not isinstance(content, dict):
        raise SpecError(f"{source}: must hold keys and values, such as name: my-sweep; see `kdsweep plan quickstart`")
    return content


def _apply(content: dict[str, Any], override: str) -> Location:
    """Set one dotted key, list indices allowed, to a value parsed as YAML; returns where that is."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SpecError(f"--set {shown(override)}: must be KEY=VALUE, such as train.epochs=5")
    with naming_source(f"--set {shown(override)}"):
        value = yaml_value(text)
    *parents, last = key.split(".")
    place: Any = content
    location: Location = ()
    try:
        for parent in parents:
            step = _step(place, parent)
            if isinstance(place, dict) and place.get(step) is None:  # not given, or null
                place[step] = {}
            place = place[step]
            location += (step,)
        step = _step(place, last)
        place[step] = value
    except (IndexError, ValueError, TypeError, AttributeError):
        problem = f"the spec has no such place as {shown(key)}; indices count from 0"
        if isinstance(place, str | int | float):
            remedy = f"give all of it, such as {{{shown(last)}: {shown(text)}}}"
            problem = f"the spec says {shown(place)} there, which has no key {shown(last)}; {remedy}"
        raise SpecError(f"--set {shown(override)}: {problem}") from None
    return (*location, step)


def _step(place: Any, part: str) -> Any:
    """A part of an override's key: an index in a list, which may count from its end, or a key."""
    return range(len(place))[int(part)] if isinstance(place, list) else part


def _check_references(spec: SweepSpec, source: str) -> None:
    """Raise SpecError for teachers without weights or members, and unknown objectives; check_networks asks timm."""
    for name, teacher in spec.single_teachers.items():
        if not (teacher.finetune or teacher.checkpoint or teacher.pretrained):
            raise SpecError(f"{source}: teachers.{name}.finetune: missing, and so are weights: it would know nothing")
    for name, fused in spec.fused_teachers.items():
        _check_members(spec, fused.fuse, f"{source}: teachers.{name}.fuse")
    try:
        check_selecting(spec.objectives)
    except ValueError as error:
        raise SpecError(f"{source}: {error}") from None
    slow = [name for name in spec.objectives if name.startswith("latency")]
    if slow and not spec.search.is_grid:
        raise SpecError(
            f"{source}: search: {slow[0]} is measured once all trials are finished; remove it from the objectives, or "
            "take num_parameters"
        )
    late = [name for name in spec.objectives if name in SIZES or figure_of(name) in LATE or name.endswith("_scaled")]
    if late and spec.early_stopping is not None:
        raise SpecError(
            f"{source}: early_stopping: {late[0]} is not measured after every epoch; remove early_stopping, or take "
            f"objectives that are, such as {{'validation/accuracy': max, 'validation/ece': min}}"
        )


def _check_members(spec: SweepSpec, names: Sequence[str], where: str) -> None:
    """Raise SpecError unless the teachers to fuse are different networks of the spec."""
    for name in names:
        if name in spec.fused_teachers:
            raise SpecError(f"{where}: {name}: is fused itself; name its members instead")
        if name not in spec.single_teachers:
            known = shown(", ".join(spec.single_teachers)) or "none"
            raise SpecError(f"{where}: {name}: no such teacher; the spec has {known}")
    try:
        check_different([spec.single_teachers[name] for name in names], names)
    except ValueError as error:
        raise SpecError(f"{where}: {error}") from None
