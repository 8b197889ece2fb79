"""Reads a sweep's spec from YAML into frozen values; every error is a sentence with file, key, value and remedy."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from analysis.objectives import LATE, SIZES, check_objectives, figure_of
from kd_core.config.checkpoint import checkpoint_problem
from kd_core.config.errors import SpecError
from kd_core.fields import shown
from kd_core.store.records import SAFE_NAME
from sweeps.config.arms import students_of
from sweeps.config.errors import sentence_of
from sweeps.config.sweep import SweepSpec

_MOST_VALUES, _MOST_LEVELS = 100_000, 50  # of a spec; more are a mistake, or aliases of aliases


def shipped_specs() -> list[str]:
    """The names of the specs that come with the package."""
    names = (Path(file.name) for file in files("sweeps").joinpath("specs").iterdir())
    return sorted(name.stem for name in names if name.suffix == ".yaml")


def read_spec(source: str, overrides: Sequence[str] = (), elsewhere: Sequence[str] | None = None) -> SweepSpec:
    """Read a spec from a path or by a shipped name, with KEY=VALUE overrides applied; raises SpecError.

    For a sweep that runs on other machines, elsewhere is the list of folders that they share: the spec's paths must be
    URLs or below one of them, and need not be here.
    """
    try:
        text = _spec_path(source).read_text()
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{source}: is no text in UTF-8 ({error.reason} at byte {error.start}); save it as such"
        ) from None
    return parse_spec(text, source, overrides, elsewhere)


def parse_spec(
    text: str, source: str, overrides: Sequence[str] = (), elsewhere: Sequence[str] | None = None
) -> SweepSpec:
    """A spec from its YAML text; source is its name in error messages, elsewhere as in read_spec. Raises SpecError."""
    content = _parse_yaml(text, source)
    for override in overrides:
        _apply(content, override)
    try:
        spec = SweepSpec.model_validate(content)
    except ValidationError as error:
        raise SpecError(f"{source}: {sentence_of(error, SweepSpec)}") from None
    for where, path in paths_of(spec, source):
        problem = _problem_here(where, path) if elsewhere is None else _problem_elsewhere(path, elsewhere)
        if problem:
            raise SpecError(f"{source}: {where}: {shown(path)}: {problem}")
    _check_references(spec, source)
    return spec


def to_yaml(spec: SweepSpec) -> str:
    """The resolved spec as YAML, including defaults."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """A loader that rejects duplicate keys, of which YAML would use the last, and shows what it cannot read."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The keys and values of one mapping."""
        if not isinstance(node, yaml.MappingNode):  # !!map before something else
            return super().construct_mapping(node, deep)
        keys = Counter(repr(self.construct_object(key, deep=True)) for key, _ in node.value)
        for key, count in keys.items():
            if count > 1:
                problem = f"the key {shown(key)} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of one node."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # half a surrogate pair is no text
            return value
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError):  # by int, datetime and others
            problem = f"{shown(node.value)} is no valid {node.tag.rpartition(':')[2]}; quote it if it is text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _loaded(text: str) -> Any:
    """The value of a YAML text; raises YAMLError, also where aliases would make it deep or large beyond use."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        size, depth = _extent(node, {}) if node is not None else (0, 0)
        if size > _MOST_VALUES or depth > _MOST_LEVELS:
            raise RecursionError
        return loader.construct_document(node) if node is not None else None
    except RecursionError:
        raise yaml.YAMLError(f"it has more than {_MOST_LEVELS} levels or {_MOST_VALUES} values") from None
    finally:
        loader.dispose()


def _extent(node: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The number of values and levels of a node, aliases followed; a node inside itself counts as too large."""
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1, 1
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        inside = [part for each in inside for part in (each if isinstance(each, tuple) else (each,))]
        sizes, depths = zip((0, 0), *(_extent(each, known) for each in inside), strict=True)
        known[id(node)] = 1 + sum(sizes), 1 + max(depths)
    return known[id(node)]


def _spec_path(source: str) -> Path:
    meant = ""
    with suppress(OSError, RuntimeError):  # a name that is too long, or the home of an unknown user
        path = Path(source).expanduser()
        if path.is_file():
            return path
        meant = next((f"{source}{ending}" for ending in (".yaml", ".yml") if Path(f"{path}{ending}").is_file()), "")
    shipped = Path(str(files("sweeps").joinpath("specs", f"{source}.yaml")))
    if SAFE_NAME.fullmatch(source) and shipped.is_file():
        return shipped
    remedy = f"did you mean {meant}?" if meant else f"the shipped ones are {', '.join(shipped_specs())}"
    raise SpecError(f"{source}: no such file, nor a shipped spec; {remedy}")


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        content = _loaded(text)
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: is no valid YAML: {' '.join(map(shown, str(error).split()))}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{source}: must hold keys and values, such as name: my-sweep; see `kdsweep plan quickstart`")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one dotted key, list indices allowed, to a value parsed as YAML."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SpecError(f"--set {shown(override)}: must be KEY=VALUE, such as train.epochs=5")
    *parents, last = key.split(".")
    place: Any = content
    try:
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[int(last) if isinstance(place, list) else last] = _loaded(text)
    except yaml.YAMLError:
        raise SpecError(f"--set {shown(override)}: the value is no valid YAML; quote it") from None
    except (IndexError, ValueError, TypeError, AttributeError):
        problem = f"the spec has no such place as {shown(key)}; indices count from 0"
        if isinstance(place, str | int | float):
            remedy = f"give all of it, such as {{{shown(last)}: {shown(text)}}}"
            problem = f"the spec says {shown(place)} there, which has no key {shown(last)}; {remedy}"
        raise SpecError(f"--set {shown(override)}: {problem}") from None


def paths_of(spec: SweepSpec, source: str = "spec") -> list[tuple[str, str]]:
    """The data and the weights that a spec names, each with its place in the spec."""
    networks = {f"teachers.{name}": teacher for name, teacher in spec.teachers.items()} | students_of(spec, source)
    found = [("data.path", spec.data.folder), ("data.unlabelled", spec.data.unlabelled_folder)]
    found += [(f"{where}.checkpoint", network.checkpoint) for where, network in networks.items()]
    return [(where, path) for where, path in found if path is not None]


def _problem_here(where: str, path: str) -> str | None:
    """Why a path of a spec cannot be read on this machine, and what to do about it."""
    if not where.startswith("data."):
        return checkpoint_problem(path)
    return None if "://" in path or _is_folder(path) else "no such folder; give the folder that holds the data"


def _problem_elsewhere(path: str, shared: Sequence[str]) -> str | None:
    """Why the nodes of a cluster may not see a path, and what to do about it; shared are the folders they all mount."""
    folders = [Path(folder).absolute() for folder in shared]
    if "://" in path or any(Path(path).is_relative_to(folder) for folder in folders):
        return None
    known = f", as {', '.join(map(str, folders))} is" if folders else ""
    return f"the cluster may not see it; move it below a folder that every node mounts, named by --shared{known}"


def _check_references(spec: SweepSpec, source: str) -> None:
    """Raise SpecError for teachers without weights and unknown objectives; timm's part is in check_networks."""
    for name, teacher in spec.teachers.items():
        if not (teacher.finetune or teacher.checkpoint or teacher.pretrained):
            raise SpecError(f"{source}: teachers.{name}.finetune: missing, and so are weights: it would know nothing")
    try:
        check_objectives(spec.objectives)
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


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # such as a name that is too long
        return False
