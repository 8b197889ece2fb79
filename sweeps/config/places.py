"""The paths of a spec: relative to what, whether they can be read, and whether the nodes of a cluster see them."""

import os
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import reduce
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from kd_core.config.checkpoint import checkpoint_problem
from kd_core.config.class_order import classes_problem
from kd_core.config.errors import SpecError
from kd_core.config.model_source import LOCAL, folder_of, folder_problem
from kd_core.config.trial import TrialConfig
from kd_core.fields import Mark, shown
from sweeps.config.arms import students_of
from sweeps.config.errors import dotted
from sweeps.config.sweep import SweepSpec

Location = tuple[str | int, ...]
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)


def placed(content: dict[str, Any], folder: Path, given: Collection[Location] = ()) -> dict[str, Any]:
    """A copy of a spec's content, before it is validated, in which the paths are absolute; raises SpecError.

    A relative path is one of the folder; one at or below a location in `given`, by --set, is one of the working folder.
    `~` and variables such as $HOME are replaced, and URLs stay.
    """

    def copied(value: Any, kind: Any, location: Location) -> Any:
        """A part of the content, whose annotation or field is `kind`."""
        if isinstance(value, dict):
            return {key: copied(part, _below(kind, key), (*location, key)) for key, part in value.items()}
        if isinstance(value, list):
            return [copied(part, _below(kind, index), (*location, index)) for index, part in enumerate(value)]
        prefix = _prefix(value, kind) if isinstance(value, str) else None
        if prefix is None:
            return value
        by_set = any(location[: len(each)] == each for each in given)
        return prefix + _absolute(value.removeprefix(prefix), Path() if by_set else folder, location)

    return copied(content, SweepSpec, ())


def _below(kind: Any, key: str | int) -> Any:
    """The annotation, or the field, of what is found by a key in a value of an annotation or a field; None if unknown.

    In an arm, one value may stand for another or a list of them, as {choices: [...]} does, so a field is its own item.
    """
    if isinstance(kind, FieldInfo):
        return kind if _is_place(kind) else _below(kind.annotation, key)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind if isinstance(key, int) else kind.model_fields.get(key)
    if kind == dict[str, Any]:  # an arm, whose keys are those of a trial, dotted
        return reduce(_below, str(key).split("."), TrialConfig)
    if get_origin(kind) in (dict, tuple):
        return get_args(kind)[get_origin(kind) is dict]
    kinds = (_below(each, key) for each in get_args(kind))
    return next((each for each in kinds if each is not None), None)


def _prefix(text: str, kind: Any) -> str | None:
    """What stands before the path in the value of a field: nothing, or `local-dir:`; None if it has no path."""
    if isinstance(kind, FieldInfo) and Mark.MODEL in kind.metadata and text.startswith(LOCAL):
        return LOCAL
    return "" if _is_place(kind) else None


def _is_place(kind: Any) -> bool:
    return isinstance(kind, FieldInfo) and Mark.PLACE in kind.metadata


def _absolute(text: str, folder: Path, location: Location) -> str:
    """The absolute path that a text means, or the URL; raises SpecError."""
    where = f"{dotted(location).strip('.')}: {shown(text)}"
    if "://" in text:
        return text
    text = os.path.expanduser(text)  # noqa: PTH111 - leaves a user that is not known, which is refused by the field
    if not _exists(folder / text):  # a name may have a $ of its own
        text = _expanded(text, where)
    if "://" in text or text.startswith("~"):
        return text
    path = folder.absolute() / text
    if not _exists(path) and _exists(Path(text)):
        here = os.path.relpath(Path(text).resolve(), folder.resolve())
        problem = "a relative path begins in the folder of the spec, where there is none, and not in the working folder"
        raise SpecError(f"{where}: {problem}; for that of the working folder write {shown(here)}")
    return str(_without_parents(path))


def _expanded(text: str, where: str) -> str:
    """A text with its variables replaced; raises SpecError for one that is not set."""
    names = [first or second for first, second in _VARIABLE.findall(text)]
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise SpecError(f"{where}: the variable {shown(missing[0])} is not set here; set it, or give the whole path")
    return _VARIABLE.sub(lambda match: os.environ[match[1] or match[2]], text)


def _without_parents(path: Path) -> Path:
    """A path without `..`, which says below which folders it lies."""
    if ".." in path.parts:
        with suppress(OSError, RuntimeError, ValueError):  # such as a circle of links
            return path.resolve()
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def paths_of(spec: SweepSpec, source: str = "spec") -> list[tuple[str, str]]:
    """The data, the weights and the files of names that a spec names, each with its place in the spec."""
    networks = {f"teachers.{name}": teacher for name, teacher in spec.single_teachers.items()}
    networks |= students_of(spec, source)
    found = [("data.path", spec.data.folder), ("data.labels", spec.data.labels)]
    found += [("data.unlabelled", spec.data.unlabelled_folder)]
    if spec.evaluate is not None:
        outside = spec.evaluate.ood
        found += [
            ("evaluate.ood.path", outside and outside.folder),
            ("evaluate.corruptions", spec.evaluate.corruptions),
        ]
    for where, network in networks.items():
        folder = folder_of(network.model)
        found += [(f"{where}.model", str(folder) if folder else None)]
        found += [(f"{where}.{name}", getattr(network, name)) for name in ("checkpoint", "classes")]
    return [(where, path) for where, path in found if path is not None]


def check_paths(spec: SweepSpec, source: str, elsewhere: Sequence[str] | None = None) -> None:
    """Raise SpecError unless all paths of a spec can be read here or, if given, are below the folders elsewhere."""
    for where, path in paths_of(spec, source):
        problem = _problem_here(where, path) if elsewhere is None else _problem_elsewhere(path, elsewhere)
        if problem:
            raise SpecError(f"{source}: {where}: {shown(path)}: {problem}")


def _problem_here(where: str, path: str) -> str | None:
    """Why a path of a spec cannot be read on this machine, and what to do about it."""
    kind = where.rpartition(".")[2]
    if kind in ("path", "unlabelled", "corruptions"):
        return None if "://" in path or _is_folder(path) else "no such folder; give the folder that holds the data"
    if kind == "labels":
        return None if "://" in path or _exists(Path(path)) else "no such file; give a CSV or TSV file"
    if kind == "model":
        return folder_problem(Path(path))
    return classes_problem(path) if kind == "classes" else checkpoint_problem(path)


def _problem_elsewhere(path: str, shared: Sequence[str]) -> str | None:
    """Why the nodes of a cluster may not see a path, and what to do about it; shared are the folders they all mount."""
    folders = [Path(folder).absolute() for folder in shared]
    if "://" in path or any(Path(path).is_relative_to(folder) for folder in folders):
        return None
    known = f", as {', '.join(map(str, folders))} is" if folders else ""
    return f"the cluster may not see it; move it below a folder that every node mounts, named by --shared{known}"


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # such as a name that is too long
        return False
