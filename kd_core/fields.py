"""The base class and field types of all configurations: frozen, strict, and with numbers as YAML writes them."""

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_MOST_SHOWN = 80


class Config(BaseModel):
    """A frozen configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def or_word(*words: Any) -> ConfigDict:
    """The settings of a model for which one of these words may stand, so that its JSON schema says so."""

    def say_so(schema: dict[str, Any]) -> None:
        """Make a model's schema one of two alternatives."""
        whole = dict(schema)
        schema.clear()
        schema["anyOf"] = [whole, {"enum": list(words)}]

    return ConfigDict(json_schema_extra=say_so)


@dataclass(frozen=True)
class Neutral:
    """Marks a field that is left out of the identity where it has this value, so that introducing it changes no key.

    The value is frozen: it stays what it was when the field came, whatever becomes of its default.
    """

    value: Any


class Mark(Enum):
    """Marks of fields that are no part of the identity as they are (`kd_core.config.identity.identity_of`)."""

    PLACE = "a path, for which the hash of its content stands"
    MODEL = "the name of a model, for which, if it is a folder, the hash of its content stands"
    APART = "changes no number"


def even(value: int) -> int:
    """The value; raises ValueError unless it is even."""
    if value % 2:
        raise ValueError("must be even, since a slot and its mixup partner share a batch")
    return value


def number_of(value: Any) -> Any:
    """A float for text such as 2e-1, which YAML 1.1 reads as text; any other value unchanged."""
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value


def shown(value: Any) -> str:
    """A value as messages show it: on one line, printable, and at most 80 characters, the middle left out."""
    try:
        text = str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = hex(value)
    return _cut(printable(_cut(text)))


def printable(text: str) -> str:
    """A text on one line, with what cannot be printed as Python writes it."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN // 2]}…{text[1 - _MOST_SHOWN // 2 :]}"


def size_text(num_bytes: int) -> str:
    """A size in the largest unit of which it has at least one."""
    units = {2**40: "TiB", 2**30: "GiB", 2**20: "MiB", 2**10: "KiB", 1: "B"}
    unit = next(unit for unit in units if num_bytes >= unit or unit == 1)
    count = num_bytes / unit
    return f"{count:{'.3g' if count < 1000 else '.0f'}} {units[unit]}"


def absolute(value: str) -> str:
    """The absolute path, which every worker can use in any working directory; a URL unchanged."""
    try:
        return value if "://" in value else str(Path(value).expanduser().absolute())
    except RuntimeError:
        raise ValueError("begins with ~ and a user whom this machine does not know; give the whole path") from None


AbsolutePath = Annotated[str, AfterValidator(absolute)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0, lt=2**63)]
Pixels = Annotated[int, Field(gt=0, le=8192)]
Epochs = Annotated[int, Field(ge=0, le=99_999)]
PositiveFloat = Annotated[float, Field(gt=0)]
