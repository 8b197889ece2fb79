"""The configuration of a whole sweep, as frozen values: the keys of a spec and their defaults."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from analysis.objectives import OBJECTIVES, Objectives
from kd_core.config.data import DataConfig, ViewConfig
from kd_core.config.evaluation import EvaluateConfig
from kd_core.config.networks import (
    AnyTeacherConfig,
    FusedTeacherConfig,
    FusionConfig,
    StudentConfig,
    TeacherConfig,
    of_its_kind,
)
from kd_core.config.recipe import TrainConfig
from kd_core.fields import Config, PositiveFloat, PositiveInt, Seed, or_word
from sweeps.config.search import EarlyStoppingConfig, SafeName, SearchConfig

Threads = dict[Literal["trial", "teacher"], int]
_CHOSEN = {"cpu", "gpu"}  # by resources: auto
_MOST_CORES = 4096  # a larger number is a mistake
_FEW_SEEDS = 10  # so many are written out


def _a_list(value: Any) -> Any:
    """The value; raises ValueError unless it is a list of some, with the one that was surely meant."""
    if isinstance(value, list | tuple) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _FEW_SEEDS:
        raise ValueError(f"must be a list of seeds; write {list(range(value))}")
    raise ValueError("must be a list of seeds; write one such as [0, 1, 2]")


class ResourcesConfig(Config):
    """The cluster resources of one trial, or one teacher, while it runs."""

    model_config = or_word("auto")

    cpu: Annotated[float, Field(gt=0, le=_MOST_CORES)] = 1
    """CPU cores of a trial, and its threads"""
    teacher_cpu: Annotated[float, Field(gt=0, le=_MOST_CORES)] | None = None
    """CPU cores of a teacher while it is fine-tuned, and its threads; by default those of a trial"""
    gpu: Annotated[float, Field(ge=0)] = 0
    """GPUs of a trial; a fraction lets several trials share one"""
    workers: Annotated[int, Field(ge=0, le=_MOST_CORES)] = 0
    """processes that decode the images of a trial on a streamed dataset; 0: the trial decodes them itself"""
    auto: bool = False
    """whether cpu and gpu are chosen by measuring the first steps of the trials"""

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

    @property
    def threads(self) -> Threads:
        """The threads of a trial, also for its teacher's labels, and of a teacher's fine-tuning.

        They can change the last bits of weights, so they follow from the spec alone, not from the machine.
        """
        return {"trial": max(1, int(self.cpu)), "teacher": max(1, int(self.teacher_cpu or self.cpu))}

    @model_serializer(mode="wrap")
    def _without_what_auto_chooses(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in dump(self).items() if not (self.auto and key in _CHOSEN)}


class SignalConfig(Config):
    """The source of the trials' teacher logits."""

    model_config = or_word("auto", "stored", "live")

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


class FusedTeachersConfig(FusionConfig):
    """Some of the spec's teachers that teach as one."""

    fuse: Annotated[tuple[SafeName, ...], Field(min_length=1)]
    """the names of the teachers, in the order in which their probabilities are added"""


NamedTeacher = Annotated[
    TeacherConfig | FusedTeachersConfig,
    of_its_kind(TeacherConfig, FusedTeachersConfig),
]


class SweepSpec(Config):
    """A whole sweep: the settings that its trials share, and the arms in which they differ."""

    name: SafeName
    """the sweep's name, under which its records and its MLflow experiment are found"""
    data: DataConfig
    """the images and their splits"""
    view: ViewConfig = ViewConfig()
    """random crop and flip"""
    teachers: dict[SafeName, NamedTeacher] = Field(default_factory=dict)
    """the teachers by name; {fuse: [NAME, NAME], rule: mean} makes one of several"""
    student: StudentConfig
    """the network that is trained"""
    train: TrainConfig
    """the student's optimisation recipe"""
    arms: Annotated[tuple[dict[str, Any], ...], Field(min_length=1)]
    """a list of settings, each a method with any trial keys; a list of values makes a grid"""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), BeforeValidator(_a_list)] = (0,)
    """one replicate of every arm per seed"""
    stream_seed: Seed = 0
    """seed of the vicinal stream that all trials share"""
    search: SearchConfig = SearchConfig()
    """grid (every combination of the arms' lists), or {sampler, trials, seed, warm_start} over lists and ranges"""
    early_stopping: EarlyStoppingConfig | None = None
    """null (every trial runs to its last epoch), or {pareto_asha: {grace_epochs, reduction_factor, tolerance}}"""
    signal: SignalConfig = SignalConfig()
    """auto, stored or live: whether trials share one pass of their teacher; or {mode, max_gib, recycle}"""
    resources: ResourcesConfig = ResourcesConfig()
    """cluster resources of one trial: {cpu, teacher_cpu, gpu, workers}, or auto, which chooses by measuring"""
    retries: Annotated[int, Field(ge=0, le=100)] = 1
    """how often a trial, a teacher or a part of a signal that fails, or whose worker dies, is tried again"""
    evaluate: EvaluateConfig | None = None
    """null, or the options with which what may be on the front is evaluated once the sweep has run; {} takes all as
    they are"""
    objectives: Objectives = OBJECTIVES
    """one to three figures, each to be max or min: validation/accuracy, ece, ece_debiased, nll, brier, abs_gap and aurc
    (each but accuracy and abs_gap also with _scaled, after temperature scaling), num_parameters, latency_ms_1 and
    latency_ms_64"""

    @property
    def single_teachers(self) -> dict[str, TeacherConfig]:
        """The teachers that are one network each."""
        return {name: each for name, each in self.teachers.items() if isinstance(each, TeacherConfig)}

    @property
    def fused_teachers(self) -> dict[str, FusedTeachersConfig]:
        """The teachers that are several of those."""
        return {name: each for name, each in self.teachers.items() if isinstance(each, FusedTeachersConfig)}

    def members_of(self, teacher: str | None) -> tuple[str, ...]:
        """The names of the networks that a teacher is: itself, those that it fuses, or none without a teacher."""
        fused = self.fused_teachers.get(teacher or "")
        return fused.fuse if fused else () if teacher is None else (teacher,)

    def teacher_config(self, teacher: str) -> AnyTeacherConfig:
        """A teacher as a trial knows it, with the configs of its members."""
        fused = self.fused_teachers.get(teacher)
        if fused is None:
            return self.single_teachers[teacher]
        return FusedTeacherConfig(fuse=tuple(map(self.single_teachers.__getitem__, fused.fuse)), rule=fused.rule)


def objective_in(figures: Mapping[str, Any], name: str) -> float | None:
    """An objective from the figures of an epoch or a verdict, None if they lack it; abs_gap is the size of the gap."""
    if name == "validation/abs_gap":
        gap = figures.get("validation/gap")
        return None if gap is None else abs(gap)
    return figures.get(name)
