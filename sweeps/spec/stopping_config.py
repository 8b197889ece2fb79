"""Which trials a sweep stops before their last epoch, as frozen values; and the names that are safe as paths."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from kd_core.spec.fields import Config, Fraction, PositiveInt
from kd_core.store.records import SAFE_NAME


def _safe_name(value: str) -> str:
    if not SAFE_NAME.fullmatch(value):
        raise ValueError("must be letters, digits, dots, dashes and underscores, and start with a letter or digit")
    return value


SafeName = Annotated[str, AfterValidator(_safe_name)]


class ParetoAshaConfig(Config):
    """Asynchronous successive halving on non-dominated rank; see `sweeps.search.pareto_asha`."""

    grace_epochs: PositiveInt
    """the epoch of the first rung, before which no trial is stopped"""
    reduction_factor: Annotated[float, Field(gt=1)] = 3
    """about one of so many trials goes on from a rung, and the epochs of a rung are so many times those before"""
    tolerance: Fraction = 0.0
    """trials this close to a rung's front are never stopped, as a share of the range of each objective in the rung"""


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
