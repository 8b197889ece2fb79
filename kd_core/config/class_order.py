"""The classes of given weights, in the order of their classifier, and where the data's classes are among them."""

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from upath import UPath

from kd_core.config.errors import ModelError
from kd_core.fields import shown

_FORMS = 'give one name a line, or JSON: a list of names, or {"0": name, …}'


def read_classes(path: str) -> tuple[str, ...]:
    """The names in a file of classes: one a line, a JSON list, or a JSON object from index to name, or name to index.

    path may be an fsspec URL. Raises ModelError.
    """
    try:
        text = UPath(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ModelError("classes", f"is no text in UTF-8; {_FORMS}") from None
    except Exception as error:  # each file system raises its own errors
        problem = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({shown(error)})"
        raise ModelError("classes", f"{problem}; {_FORMS}") from None
    names = _of_json(text) if text.lstrip().startswith(("[", "{")) else [line.strip() for line in text.splitlines()]
    names = [name for name in names if name]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None or not names:
        problem = f"names {shown(twice)} twice" if twice is not None else "names no class"
        raise ModelError("classes", f"{problem}; {_FORMS}")
    return tuple(names)


def classes_problem(path: str) -> str | None:
    """Why a file of classes cannot be read, and what to do about it; None if it can."""
    try:
        read_classes(path)
    except ModelError as error:
        return str(error)
    return None


def places_of(class_names: Sequence[str], names: Sequence[str]) -> list[int]:
    """The place of each of the data's classes [K] in the names of a file; raises ModelError if one is missing there."""
    places = {name: place for place, name in enumerate(names)}
    missing = next((name for name in class_names if name not in places), None)
    if missing is None:
        return [places[name] for name in class_names]
    nearest = difflib.get_close_matches(missing, names, n=1, cutoff=0)[0]
    problem = f"the data's class {shown(missing)} is not among its {len(names)} names, the nearest is {shown(nearest)}"
    raise ModelError("classes", f"{problem}; write the names as the data has them")


def _of_json(text: str) -> list[str]:
    """The names in a JSON text, in their order; raises ModelError."""
    try:
        value = json.loads(text)
        if isinstance(value, dict):
            value = _by_index(value)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ModelError("classes", f"is no JSON of names; {_FORMS}") from None
    if not all(isinstance(name, str | int) for name in value):
        raise ModelError("classes", f"holds more than names; {_FORMS}")
    return [str(name) for name in value]


def _by_index(value: dict[str, Any]) -> list[Any]:
    """The names of an object from index to name, or from name to index; raises KeyError if an index is missing."""
    if all(type(index) is int for index in value.values()):
        value = {str(index): name for name, index in value.items()}
    return [value[str(index)] for index in range(len(value))]
