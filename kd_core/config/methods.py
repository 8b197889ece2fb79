"""The methods of a trial: what each takes, the defaults of its temperature and weights, and its own options."""

import sys
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from kd_core.fields import Config, Fraction, number_of

Method = Literal["classic", "mixup", "kd", "kd_mixup", "zscore", "dkd", "dist", "wttm", "cud"]
TEACHERLESS: frozenset[str] = frozenset({"classic", "mixup"})
ALWAYS_MIXED: frozenset[str] = frozenset({"mixup", "kd_mixup"})
NEVER_MIXED: frozenset[str] = frozenset({"classic", "kd"})
RESCALABLE: frozenset[str] = frozenset({"kd", "kd_mixup"})  # where temperature may be sigma


class Defaults(NamedTuple):
    """The temperature of a method and the weights of both terms where a spec gives none."""

    temperature: float = 2.0
    alpha: float = 0.0
    beta: float = 1.0


# Where authors published settings for CIFAR-100, an arm that names only the method has them:
# zscore: Sun 2024, repository logit-standardization-KD (--base-temp 2 --kd-weight 9, CE_WEIGHT 0.1)
# dkd: Zhao 2022, supplement; repository mdistiller, engine/cfg.py (CE_WEIGHT 1, T 4), without its warm-up of 20 epochs
# dist: Huang 2022 (weights 1, 2 and 2, τ = 4, as others report them): beta is the weight of both relations
# wttm: Zheng 2024, repository TTM, README (exponent 0.2, weights 1 and 4, of WTTM beside CRD); it varies with the pair
DEFAULTS = {
    "zscore": Defaults(2.0, 0.1, 9.0),
    "dkd": Defaults(4.0, 1.0, 1.0),
    "dist": Defaults(4.0, 1.0, 2.0),
    "wttm": Defaults(5.0, 1.0, 4.0),
}


def _temperature(value: Any) -> Any:
    value = number_of(value)
    if value is None or value == "sigma":
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise ValueError("must be a number above 0, or sigma")
    return float(value)


Temperature = Annotated[float | Literal["sigma"], BeforeValidator(_temperature)]


class DkdConfig(Config):
    """The weights of decoupled knowledge distillation (Zhao 2022)."""

    target: Annotated[float, Field(ge=0)] = 1.0
    """weight of the target classes against the rest (α of the paper)"""
    nontarget: Annotated[float, Field(ge=0)] = 8.0
    """weight of the other classes among themselves (β of the paper)"""


class DistConfig(Config):
    """The weights of DIST (Huang 2022)."""

    inter: Annotated[float, Field(ge=0)] = 1.0
    """weight of the relation between classes, within each sample"""
    intra: Annotated[float, Field(ge=0)] = 1.0
    """weight of the relation between samples, within each class"""


class CudConfig(Config):
    """How much probability W-Clip moves from a wrong top class to the label (CUD-style)."""

    share: Fraction = 0.5
    """at most this share of the top class's probability, η"""
    margin: Fraction = 1.0
    """at most this share of its lead over the label, m; 1 moves at most the whole lead"""
