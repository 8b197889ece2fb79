"""The configuration of a whole sweep, as frozen values: the keys of a spec and their defaults."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from kd_core.spec.config import StudentConfig, TeacherConfig
from kd_core.spec.data_config import DataConfig, ViewConfig
from kd_core.spec.fields import Config, PositiveFloat, PositiveInt, Seed
from kd_core.spec.recipe import TrainConfig
from kd_core.store.records import SAFE_NAME

Objectives = dict[str, Literal["max", "min"]]
DEFAULT_OBJECTIVES: Objectives = {"validation/accuracy": "max", "validation/ece": "min"}


def _safe_name(value: str) -> str:
    if not SAFE_NAME.fullmatch(value):
        raise ValueError("must be letters, digits, dots, dashes and underscores, and start with a letter or digit")
    return value


SafeName = Annotated[str, AfterValidator(_safe_name)]
_CHOSEN = {"cpu", "gpu"}  # by resources: auto


class ResourcesConfig(Config):
    """The cluster resources of one trial, or one teacher, while it runs."""

    cpu: Annotated[float, Field(gt=0)] = 1
    """CPU cores of a trial"""
    gpu: Annotated[float, Field(ge=0)] = 0
    """GPUs of a trial; a fraction lets several trials share one"""
    workers: Annotated[int, Field(ge=0)] = 0
    """processes that decode the images of a trial on a streamed dataset; 0: the trial decodes them itself"""
    auto: bool = False
    """whether cpu and gpu are chosen by measuring the first steps of the trials, once their teachers are finished"""

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
    """The source of the trials' teacher logits."""

    mode: Literal["auto", "stored", "live"] = "auto"
    """stored (one teacher pass, shared by all trials), live (each trial runs the teacher itself) or auto (stored where
    two or more pending trials share it and it fits)"""
    max_gib: PositiveFloat = 20
    """the most that the stored signals of the sweep may take, in GiB"""
    recycle: PositiveInt | None = None
    """number of epochs of the vicinal stream that distilled students repeat; by default every epoch is new"""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, value: Any) -> Any:
        return {"mode": value} if isinstance(value, str) else value


class SweepSpec(Config):
    """A whole sweep: the settings that its trials share, and the arms in which they differ."""

    name: SafeName
    """the sweep's name, under which its records and its MLflow experiment are found"""
    data: DataConfig
    """the images and their splits"""
    view: ViewConfig = ViewConfig()
    """random crop and flip"""
    teachers: dict[SafeName, TeacherConfig] = Field(default_factory=dict)
    """the teachers by name"""
    student: StudentConfig
    """the network that is trained"""
    train: TrainConfig
    """the student's optimisation recipe"""
    arms: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    """a list of settings, each a method with any trial keys; a list of values makes a grid"""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    """one replicate of every arm per seed"""
    stream_seed: Seed = 0
    """seed of the vicinal stream that all trials share"""
    search: Literal["grid"] = "grid"
    """grid: every combination of the arms' lists"""
    early_stopping: None = None
    """null: every trial runs to its last epoch"""
    signal: SignalConfig = SignalConfig()
    """auto, stored or live: whether trials share one pass of their teacher; or {mode, max_gib, recycle}"""
    resources: ResourcesConfig = ResourcesConfig()
    """cluster resources of one trial: {cpu, gpu, workers}, or auto, which chooses by measuring"""
    objectives: Annotated[Objectives, Field(min_length=1)] = DEFAULT_OBJECTIVES
    """validation figures, each to be max or min"""
