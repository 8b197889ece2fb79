"""In which settings the trials of a sweep differ, so that like is compared with like."""

from collections.abc import Mapping, Sequence
from typing import Any

from kd_core.config.identity import canonical_json, flattened

_LEFT_OUT = {"method", "teacher", "temperature", "alpha", "student.model", "seed"}


def differing_settings(configs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each trial's configuration the dotted keys in which some differ, with its values; what is not set is left out.

    What the table of runs has columns for (method, teacher, temperature, alpha, the student's model, seed) does not
    count, nor do empty configurations, of trials that have not begun.
    """
    flat = [{key: value for key, value in flat_of(config).items() if not _is_idle(key, config)} for config in configs]
    begun = [settings for config, settings in zip(configs, flat, strict=True) if config]
    keys = {key for settings in begun for key in settings}
    differing = {key for key in keys if len({canonical_json(settings.get(key)) for settings in begun}) > 1}
    return [{key: value for key, value in settings.items() if key in differing} for settings in flat]


def flat_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """A nested config, as JSON, under dotted keys, without what is not set."""
    return {key: value for key, value in flattened(dict(config)).items() if value is not None}


def _is_idle(key: str, config: Mapping[str, Any]) -> bool:
    """Whether a key has a column, or says nothing: beta that follows from alpha, or recycle of all epochs or more."""
    if key == "beta":
        return config["beta"] == 1 - config["alpha"]
    if key == "recycle":
        return config["recycle"] >= config["train"]["epochs"]
    return key in _LEFT_OUT or key.startswith("teacher.")
