"""A user's mistake as one sentence: its place, the value, what was expected, and a remedy."""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from kd_core.config.errors import DataError, SpecError
from kd_core.fields import shown


@contextmanager
def naming_source(source: str) -> Iterator[None]:
    """Add the name of the spec to a SpecError or DataError of the block; raises SpecError."""
    try:
        yield
    except (SpecError, DataError) as error:
        raise SpecError(f"{source}: {error}") from None


def sentence_of(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """The first problem of a validation error as `key: value: problem; remedy`."""
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    location, value = first["loc"], first["input"]
    path = (prefix + dotted(location)).strip(".")
    if first["type"] == "extra_forbidden":
        known = list(_walk(model, location[:-1])[0].model_fields)
        nearest = difflib.get_close_matches(shown(location[-1]), known, n=1)
        remedy = f"did you mean {nearest[0]}?" if nearest else f"remove it, or use one of {', '.join(known)}"
        return f"{path}: unknown key; {remedy}"
    field = _walk(model, location)[1]
    told = first["type"] == "value_error"  # our own messages include a remedy
    remedy = f"; {shown(location[-1])} is {_one_line(field.description)}" if field is not None and not told else ""
    if first["type"] == "missing":
        return f"{path}: missing{remedy}"
    problem = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    given = f" {shown(value)}:" if location and not isinstance(value, dict | list | tuple | BaseModel) else ""
    return f"{path}:{given} {problem}{remedy}"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def dotted(location: Sequence[str | int]) -> str:
    """A place in a spec as messages show it, `.arms[0].alpha`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{shown(part)}" for part in location)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models in an annotation, such as TeacherConfig in dict[str, TeacherConfig]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def _walk(model: type[BaseModel], location: Sequence[str | int]) -> tuple[type[BaseModel], FieldInfo | None]:
    """Follow an error's location; returns the model in which it ends, and the field if it ends in one."""
    field: FieldInfo | None = None
    for index, part in enumerate(location):
        field = model.model_fields.get(str(part))
        inside = models_in(field.annotation) if field is not None else []
        rest = set(map(str, location[index + 1 :]))
        model = next((each for each in inside if rest & each.model_fields.keys()), inside[0] if inside else model)
    return model, field
