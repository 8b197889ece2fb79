"""What a sweep varies: the params of its trials, few and short, by which people compare them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from analysis.runs import temperature_name
from analysis.settings import flat_of
from kd_core.config.identity import canonical_json
from kd_core.config.trial import TrialConfig

_NAMED = ("method", "temperature", "alpha", "student.model", "seed")  # every trial shows these, and its teacher's name
_NO_SETTINGS = "teacher."  # a teacher's settings follow from its name


def varied_keys(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted keys, beside those that every trial shows, in which the configs of a sweep differ.

    A key that has the value that follows from the others in every config, such as beta = 1 − alpha, is left out.
    """
    configs = list(configs)
    flat = [flat_of(config) for config in configs]
    keys = list(dict.fromkeys(key for each in flat for key in each if key not in _NAMED))
    values = {key: {canonical_json(each.get(key)) for each in flat} for key in keys if not key.startswith(_NO_SETTINGS)}
    differing = [key for key, different in values.items() if len(different) > 1]
    return [key for key in differing if any(not _follows(key, config) for config in configs)]


def params_of(config: Mapping[str, Any], teacher: str | None, keys: Iterable[str]) -> dict[str, str]:
    """The params of a trial: method, teacher, temperature, alpha, student, seed, and the other keys that vary."""
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
    return {name: text_of(value) for name, value in params.items() if value is not None}


def differing(params: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of those params in which trials differ; all names, while there is nothing to tell apart."""
    names = list(dict.fromkeys(name for each in params for name in each))
    return [name for name in names if len({each.get(name) for each in params}) > 1] or names


def text_of(value: Any) -> str:
    """A setting as YAML would have it: `true`, `0`, `0.002`, `sigma`."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else canonical_json(value)


def _follows(key: str, config: Mapping[str, Any]) -> bool:
    """Whether a config has the same value of a key if nothing is said of it, or of its section."""
    whole = dict(config)
    section, _, inner = key.partition(".")
    without = [{name: value for name, value in whole.items() if name != section}]
    if key == "beta":  # which is 1 − alpha, or of a pair of weights that the method has by default
        without += [{name: value for name, value in whole.items() if name not in ("alpha", "beta")}]
    if inner and "." not in inner:
        without += [
            whole | {section: {name: value for name, value in (whole.get(section) or {}).items() if name != inner}}
        ]
    return any(_completed(each).get(key) == flat_of(whole).get(key) for each in without if section in whole)


def _completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The flat config with every default; empty if something is missing."""
    try:
        return flat_of(TrialConfig.model_validate(config).model_dump(mode="json"))
    except ValidationError:
        return {}
