"""The configuration of one trial, as frozen values: data, view, mixup, method, networks and recipe."""

from typing import Annotated, Any, Protocol, Self

from pydantic import create_model, model_validator

from kd_core.config.data import NO_MIXUP, DataConfig, ViewConfig
from kd_core.config.methods import OPTIONS, Alpha, Beta, MethodName, Mixup, Temperature
from kd_core.config.networks import (
    AnyTeacherConfig,
    FusedTeacherConfig,
    NetworkConfig,
    StudentConfig,
    TeacherConfig,
)
from kd_core.config.recipe import FinetuneConfig, TrainConfig
from kd_core.fields import Config, Neutral, PositiveInt, Seed, number_of
from kd_core.methods.method import Method
from kd_core.methods.registry import METHODS


class ImageCounts(Protocol):
    """How many training images there are, with a label and without."""

    @property
    def num_train(self) -> int:
        """Those with a label."""
        ...

    @property
    def num_unlabelled(self) -> int:
        """Those without."""
        ...


class LessonConfig(Config):
    """What a student learns from: images, how they are mixed, and a teacher."""

    data: DataConfig
    """the images and their splits"""
    view: ViewConfig = ViewConfig()
    """random crop and flip"""
    mixup: Mixup
    method: MethodName
    teacher: AnyTeacherConfig | None = None
    """the teacher of a distillation method"""
    temperature: Temperature = None


_WithOptions = create_model("_WithOptions", __base__=LessonConfig, **OPTIONS)


class TrialConfig(_WithOptions):
    """Everything that determines the result of one trial."""

    alpha: Alpha
    beta: Beta
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
        method = METHODS.get(str(value.get("method")), Method("", ""))  # a name of none is refused by its field
        value = {"mixup": {"distribution": "off" if method.mixup == "never" else "uniform"}} | value
        if method.options is not None and value.get(method.name) is None:
            value[method.name] = {}
        if value.get("temperature") is None:
            value["temperature"] = method.temperature
        if "alpha" not in value and value.get("beta") is None:
            value["beta"] = method.beta
        value["alpha"] = number_of(value.get("alpha", method.alpha))
        if value.get("beta") is None and isinstance(value["alpha"], int | float):
            value["beta"] = 1.0 - max(0, min(value["alpha"], 1))
        return value

    @model_validator(mode="after")
    def _parameters_belong_to_the_method(self) -> Self:
        method = METHODS[self.method]
        if method.teacherless:
            for name, idle in (("teacher", None), ("temperature", None), ("alpha", 1.0), ("beta", 0.0)):
                if getattr(self, name) != idle:
                    raise ValueError(f"{self.method} learns from hard labels only and takes no {name}; remove it")
        elif self.teacher is None:
            raise ValueError(f"{self.method} needs a teacher; name one of the spec's teachers")
        elif self.alpha == self.beta == 0:
            raise ValueError("alpha and beta are both 0, so nothing would be learnt; raise one of them")
        if self.temperature == "sigma" and not method.takes_sigma:
            raise ValueError(f"{self.method} has no temperature: sigma; give a number")
        for name in OPTIONS:
            if name != self.method and getattr(self, name) is not None:
                raise ValueError(f"{name} holds options of method: {name}; {self.method} takes none of them, remove it")
        mixed = self.mixup.distribution != "off"
        if method.mixup == ("never" if mixed else "always"):
            raise ValueError(f"{self.method} trains {'without' if mixed else 'with'} mixup; use method: {method.twin}")
        return self

    @model_validator(mode="after")
    def _labels_are_there_if_they_are_read(self) -> Self:
        if self.data.unlabelled is None or not self.sees_unlabelled:
            return self
        if METHODS[self.method].reads_labels:
            others = ", ".join(each.name for each in METHODS.values() if not (each.teacherless or each.reads_labels))
            raise ValueError(f"{self.method} reads the labels, which images of data.unlabelled lack; use {others}")
        if self.alpha > 0 and self.train.uncertainty is not None:
            raise ValueError("uncertainty: dus reads the labels, which images of data.unlabelled lack; remove it")
        return self

    @property
    def sees_unlabelled(self) -> bool:
        """Whether the trial learns from images without a label too: where a teacher counts."""
        return self.beta > 0

    def num_images(self, data: ImageCounts) -> int:
        """The number of images of its vicinal stream; in head epochs, which need labels, there are num_train."""
        return data.num_train + (data.num_unlabelled if self.sees_unlabelled else 0)

    @property
    def teachers(self) -> tuple[TeacherConfig, ...]:
        """The networks whose logits it learns from: its teacher, the members of a fused one, or none."""
        if isinstance(self.teacher, FusedTeacherConfig):
            return self.teacher.fuse
        return () if self.teacher is None else (self.teacher,)

    def taught_by(self, teacher: TeacherConfig) -> Self:
        """The same trial with another teacher."""
        return self.model_copy(update={"teacher": teacher})

    @property
    def options(self) -> Config | None:
        """The options of the method, if it has any."""
        return getattr(self, self.method) if self.method in OPTIONS else None

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
        """Whether the loss fixes the scale of the student's logits; hard labels do, sigma alone does not."""
        return self.alpha > 0 or (METHODS[self.method].fixes_scale and self.temperature != "sigma")


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
