"""In which settings the trials of a sweep differ, so that like is compared with like."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kd_core.spec.keys import canonical_json

_LEFT_OUT = {"method", "teacher", "temperature", "alpha", "student.model", "seed"}


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each trial's configuration the dotted keys in which some differ, with its values; what is not set is left out.

    What the table of runs has columns for (method, teacher, temperature, alpha, the student's model, seed) does not
    count, nor do empty configurations, of trials that have not begun.
    """
    flat = [dict(_flat(config)) for config in configs]
    begun = [settings for config, settings in zip(configs, flat, strict=True) if config]
    keys = {key for settings in begun for key in settings}
    differing = {key for key in keys if len({canonical_json(settings.get(key)) for settings in begun}) > 1}
    return [{key: value for key, value in settings.items() if key in differing} for settings in flat]


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        key = prefix + name
        if key in _LEFT_OUT or value is None or _is_idle(key, config):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value


def _is_idle(key: str, config: Mapping[str, Any]) -> bool:
    """Whether a key says nothing: beta that follows from alpha, or recycle, if it is no fewer than the epochs."""
    if key == "beta":
        return config["beta"] == 1 - config["alpha"]
    return key == "recycle" and config["recycle"] >= config["train"]["epochs"]
