"""Reads a sweep's spec from YAML into frozen values; every error is a sentence with file, key, value and remedy."""

import difflib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from kd_core.measure.outcomes import figure_names
from kd_core.spec.checkpoint import checkpoint_problem
from kd_core.spec.config import NetworkConfig
from kd_core.store.records import SAFE_NAME
from sweeps.spec.arms import students_of
from sweeps.spec.mistakes import SpecError, sentence_of
from sweeps.spec.sweep_config import SweepSpec


def shipped_specs() -> list[str]:
    """The names of the specs that come with the package."""
    names = (Path(file.name) for file in files("sweeps").joinpath("specs").iterdir())
    return sorted(name.stem for name in names if name.suffix == ".yaml")


def read_spec(source: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read a spec from a path or by a shipped name, with KEY=VALUE overrides applied; raises SpecError."""
    return parse_spec(_spec_path(source).read_text(), source, overrides)


def parse_spec(text: str, source: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """A spec from its YAML text; source is its name in error messages. Raises SpecError."""
    content = _parse_yaml(text, source)
    for override in overrides:
        _apply(content, override)
    try:
        spec = SweepSpec.model_validate(content)
    except ValidationError as error:
        raise SpecError(f"{source}: {sentence_of(error, SweepSpec)}") from None
    _check_references(spec, source)
    return spec


def to_yaml(spec: SweepSpec) -> str:
    """The resolved spec as YAML, including defaults."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


class _UniqueKeyLoader(yaml.SafeLoader):
    """A loader that rejects duplicate keys, of which YAML would silently use the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The keys and values of one mapping."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _spec_path(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_file():
        return path
    shipped = Path(str(files("sweeps").joinpath("specs", f"{source}.yaml")))
    if SAFE_NAME.fullmatch(source) and shipped.is_file():
        return shipped
    raise SpecError(f"{source}: no such file, nor a shipped spec; the shipped ones are {', '.join(shipped_specs())}")


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        content = yaml.load(text, _UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{source}: must hold keys and values, such as name: my-sweep; see `kdsweep plan quickstart`")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one dotted key, list indices allowed, to a value parsed as YAML."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SpecError(f"--set {override}: must be KEY=VALUE, such as train.epochs=5")
    *parents, last = key.split(".")
    place: Any = content
    try:
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[int(last) if isinstance(place, list) else last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SpecError(f"--set {override}: the value is no valid YAML; quote it") from None
    except (IndexError, ValueError, TypeError, AttributeError):
        problem = f"the spec has no such place as {key}; indices count from 0"
        if isinstance(place, str | int | float):
            problem = (
                f"the spec says {place} there, which has no key {last}; give all of it, such as {{{last}: {text}}}"
            )
        raise SpecError(f"--set {override}: {problem}") from None


def _check_references(spec: SweepSpec, source: str) -> None:
    """Raise SpecError for missing files or weights and unknown objectives; timm's part is in check_networks."""
    if spec.data.path is not None and not Path(spec.data.path).is_dir():
        raise SpecError(f"{source}: data.path: {spec.data.path}: no such folder; give the folder that holds the data")
    for name, teacher in spec.teachers.items():
        _check_checkpoint(teacher, f"{source}: teachers.{name}")
        if not (teacher.finetune or teacher.checkpoint or teacher.pretrained):
            raise SpecError(f"{source}: teachers.{name}.finetune: missing, and so are weights: it would know nothing")
    for where, student in students_of(spec, source).items():
        _check_checkpoint(student, f"{source}: {where}")
    known = figure_names("validation")
    for objective in spec.objectives:
        if objective not in known:
            nearest = difflib.get_close_matches(objective, known, n=1, cutoff=0)[0]
            raise SpecError(f"{source}: objectives.{objective}: is no validation figure; did you mean {nearest}?")


def _check_checkpoint(network: NetworkConfig, where: str) -> None:
    problem = checkpoint_problem(network.checkpoint) if network.checkpoint is not None else None
    if problem is not None:
        raise SpecError(f"{where}.checkpoint: {network.checkpoint}: {problem}")
