"""In which settings the trials of a sweep differ: the params in MLflow, few and short, by which people compare them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from analysis.runs import temperature_name
from analysis.settings import flat_of
from kd_core.config.identity import canonical_json
from kd_core.config.trial import TrialConfig

_ALWAYS = ("method", "temperature", "alpha", "student.model", "seed")  # params of every trial, and its teacher's name


def differing_keys(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted keys, beside those that every trial has as params, in which the configs of a sweep differ.

    A key that has the value that follows from the others in every config, such as beta = 1 − alpha, is left out, and so
    are those of a teacher, which follow from its name.
    """
    configs = list(configs)
    settings = [flat_of(config) for config in configs]
    keys = [key for key in dict.fromkeys(key for flat in settings for key in flat) if key not in _ALWAYS]
    return [
        key
        for key in keys
        if not key.startswith("teacher.")
        and len({canonical_json(flat.get(key)) for flat in settings}) > 1
        and not all(_follows(key, config) for config in configs)
    ]


def params_of(config: Mapping[str, Any], teacher: str | None, keys: Iterable[str]) -> dict[str, str]:
    """The params of a trial: method, teacher, temperature, alpha, student, seed, and the other keys that differ."""
    flat = flat_of(config)
    params = {
        "method": flat.get("method"),
        "teacher": teacher,
        "temperature": temperature_name(flat.get("temperature")) or None,
        "alpha": flat.get("alpha"),
        "student": flat.get("student.model"),
        "seed": flat.get("seed"),
    }
    params |= {key: flat.get(key) for key in keys}
    return {name: setting_text(value) for name, value in params.items() if value is not None}


def differing_names(params: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of those params in which trials differ; all names if they differ in none."""
    names = list(dict.fromkeys(name for trial in params for name in trial))
    return [name for name in names if len({trial.get(name) for trial in params}) > 1] or names


def setting_text(value: Any) -> str:
    """A setting as YAML would have it: `true`, `0`, `0.002`, `sigma`."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else canonical_json(value)


def _follows(key: str, config: Mapping[str, Any]) -> bool:
    """Whether a config has the same value of a key without the key, or without its section."""
    section, _, inner = key.partition(".")
    if section not in config:
        return False
    shorter = [_without(config, section)]
    if key == "beta":  # which is 1 − alpha, or of a pair of weights that the method has by default
        shorter.append(_without(config, "alpha", "beta"))
    if inner and "." not in inner:
        shorter.append(dict(config) | {section: _without(config[section] or {}, inner)})
    return any(_completed(rest).get(key) == flat_of(config).get(key) for rest in shorter)


def _without(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name not in names}


def _completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The flat config with every default; empty if something is missing."""
    try:
        return flat_of(TrialConfig.model_validate(config).model_dump(mode="json"))
    except ValidationError:
        return {}
