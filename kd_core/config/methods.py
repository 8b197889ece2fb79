"""What a spec may say of a trial's method, and what it is told about that: read from the registry, which knows them."""

import inspect
import sys
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetPydanticSchema

from kd_core.config.data import MixupConfig
from kd_core.fields import Config, Fraction, Neutral, PositiveFloat, number_of
from kd_core.methods.method import Method
from kd_core.methods.registry import METHODS


def _temperature(value: Any) -> Any:
    value = number_of(value)
    if value is None or value == "sigma":
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise ValueError("must be a number above 0, or sigma")
    return float(value)


def _listed(parts: Iterable[str], conjunction: str = "and") -> str:
    """The parts as a sentence has them: a, b and c."""
    *others, last = parts
    return f"{', '.join(others)} {conjunction} {last}" if others else last


_ALL = METHODS.values()
_UNMIXED = _listed(method.name for method in _ALL if method.mixup == "never")
_SIGMA = ", ".join(method.name for method in _ALL if method.takes_sigma)
_WARM = [method for method in _ALL if method.temperature not in (None, Method.temperature)]
_PLAIN = (Method.alpha, Method.beta)
_WEIGHED = [method for method in _ALL if not method.teacherless and (method.alpha, method.beta) != _PLAIN]

MethodName = Annotated[
    str,
    GetPydanticSchema(lambda _, schema_of: schema_of(Literal[*METHODS])),
    Field(description=_listed(METHODS, "or")),
]
Mixup = Annotated[
    MixupConfig,
    Field(description=f"the distribution of λ; by default off for {_UNMIXED} and uniform for the others"),
]
Temperature = Annotated[
    PositiveFloat | Literal["sigma"] | None,
    BeforeValidator(_temperature),
    Field(
        description=f"T of the distillation loss: a number above 0, or sigma ({_SIGMA}: each side divided by its own "
        f"deviation); by default {Method.temperature:g}, and that of the authors for "
        + _listed(f"{method.name} ({method.temperature:g})" for method in _WARM)
    ),
]
Alpha = Annotated[
    Fraction,
    Field(
        description="weight of the hard-label cross-entropy, from 0 to 1; by default "
        f"{Method.alpha:g}, and that of the authors for "
        + _listed(f"{method.name} ({method.alpha:g}, {method.paper})" for method in _WEIGHED)
    ),
]
Beta = Annotated[
    float,
    Field(
        ge=0,
        description="weight of the distillation loss; by default 1 − alpha, and where alpha is not given either, that "
        "of the authors for " + _listed(f"{method.name} ({method.beta:g})" for method in _WEIGHED),
    ),
]


def _option_field(options: type[Config]) -> Any:
    """The field of a method's options, which the first line of their docstring describes."""
    words = inspect.cleandoc(options.__doc__ or "").partition("\n")[0].rstrip(".")
    return Annotated[options | None, Neutral(None), Field(description=words[:1].lower() + words[1:])], None


OPTIONS = {method.name: _option_field(method.options) for method in _ALL if method.options is not None}
