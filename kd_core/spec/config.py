"""The configuration of one trial, as frozen values: data, view, mixup, method, networks and recipe."""

import sys
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kd_core.spec.data_config import NO_MIXUP, DataConfig, MixupConfig, ViewConfig
from kd_core.spec.fields import AbsolutePath, Config, Fraction, Mark, Neutral, Pixels, PositiveInt, Seed, number_of
from kd_core.spec.recipe import FinetuneConfig, Precision, TrainConfig

Method = Literal["classic", "mixup", "kd", "kd_mixup", "zscore", "dkd", "dist", "wttm", "cud"]
TEACHERLESS: frozenset[str] = frozenset({"classic", "mixup"})
ALWAYS_MIXED: frozenset[str] = frozenset({"mixup", "kd_mixup"})
NEVER_MIXED: frozenset[str] = frozenset({"classic", "kd"})
RESCALABLE: frozenset[str] = frozenset({"kd", "kd_mixup"})  # where temperature may be sigma


class Defaults(NamedTuple):
    """The temperature of a method and the weights of both terms where a spec gives none."""

    temperature: float = 2.0
    alpha: float = 0.0
    beta: float = 1.0


# Where authors published settings for CIFAR-100, an arm that names only the method has them:
# zscore: Sun 2024, repository logit-standardization-KD (--base-temp 2 --kd-weight 9, CE_WEIGHT 0.1)
# dkd: Zhao 2022, supplement; repository mdistiller, engine/cfg.py (CE_WEIGHT 1, T 4), without its warm-up of 20 epochs
# dist: Huang 2022 (weights 1, 2 and 2, τ = 4, as others report them): beta is the weight of both relations
# wttm: Zheng 2024, repository TTM, README (exponent 0.2, weights 1 and 4, of WTTM beside CRD); it varies with the pair
DEFAULTS = {
    "zscore": Defaults(2.0, 0.1, 9.0),
    "dkd": Defaults(4.0, 1.0, 1.0),
    "dist": Defaults(4.0, 1.0, 2.0),
    "wttm": Defaults(5.0, 1.0, 4.0),
}

MODEL_ALIASES = {  # the paper's teachers, with weights of ImageNet-1K classifiers
    "convnext_large": "convnext_large.fb_in1k",
    "convnext_tiny": "convnext_tiny.fb_in1k",
    "vit_base_patch16": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "resnet152v2": "resnetv2_152",
}


def _temperature(value: Any) -> Any:
    value = number_of(value)
    if value is None or value == "sigma":
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise ValueError("must be a number above 0, or sigma")
    return float(value)


Temperature = Annotated[float | Literal["sigma"], BeforeValidator(_temperature)]


class NetworkConfig(Config):
    """One timm network and its adaptation to small images."""

    model: str
    """any timm model name, or a teacher of the paper: convnext_large, convnext_tiny, vit_base_patch16, resnet152v2"""
    bottleneck: Annotated[int, Field(gt=0, le=2**16)] | None = None
    """width of a Linear–BatchNorm–ReLU–Dropout bottleneck before the classifier (256 in the paper's student)"""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """dropout of the bottleneck"""
    stem_stride: Literal[1] | None = None
    """1 for the CIFAR form of a network: first convolution at stride 1 and no pooling after it"""
    image_size: Pixels | None = None
    """pixels a side of this network's input; by default the size of the data"""
    pretrained: bool = False
    """whether to start from timm's weights for this model"""
    checkpoint: Annotated[AbsolutePath | None, Mark.PLACE] = None
    """a .safetensors file (or a .pth of tensors only) to start from, by its path or an fsspec URL"""

    @field_validator("model")
    @classmethod
    def _by_its_timm_name(cls, value: str) -> str:
        return MODEL_ALIASES.get(value, value)

    @property
    def architecture(self) -> dict[str, Any]:
        """The settings by which a network computes, without where its weights come from."""
        return {name: getattr(self, name) for name in ARCHITECTURE}

    @property
    def untrained(self) -> Self:
        """The same network with no weights to start from, since others are loaded into it."""
        return self.model_copy(update={"pretrained": False, "checkpoint": None})


ARCHITECTURE = tuple(name for name in NetworkConfig.model_fields if name not in ("pretrained", "checkpoint"))


class StudentConfig(NetworkConfig):
    """The small network that is trained."""


class TeacherConfig(NetworkConfig):
    """A large network, loaded or fine-tuned here; its fine-tuning uses mixup only if finetune.mixup is set."""

    precision: Precision = "float32"
    """the precision in which it labels images for its students; its fine-tuning uses finetune.precision"""
    finetune: FinetuneConfig | None = None
    """the recipe that fine-tunes the teacher on the data; without it, the weights are used as they are"""
    seed: Seed = 0
    """the seed of its head, dropout and batches"""


class DkdConfig(Config):
    """The weights of decoupled knowledge distillation (Zhao 2022)."""

    target: Annotated[float, Field(ge=0)] = 1.0
    """weight of the target classes against the rest (α of the paper)"""
    nontarget: Annotated[float, Field(ge=0)] = 8.0
    """weight of the other classes among themselves (β of the paper)"""


class DistConfig(Config):
    """The weights of DIST (Huang 2022)."""

    inter: Annotated[float, Field(ge=0)] = 1.0
    """weight of the relation between classes, within each sample"""
    intra: Annotated[float, Field(ge=0)] = 1.0
    """weight of the relation between samples, within each class"""


class CudConfig(Config):
    """How much probability W-Clip moves from a wrong top class to the label (CUD-style)."""

    share: Fraction = 0.5
    """at most this share of the top class's probability, η"""
    margin: Fraction = 1.0
    """at most this share of its lead over the label, m; 1 moves at most the whole lead"""


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
