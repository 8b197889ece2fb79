"""Expands the arms of a sweep to its trials: the combinations of their values, for every seed."""

import difflib
import itertools
import math
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from analysis.runs import temperature_name
from kd_core.config.errors import SpecError
from kd_core.config.identity import canonical_json
from kd_core.config.networks import StudentConfig
from kd_core.config.trial import TrialConfig
from kd_core.fields import shown
from sweeps.config.errors import sentence_of
from sweeps.config.search import RangeConfig
from sweeps.config.sweep import SweepSpec

MOST_TRIALS = 100_000  # of one arm; more are a mistake
SHARED = ("data", "seed", "stream_seed", "teachers")  # keys that no arm may set


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a sweep: its label, the arm it replicates, the name of its teacher, its config, the settings of its
    arm, and the names of the networks that its teacher is (`SweepSpec.members_of`)."""

    label: str
    arm: str
    teacher: str | None
    config: TrialConfig
    settings: dict[str, Any] = field(default_factory=dict, compare=False)
    members: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """A text that trials of equal configs share."""
        return canonical_json(self.config.model_dump(mode="json"))


def trials_of(spec: SweepSpec, source: str = "spec") -> list[PlannedTrial]:
    """Every trial of a grid, arms × seeds, each config once; raises SpecError.

    Of a search, those whose numbers are the ends of their ranges: if they are valid, so are those between.
    """
    planned: dict[str, PlannedTrial] = {}
    for index, arm in enumerate(spec.arms):
        where = f"{source}: arms[{index}]"
        choices = {key: _choices(each) for key, each in dimensions_of(arm, where, grid=spec.search.is_grid).items()}
        num_trials = len(spec.seeds) * math.prod(map(len, choices.values()))
        if num_trials > MOST_TRIALS:
            raise SpecError(f"{where}: makes {num_trials} trials with its lists and the seeds; at most {MOST_TRIALS}")
        for values, seed in itertools.product(itertools.product(*choices.values()), spec.seeds):
            trial = planned_trial(spec, dict(zip(choices, values, strict=True)), seed, where)
            planned.setdefault(trial.identity, trial)
    return list(planned.values())


def students_of(spec: SweepSpec, source: str = "spec") -> dict[str, StudentConfig]:
    """The different students of a spec by their place: `student`, or `arm LABEL: student`; raises SpecError."""
    trials = {canonical_json(t.config.student.model_dump(mode="json")): t for t in trials_of(spec, source)}
    return {
        "student" if t.config.student == spec.student else f"arm {t.arm}: student": t.config.student
        for t in trials.values()
    }


def dimensions_of(arm: dict[str, Any], where: str, *, grid: bool) -> dict[str, RangeConfig | list[Any]]:
    """The values of each key of an arm: a range, or a list of at least one; raises SpecError, for a range in a grid."""
    found = {key: _dimension(value, f"{where}.{shown(key)}") for key, value in arm.items()}
    ranges = [key for key, values in found.items() if isinstance(values, RangeConfig)]
    if grid and ranges:
        remedy = "give a list, or a sampler, such as search: {sampler: nsga2, trials: 30}"
        raise SpecError(f"{where}.{shown(ranges[0])}: a grid cannot try every number of a range; {remedy}")
    return found


def _dimension(value: Any, where: str) -> RangeConfig | list[Any]:
    if isinstance(value, dict) and value.keys() & {"low", "high"}:
        try:
            return RangeConfig.model_validate(value)
        except ValidationError as error:
            raise SpecError(sentence_of(error, RangeConfig, where)) from None
    if isinstance(value, dict) and value.keys() == {"choices"}:
        value = value["choices"]
        if not isinstance(value, list):
            raise SpecError(f"{where}.choices: {shown(value)}: must be a list of values")
    values = value if isinstance(value, list) else [value]
    if not values:
        raise SpecError(f"{where}: []: an empty list leaves no trial; give values, or remove the key")
    return values


def _choices(dimension: RangeConfig | list[Any]) -> list[Any]:
    if isinstance(dimension, list):
        return dimension
    return [number(dimension.low), number(dimension.high)]


def number(value: float) -> float:
    """The value, as an int if it is whole, as people write it."""
    return int(value) if float(value).is_integer() else value


def planned_trial(spec: SweepSpec, settings: dict[str, Any], seed: int, where: str) -> PlannedTrial:
    """The trial of an arm's settings, one value a key, with a seed; raises SpecError, which begins with where."""
    teacher = _teacher_name(spec, settings.get("teacher"), where)
    for key in settings:
        if key.split(".")[0] in SHARED:
            raise SpecError(f"{where}.{shown(key)}: is shared by all arms of a sweep; set it at the top of the spec")
    content = spec.model_dump(mode="json", include={"data", "view", "student", "train", "stream_seed"})
    content["seed"] = seed
    for key in sorted(settings, key=lambda key: key.count(".")):  # a whole first, then parts of it
        _apply_setting(content, key, settings[key], where)
    if teacher is not None:
        content["teacher"] = spec.teacher_config(teacher).model_dump(mode="json")
        content.setdefault("recycle", spec.signal.recycle)
    try:
        config = TrialConfig.model_validate(content)
    except ValidationError as error:
        raise SpecError(sentence_of(error, TrialConfig, where)) from None
    if config.train.num_epochs == 0:
        key = f"{where}.train.epochs" if "train.epochs" in settings else f"{where.rsplit(': ', 1)[0]}: train.epochs"
        raise SpecError(f"{key}: 0: a student would learn nothing; raise it, or give train.head_epochs")
    arm = _label(settings, teacher, config)
    return PlannedTrial(f"{arm} seed {seed}", arm, teacher, config, settings, spec.members_of(teacher))


def _teacher_name(spec: SweepSpec, given: Any, where: str) -> str | None:
    """The name of the teacher that an arm gives; YAML reads a name such as 1 as a number."""
    name = shown(given)
    if given is None or (name in spec.teachers and not isinstance(given, bool)):
        return None if given is None else name
    nearest = difflib.get_close_matches(name, spec.teachers, n=1)
    remedy = f"did you mean {nearest[0]}?" if nearest else f"the spec has {shown(', '.join(spec.teachers)) or 'none'}"
    raise SpecError(f"{where}.teacher: {name}: no such teacher; {remedy}")


def _apply_setting(content: dict[str, Any], key: str, value: Any, where: str) -> None:
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise SpecError(f"{where}.{shown(key)}: {shown(parent)} has no keys of its own; remove {shown(last)}")
    place[last] = value


def _label(settings: dict[str, Any], teacher: str | None, config: TrialConfig) -> str:
    parts = [config.method, teacher]
    if config.temperature is not None:
        parts.append(f"T={temperature_name(config.temperature)}")
    for key, value in settings.items():
        if key not in {"method", "teacher", "temperature"}:
            parts.append(f"{key}={canonical_json(value) if isinstance(value, dict) else value}")
    return " ".join(part for part in parts if part)
