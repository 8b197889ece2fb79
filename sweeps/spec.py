"""A sweep's spec: YAML read once into frozen values; every error a sentence that names file, key, value and remedy."""

import difflib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from analysis.runs import temperature_name
from kd_core.config import NetworkConfig, StudentConfig, TeacherConfig, TrialConfig
from kd_core.data_config import DataConfig, ViewConfig
from kd_core.fields import Config, PositiveFloat, PositiveInt, Seed
from kd_core.keys import canonical_json
from kd_core.models import ModelError, check_network, pretrained_classes
from kd_core.outcomes import figure_names
from kd_core.recipe import TrainConfig
from kd_core.records import SAFE_NAME

Objectives = dict[str, Literal["max", "min"]]
DEFAULT_OBJECTIVES: Objectives = {"validation/accuracy": "max", "validation/ece": "min"}


class SpecError(ValueError):
    """A spec or an option that cannot be run; its message is one sentence for the user."""


def _safe_name(value: str) -> str:
    if not SAFE_NAME.fullmatch(value):
        raise ValueError("must be letters, digits, dots, dashes and underscores, and start with a letter or digit")
    return value


SafeName = Annotated[str, AfterValidator(_safe_name)]


_CHOSEN = {"cpu", "gpu"}  # by resources: auto


class ResourcesConfig(Config):
    """What one trial, or one teacher, takes of the cluster while it runs."""

    cpu: Annotated[float, Field(gt=0)] = 1
    """CPU cores of a trial"""
    gpu: Annotated[float, Field(ge=0)] = 0
    """GPUs of a trial; a fraction lets several trials share one"""
    workers: Annotated[int, Field(ge=0)] = 0
    """processes that decode the images of a trial on a streamed set; 0: the trial decodes them itself"""
    auto: bool = False
    """whether cpu and gpu are chosen by what the first steps of the trials take, once their teachers are there"""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "auto":
            raise ValueError("must be auto, or what a trial takes, such as {cpu: 2, gpu: 0.25}")
        return {"auto": True} if value == "auto" else value

    @model_validator(mode="after")
    def _auto_leaves_nothing_to_choose(self) -> Self:
        given = sorted(self.model_fields_set & _CHOSEN) if self.auto else []
        if given:
            raise ValueError(f"auto chooses {' and '.join(given)}; remove {' and '.join(given)}, or remove auto")
        return self

    @model_serializer(mode="wrap")
    def _without_what_auto_chooses(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if not (self.auto and key in _CHOSEN)}


class SignalConfig(Config):
    """Where trials get their teacher's logits from."""

    mode: Literal["auto", "stored", "live"] = "auto"
    """stored (one teacher pass, shared by all trials), live (each trial asks the teacher) or auto (stored where two or
    more pending trials share it and it fits)"""
    max_gib: PositiveFloat = 20
    """how much the stored signals of the sweep may take, in GiB"""
    recycle: PositiveInt | None = None
    """how many epochs of the vicinal stream distilled students see over and over; by default every epoch is new"""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, value: Any) -> Any:
        return {"mode": value} if isinstance(value, str) else value


class SweepSpec(Config):
    """A whole sweep: what is shared by its trials, and the arms in which they differ."""

    name: SafeName
    """the sweep's name, under which its records and its MLflow experiment are found"""
    data: DataConfig
    """the images and their splits"""
    view: ViewConfig = ViewConfig()
    """random crop and flip"""
    teachers: dict[SafeName, TeacherConfig] = Field(default_factory=dict)
    """the teachers by name"""
    student: StudentConfig
    """the network that is distilled"""
    train: TrainConfig
    """the student's recipe of optimisation"""
    arms: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    """a list of settings, each a method with any trial keys; a list of values makes a grid"""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """one replicate of every arm a seed"""
    stream_seed: Seed = 0
    """seed of the vicinal stream that all trials share"""
    search: Literal["grid"] = "grid"
    """grid: every combination of the arms' lists"""
    early_stopping: None = None
    """null: every trial runs to its last epoch"""
    signal: SignalConfig = SignalConfig()
    """auto, stored or live: whether trials share one pass of their teacher; or {mode, max_gib, recycle}"""
    resources: ResourcesConfig = ResourcesConfig()
    """what one trial takes of the cluster: {cpu, gpu, workers}, or auto, which chooses by measuring"""
    objectives: Annotated[Objectives, Field(min_length=1)] = DEFAULT_OBJECTIVES
    """validation figures and whether each is to be max or min"""


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a sweep: its label, the arm it replicates, the name of its teacher, and its config."""

    label: str
    arm: str
    teacher: str | None
    config: TrialConfig


def shipped_specs() -> list[str]:
    """The names of the specs that come with the package."""
    names = (Path(file.name) for file in files("sweeps").joinpath("specs").iterdir())
    return sorted(name.stem for name in names if name.suffix == ".yaml")


def read_spec(source: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read a spec from a path or by a shipped name, with KEY=VALUE overrides applied; raises SpecError."""
    return parse_spec(_spec_path(source).read_text(), source, overrides)


def parse_spec(text: str, source: str, overrides: Sequence[str] = ()) -> SweepSpec:
    """A spec from its YAML text; source is what messages call it. Raises SpecError."""
    content = _parse_yaml(text, source)
    for override in overrides:
        _apply(content, override)
    try:
        spec = SweepSpec.model_validate(content)
    except ValidationError as error:
        raise SpecError(f"{source}: {sentence_of(error, SweepSpec)}") from None
    _check_references(spec, source)
    return spec


def trials_of(spec: SweepSpec, source: str = "spec") -> list[PlannedTrial]:
    """Every trial of a spec, arms × seeds, each config once; raises SpecError."""
    planned: dict[str, PlannedTrial] = {}
    for index, arm in enumerate(spec.arms):
        where = f"{source}: arms[{index}]"
        for settings, seed in itertools.product(_grid(arm, where), spec.seeds):
            trial = _planned_trial(spec, settings, seed, where)
            planned.setdefault(canonical_json(trial.config.model_dump(mode="json")), trial)
    return list(planned.values())


def check_teacher_heads(spec: SweepSpec, num_classes: int) -> None:
    """Refuse a teacher that is used as timm has it where timm's classifier is for other classes; raises SpecError."""
    for name, teacher in spec.teachers.items():
        known = pretrained_classes(teacher)
        as_it_is = teacher.pretrained and not teacher.finetune and not teacher.checkpoint
        if as_it_is and known != num_classes:
            problem = f"timm's {teacher.model} tells {known} classes apart and the data has {num_classes}"
            raise SpecError(f"teachers.{name}.finetune: missing, and {problem}; add a recipe such as {{epochs: 10}}")


def to_yaml(spec: SweepSpec) -> str:
    """The resolved spec as YAML, defaults spelled out."""
    return yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def sentence_of(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """The first problem of a validation error as `key: value: problem; remedy`."""
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    location, value = first["loc"], first["input"]
    path = (prefix + _dotted(location)).strip(".")
    if first["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(str(location[-1]), _walk(model, location[:-1])[0].model_fields, n=1)
        return f"{path}: unknown key; " + (f"did you mean {nearest[0]}?" if nearest else "remove it")
    field = _walk(model, location)[1]
    told = first["type"] == "value_error"  # our own words, which say what to do
    remedy = f"; {location[-1]} is {field.description}" if field is not None and not told else ""
    if first["type"] == "missing":
        return f"{path}: missing{remedy}"
    problem = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    shown = f" {value}:" if isinstance(value, str | int | float | None) and location else ""
    return f"{path}:{shown} {problem}{remedy}"


class _UniqueKeyLoader(yaml.SafeLoader):
    """A loader that refuses a key given twice, which YAML would silently let win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _spec_path(source: str) -> Path:
    path = Path(source).expanduser()
    if path.is_file():
        return path
    shipped = Path(str(files("sweeps").joinpath("specs", f"{source}.yaml")))
    if SAFE_NAME.fullmatch(source) and shipped.is_file():
        return shipped
    raise SpecError(f"{source}: no such file, nor a shipped spec; the shipped ones are {', '.join(shipped_specs())}")


def _parse_yaml(text: str, source: str) -> dict[str, Any]:
    try:
        content = yaml.load(text, _UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise SpecError(f"{source}: is no valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{source}: must hold keys and values, such as name: my-sweep; see `kdsweep plan quickstart`")
    return content


def _apply(content: dict[str, Any], override: str) -> None:
    """Set one dotted key, list indices allowed, to a value parsed as YAML."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise SpecError(f"--set {override}: must be KEY=VALUE, such as train.epochs=5")
    *parents, last = key.split(".")
    place: Any = content
    try:
        for parent in parents:
            place = place[int(parent)] if isinstance(place, list) else place.setdefault(parent, {})
        place[int(last) if isinstance(place, list) else last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SpecError(f"--set {override}: the value is no valid YAML; quote it") from None
    except (IndexError, ValueError, TypeError, AttributeError):
        raise SpecError(f"--set {override}: the spec has no such place as {key}; indices count from 0") from None


def _check_references(spec: SweepSpec, source: str) -> None:
    """Everything that is wrong with a spec comes out before anything runs."""
    if spec.data.path is not None and not Path(spec.data.path).is_dir():
        raise SpecError(f"{source}: data.path: {spec.data.path}: no such folder; give the folder that holds the data")
    for name, teacher in spec.teachers.items():
        _check_network(teacher, f"{source}: teachers.{name}")
        if not (teacher.finetune or teacher.checkpoint or teacher.pretrained):
            raise SpecError(f"{source}: teachers.{name}.finetune: missing, and so are weights: it would know nothing")
    students = {canonical_json(t.config.student.model_dump(mode="json")): t for t in trials_of(spec, source)}
    for trial in students.values():
        where = "student" if trial.config.student == spec.student else f"arm {trial.arm}: student"
        _check_network(trial.config.student, f"{source}: {where}")
    known = figure_names("validation")
    for objective in spec.objectives:
        if objective not in known:
            nearest = difflib.get_close_matches(objective, known, n=1, cutoff=0)[0]
            raise SpecError(f"{source}: objectives.{objective}: is no validation figure; did you mean {nearest}?")


def _check_network(network: NetworkConfig, where: str) -> None:
    try:
        check_network(network)
    except ModelError as error:
        raise SpecError(f"{where}.{error.key}: {getattr(network, error.key)}: {error}") from None


def _grid(arm: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    empty = [key for key, value in arm.items() if value == []]
    if empty:
        raise SpecError(f"{where}.{empty[0]}: []: an empty list leaves no trial; give values, or remove the key")
    choices = [value if isinstance(value, list) else [value] for value in arm.values()]
    for values in itertools.product(*choices):
        yield dict(zip(arm, values, strict=True))


def _planned_trial(spec: SweepSpec, settings: dict[str, Any], seed: int, where: str) -> PlannedTrial:
    teacher = settings.get("teacher")
    if teacher is not None and str(teacher) not in spec.teachers:
        nearest = difflib.get_close_matches(str(teacher), spec.teachers, n=1)
        raise SpecError(
            f"{where}.teacher: {teacher}: no such teacher; "
            + (f"did you mean {nearest[0]}?" if nearest else f"the spec has {', '.join(spec.teachers) or 'none'}")
        )
    for key in settings:
        if key.split(".")[0] in {"data", "seed", "stream_seed", "teachers"}:
            raise SpecError(f"{where}.{key}: is shared by all arms of a sweep; set it at the top of the spec")
    content = spec.model_dump(mode="json", include={"data", "view", "student", "train", "stream_seed"})
    content["seed"] = seed
    for key, value in settings.items():
        _apply_setting(content, key, value, where)
    if teacher is not None:
        content["teacher"] = spec.teachers[teacher].model_dump(mode="json")
        content.setdefault("recycle", spec.signal.recycle)
    try:
        config = TrialConfig.model_validate(content)
    except ValidationError as error:
        raise SpecError(sentence_of(error, TrialConfig, where)) from None
    arm = _label(settings, config)
    return PlannedTrial(f"{arm} seed {seed}", arm, teacher, config)


def _apply_setting(content: dict[str, Any], key: str, value: Any, where: str) -> None:
    *parents, last = key.split(".")
    place = content
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise SpecError(f"{where}.{key}: {parent} has no keys of its own; remove {last}")
    place[last] = value


def _label(settings: dict[str, Any], config: TrialConfig) -> str:
    parts = [config.method, settings.get("teacher")]
    if config.temperature is not None:
        parts.append(f"T={temperature_name(config.temperature)}")
    for key, value in settings.items():
        if key not in {"method", "teacher", "temperature"}:
            parts.append(f"{key}={canonical_json(value) if isinstance(value, dict) else value}")
    return " ".join(part for part in parts if part)


def _dotted(location: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models an annotation mentions, such as TeacherConfig in dict[str, TeacherConfig]."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _walk(model: type[BaseModel], location: Sequence[str | int]) -> tuple[type[BaseModel], FieldInfo | None]:
    """Follow an error's location: the model in which it ends, and the field it ends in, if it ends in one."""
    field: FieldInfo | None = None
    for part in location:
        field = model.model_fields.get(str(part))
        inside = _models_in(field.annotation) if field is not None else []
        model = inside[0] if inside else model
    return model, field
