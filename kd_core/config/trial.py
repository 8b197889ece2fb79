"""The configuration of one trial, as frozen values: data, view, mixup, method, networks and recipe."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from kd_core.config.data import NO_MIXUP, DataConfig, MixupConfig, ViewConfig
from kd_core.config.methods import (
    ALWAYS_MIXED,
    DEFAULTS,
    NEVER_MIXED,
    RESCALABLE,
    TEACHERLESS,
    CudConfig,
    Defaults,
    DistConfig,
    DkdConfig,
    Method,
    Temperature,
)
from kd_core.config.networks import NetworkConfig, StudentConfig, TeacherConfig
from kd_core.config.recipe import FinetuneConfig, TrainConfig
from kd_core.fields import Config, Fraction, Neutral, PositiveInt, Seed, number_of


class TrialConfig(Config):
    """Everything that determines the result of one trial."""

    data: DataConfig
    """the images and their splits"""
    view: ViewConfig = ViewConfig()
    """random crop and flip"""
    mixup: MixupConfig
    """the distribution of λ; by default off for classic and kd and uniform for the others"""
    method: Method
    """classic, mixup, kd, kd_mixup, zscore, dkd, dist, wttm or cud"""
    teacher: TeacherConfig | None = None
    """the teacher of a distillation method"""
    temperature: Temperature | None = None
    """T of the distillation loss: a number above 0, or sigma (kd, kd_mixup: each side divided by its own deviation);
    by default 2, and that of the authors for dkd (4), dist (4) and wttm (5)"""
    dkd: Annotated[DkdConfig | None, Neutral(None)] = None
    """the weights of method: dkd"""
    dist: Annotated[DistConfig | None, Neutral(None)] = None
    """the weights of method: dist"""
    cud: Annotated[CudConfig | None, Neutral(None)] = None
    """how far method: cud corrects the teacher"""
    alpha: Fraction
    """weight of the hard-label cross-entropy, from 0 to 1; by default 0, and that of the authors for zscore (0.1, Sun
    2024), dkd (1, Zhao 2022), dist (1, Huang 2022) and wttm (1, Zheng 2024)"""
    beta: Annotated[float, Field(ge=0)]
    """weight of the distillation loss; by default 1 − alpha, and where alpha is not given either, that of the authors
    for zscore (9), dkd (1), dist (2) and wttm (4)"""
    student: StudentConfig
    """the network that is trained"""
    train: TrainConfig
    """the optimisation recipe"""
    stream_seed: Seed = 0
    """seed of the vicinal stream, the same for all replicates, so that they share one teacher pass"""
    recycle: Annotated[PositiveInt | None, Neutral(None)] = None
    """number of epochs of the vicinal stream, which are then repeated; by default every epoch is new"""
    seed: Seed = 0
    """seed of the student's initial weights and dropout"""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_method(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value, method = dict(value), str(value.get("method"))
        value.setdefault("mixup", {"distribution": "off" if method in NEVER_MIXED else "uniform"})
        if method in _WITH_OPTIONS and value.get(method) is None:
            value[method] = {}
        defaults = DEFAULTS.get(method, Defaults())
        if method not in TEACHERLESS and value.get("temperature") is None:
            value["temperature"] = defaults.temperature
        if method not in TEACHERLESS and "alpha" not in value:
            value["beta"] = defaults.beta if value.get("beta") is None else value["beta"]
        value["alpha"] = number_of(value.get("alpha", 1.0 if method in TEACHERLESS else defaults.alpha))
        if value.get("beta") is None and isinstance(value["alpha"], int | float):
            value["beta"] = 1.0 - max(0, min(value["alpha"], 1))
        return value

    @model_validator(mode="after")
    def _parameters_belong_to_the_method(self) -> Self:
        if self.method in TEACHERLESS:
            for name, idle in (("teacher", None), ("temperature", None), ("alpha", 1.0), ("beta", 0.0)):
                if getattr(self, name) != idle:
                    raise ValueError(f"{self.method} learns from hard labels only and takes no {name}; remove it")
        elif self.teacher is None:
            raise ValueError(f"{self.method} needs a teacher; name one of the spec's teachers")
        elif self.alpha == self.beta == 0:
            raise ValueError("alpha and beta are both 0, so nothing would be learnt; raise one of them")
        if self.temperature == "sigma" and self.method not in RESCALABLE:
            raise ValueError(f"{self.method} has no temperature: sigma; give a number")
        for name in _WITH_OPTIONS:
            if name != self.method and getattr(self, name) is not None:
                raise ValueError(f"{name} holds options of method: {name}; {self.method} takes none of them, remove it")
        self._mixup_belongs_to_the_method()
        return self

    def _mixup_belongs_to_the_method(self) -> None:
        mixed, twins = self.mixup.distribution != "off", {"classic": "mixup", "kd": "kd_mixup"}
        if self.method in NEVER_MIXED and mixed:
            raise ValueError(f"{self.method} trains without mixup; use method: {twins[self.method]}")
        if self.method in ALWAYS_MIXED and not mixed:
            plain = next(name for name, twin in twins.items() if twin == self.method)
            raise ValueError(f"{self.method} trains with mixup; use method: {plain}")

    @property
    def recycles(self) -> bool:
        """Whether any epoch of the vicinal stream is used twice."""
        return self.recycle is not None and self.recycle < self.train.epochs

    @property
    def crops_the_original(self) -> bool:
        """Whether a random crop is taken from an image as it was decoded, before it is resized for the data."""
        return self.view.crop == "resized" and self.data.streaming and self.data.image_size is not None

    @property
    def num_stream_epochs(self) -> int:
        """The number of different epochs of the vicinal stream that the trial uses."""
        return self.recycle if self.recycles and self.recycle else self.train.epochs

    @property
    def has_logit_scale(self) -> bool:
        """Whether the loss fixes the scale of the student's logits; sigma and zscore alone do not."""
        return self.alpha > 0 or not (self.temperature == "sigma" or self.method == "zscore")


_WITH_OPTIONS = ("dkd", "dist", "cud")


def finetuning_trial(teacher: TeacherConfig, data: DataConfig, view: ViewConfig) -> TrialConfig:
    """The trial that fine-tunes a teacher: classic (or mixup) training with its network as the student."""
    recipe = teacher.finetune or FinetuneConfig(epochs=0)
    mixed = recipe.mixup is not None and recipe.mixup != NO_MIXUP
    return TrialConfig.model_validate(
        {
            "data": data,
            "view": view,
            "method": "mixup" if mixed else "classic",
            "mixup": recipe.mixup if mixed else NO_MIXUP,
            "student": StudentConfig(**teacher.model_dump(include=set(NetworkConfig.model_fields))),
            "train": TrainConfig(**recipe.model_dump(exclude={"mixup"})),
            "seed": teacher.seed,
        }
    )
