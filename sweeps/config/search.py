"""How a sweep searches the space of its arms, and which trials it stops early, as frozen values."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from kd_core.fields import Config, Fraction, PositiveInt, Seed, or_word
from kd_core.store.records import SAFE_NAME


def _safe_name(value: str) -> str:
    if not SAFE_NAME.fullmatch(value):
        raise ValueError("must be letters, digits, dots, dashes and underscores, and start with a letter or digit")
    return value


SafeName = Annotated[
    str, AfterValidator(_safe_name), WithJsonSchema({"type": "string", "pattern": f"^{SAFE_NAME.pattern}$"})
]
Sampler = Literal["grid", "nsga2", "tpe", "gp", "random"]


class SearchConfig(Config):
    """How the points of the arms' space are chosen: all of them, or some by a sampler of Optuna's."""

    model_config = or_word("grid")

    sampler: Sampler = "grid"
    """grid (every combination of the arms' lists), nsga2 (evolution), tpe (density estimates), gp (Gaussian processes)
    or random"""
    trials: PositiveInt | None = None
    """how many points of the space a sampler tries, each with every seed; raise it to go on with a search"""
    seed: Seed = 0
    """the seed of a sampler's proposals"""
    warm_start: tuple[SafeName, ...] = ()
    """sweeps of the same storage; the sampler learns from those of their finished trials that lie in the space"""

    @property
    def is_grid(self) -> bool:
        """Whether every combination of the arms' lists is a trial."""
        return self.sampler == "grid"

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "grid":
            raise ValueError("must be grid, or a sampler and its trials, such as {sampler: nsga2, trials: 30}")
        return {} if value == "grid" else value

    @model_validator(mode="after")
    def _only_a_sampler_is_limited(self) -> Self:
        if self.is_grid and (self.trials or self.warm_start):
            raise ValueError("grid tries every combination; remove trials and warm_start, or name a sampler")
        if not self.is_grid and self.trials is None:
            raise ValueError(f"{self.sampler} needs a number of trials, such as trials: 30")
        return self

    @model_serializer(mode="wrap")
    def _as_a_word(self, dump: SerializerFunctionWrapHandler) -> Any:
        return "grid" if self.is_grid else dump(self)


class RangeConfig(Config):
    """The numbers that a search may give to a key of an arm."""

    low: float
    """the smallest number"""
    high: float
    """the largest number"""
    log: bool = False
    """whether equal ratios, instead of equal differences, are equally likely"""

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}; swap them, or give one number")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g} has no logarithm; raise it above 0, or remove log")
        return self


class ParetoAshaConfig(Config):
    """Asynchronous successive halving on non-dominated rank; see `sweeps.search.pareto_asha`."""

    grace_epochs: PositiveInt
    """the epoch of the first rung, before which no trial is stopped"""
    reduction_factor: Annotated[float, Field(gt=1)] = 3
    """about one of so many trials goes on from a rung, and the epochs of a rung are so many times those before"""
    tolerance: Fraction = 0.0
    """trials this close to a rung's front are never stopped, as a share of each objective's spread in the rung: four
    median absolute deviations, at most the range"""


class EarlyStoppingConfig(Config):
    """The rule by which trials are stopped before their last epoch."""

    pareto_asha: ParetoAshaConfig
    """stops the trials that lag behind the front of those that have trained as long"""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError("must be null, or a rule such as {pareto_asha: {grace_epochs: 5}}")
        return value
