"""What decides the inputs of each set (`kd_core.reliability.evaluator.Outputs`), by which their outputs are known."""

from collections.abc import Mapping
from typing import Any

from kd_core.config.evaluation import EvaluateConfig

OPTIONS: dict[str, tuple[str, ...]] = {
    "clean": ("images", "seed"),
    "mixed": ("images", "pairs", "lambdas", "seed"),
    "near": ("images", "draws", "radius", "seed"),
    "corrupted": ("images", "seed"),
    "outside": ("images", "seed"),
}
_VERSION = 1  # raised whenever equal options give other inputs


def sets_of(config: EvaluateConfig) -> tuple[str, ...]:
    """The sets that there are: all, but images of another source only if one is given."""
    return tuple(name for name in OPTIONS if name != "outside" or config.ood is not None)


def set_identity(name: str, config: EvaluateConfig, fingerprint: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the inputs of a set, made from data with this fingerprint.

    given tells, by the name of a set, the content of what the user gives for it: published files, or another source.
    """
    options = {option: getattr(config, option) for option in OPTIONS[name]}
    return {"set": name, "version": _VERSION, "data": fingerprint, "given": given.get(name), **options}
