"""The base class and field types of all configurations: frozen, strict, and with numbers as YAML writes them."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Config(BaseModel):
    """A frozen configuration; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


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


def _absolute(value: str) -> str:
    """The absolute path, which every worker can use in any working directory; a URL unchanged."""
    return value if "://" in value else str(Path(value).expanduser().absolute())


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
