"""One trial as frozen values: what is trained, on what, by which recipe, and the key under which its result is kept."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from upath import UPath

STREAM_VERSION = 1  # raise when the vicinal stream yields other batches for the same seed
LOSS_VERSION = 1  # raise when a method yields another loss for the same logits

Method = Literal["classic", "mixup", "kd", "kd_mixup"]
TEACHERLESS: frozenset[str] = frozenset({"classic", "mixup"})
UNMIXED: frozenset[str] = frozenset({"classic", "kd"})


class Config(BaseModel):
    """A frozen value that knows its keys: a misspelt one is an error, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


def _temperature(value: Any) -> Any:
    value = _number(value)
    if value is None or value == "sigma":
        return value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError("must be a number above 0, or sigma")
    return float(value)


def _even(value: int) -> int:
    if value % 2:
        raise ValueError("must be even, since a slot and its mixup partner share a batch")
    return value


def _number(value: Any) -> Any:
    """YAML 1.1 reads 2e-1 as text; a number is meant."""
    if isinstance(value, str):
        with suppress(ValueError):
            return float(value)
    return value


Seed = Annotated[int, Field(ge=0, lt=2**63)]
Temperature = Annotated[float | Literal["sigma"], BeforeValidator(_temperature)]
Fraction = Annotated[float, Field(ge=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
PositiveInt = Annotated[int, Field(gt=0)]


class DataConfig(Config):
    """Where the images come from and how they are split."""

    source: Literal["digits", "folder", "parquet"]
    """digits (bundled with scikit-learn), folder (one folder of images a class) or parquet (the Hugging Face layout)"""
    path: str | None = None
    """the folder of a folder or parquet source"""
    label_column: str | None = None
    """the parquet column with integer labels; by default the first integer column"""
    image_size: PositiveInt | None = None
    """pixels a side that every image is resized and cropped to; needed where the images differ in size"""
    limit: PositiveInt | None = None
    """at most this many training images, the same share of every class; validation is held out of them"""
    validation: OpenFraction = 0.1
    """the share of the training images held out, stratified, for selection and temperature scaling"""
    test: OpenFraction = 0.2
    """the share held out as test where the source has no test part of its own"""

    @model_validator(mode="after")
    def _has_a_path(self) -> Self:
        if (self.source == "digits") != (self.path is None):
            raise ValueError(
                "the digits source is bundled and takes no path"
                if self.path
                else f"the {self.source} source needs data.path, the folder that holds the images"
            )
        return self


class ViewConfig(Config):
    """The random view of an image before mixing, drawn by the vicinal stream."""

    padding: Annotated[int, Field(ge=0)] = 4
    """pixels of zeros around the image from which a crop of the image's own size is taken"""
    flip: bool = True
    """whether half of the images are mirrored left to right"""


class MixupConfig(Config):
    """How slots are mixed with their partners: x̃ = λx + (1−λ)x′ (Medina 2026, eq. 5)."""

    distribution: Literal["off", "uniform", "beta"] = "uniform"
    """the law of λ: uniform on (0, 1) as in the paper, Beta(concentration, concentration), or off (λ = 1)"""
    concentration: Annotated[float, Field(gt=0)] | None = None
    """the parameter of Beta(a, a); only with distribution: beta"""
    fraction: Fraction = 1.0
    """the share of slots that are mixed; the rest keep λ = 1"""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, value: Any) -> Any:
        if value is False:  # YAML reads a bare `off` as false
            return {"distribution": "off"}
        return {"distribution": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _concentration_belongs_to_beta(self) -> Self:
        if (self.distribution == "beta") != (self.concentration is not None):
            raise ValueError("concentration is given with distribution: beta, and only then")
        return self


NO_MIXUP = MixupConfig(distribution="off")


class TrainConfig(Config):
    """One recipe of optimisation."""

    epochs: Annotated[int, Field(ge=0)]
    """passes over the training images"""
    batch_size: Annotated[PositiveInt, AfterValidator(_even)] = 128
    """images a step, an even number"""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw, or sgd with Nesterov momentum 0.9"""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    """the peak learning rate"""
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    """decoupled for adamw, L2 for sgd; weights of one dimension (biases, norms) are spared"""
    schedule: Literal["cosine", "constant"] = "cosine"
    """how the learning rate goes from its peak to the last step: cosine to zero, or constant"""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0
    """epochs of linear warm-up from zero to the peak"""


class NetworkConfig(Config):
    """One timm network and the form it takes on small images."""

    model: str
    """any timm model name"""
    bottleneck: PositiveInt | None = None
    """width of a Linear–BatchNorm–ReLU–Dropout bottleneck before the classifier (256 in the paper's student)"""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """dropout of the bottleneck"""
    stem_stride: Literal[1] | None = None
    """1 for the CIFAR form of a network: first convolution at stride 1 and no pooling behind it"""
    image_size: PositiveInt | None = None
    """pixels a side at which this network works; by default the size of the data"""
    pretrained: bool = False
    """whether to start from timm's weights for this model"""
    checkpoint: str | None = None
    """a .safetensors file (or a .pth of tensors only) to start from"""


class StudentConfig(NetworkConfig):
    """The small network that is distilled."""


class TeacherConfig(NetworkConfig):
    """A large network, loaded or fine-tuned here; it never sees mixup."""

    finetune: TrainConfig | None = None
    """the recipe by which the teacher is fine-tuned on the data; without it, the weights are used as they are"""
    seed: Seed = 0
    """the seed of its head, its dropout and its batches"""


class TrialConfig(Config):
    """Everything that decides the result of one trial."""

    data: DataConfig
    """the images and their splits"""
    view: ViewConfig = ViewConfig()
    """random crop and flip"""
    mixup: MixupConfig
    """the law of λ; by default uniform for mixup and kd_mixup, off for classic and kd"""
    method: Method
    """classic, mixup, kd or kd_mixup"""
    teacher: TeacherConfig | None = None
    """the teacher of a distillation method"""
    temperature: Temperature | None = None
    """T of the distillation loss: a number above 0, or sigma (each side divided by its own standard deviation)"""
    alpha: Fraction
    """weight of the hard-label cross-entropy, from 0 to 1; the distillation loss has 1 − alpha unless beta is given"""
    beta: Annotated[float, Field(ge=0)]
    """weight of the distillation loss; by default 1 − alpha"""
    student: StudentConfig
    """the network that is trained"""
    train: TrainConfig
    """the recipe of optimisation"""
    stream_seed: Seed = 0
    """seed of the vicinal stream, shared by replicates so that one teacher pass serves them all"""
    seed: Seed = 0
    """seed of the student's initial weights and dropout"""

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_method(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value, method = dict(value), value.get("method")
        value.setdefault("mixup", {"distribution": "off" if method in UNMIXED else "uniform"})
        value["alpha"] = _number(value.get("alpha", 1.0 if method in TEACHERLESS else 0.0))
        if method not in TEACHERLESS and value.get("temperature") is None:
            value["temperature"] = 2.0
        if value.get("beta") is None and isinstance(value["alpha"], int | float):
            value["beta"] = max(0.0, 1.0 - value["alpha"])
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
        if self.method in UNMIXED and self.mixup != NO_MIXUP:
            mixed = "mixup" if self.method == "classic" else "kd_mixup"
            raise ValueError(f"{self.method} trains without mixup; use method: {mixed}")
        if self.method not in UNMIXED and self.mixup.distribution == "off":
            plain = "classic" if self.method == "mixup" else "kd"
            raise ValueError(f"{self.method} trains with mixup; use method: {plain}")
        return self


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, so that equal values hash alike."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any) -> str:
    """Sixteen hexadecimal digits of the sha256 of a JSON value: the name of a product in the store."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def file_sha256(path: Path | UPath) -> str:
    """The sha256 of a file's bytes, in hexadecimal; path may be an fsspec one."""
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()


def network_identity(network: NetworkConfig) -> dict[str, Any]:
    """What of a network changes its outputs: its form and the bytes, not the path, of its checkpoint."""
    form = network.model_dump(mode="json", exclude={"finetune", "seed", "checkpoint"})
    return form | {"checkpoint": file_sha256(Path(network.checkpoint)) if network.checkpoint else None}


def trial_key(config: TrialConfig, fingerprint: str, teacher_sha256: str | None = None) -> str:
    """The name of a trial's result: equal exactly when everything that can change its numbers is equal.

    fingerprint identifies the loaded data (`kd_core.data.fingerprint_of`), teacher_sha256 the teacher's weights.
    """
    content = config.model_dump(mode="json", exclude={"data", "teacher", "student"})
    content |= {"data": fingerprint, "student": network_identity(config.student)}
    content |= {"stream_version": STREAM_VERSION, "loss_version": LOSS_VERSION}
    if config.teacher is not None:
        if teacher_sha256 is None:
            raise ValueError(f"the key of a {config.method} trial needs the hash of its teacher's weights")
        view = config.teacher.model_dump(mode="json", include={"model", "bottleneck", "stem_stride", "image_size"})
        content["teacher"] = view | {"weights": teacher_sha256}
    return digest(content)


def finetuning_trial(teacher: TeacherConfig, data: DataConfig, view: ViewConfig) -> TrialConfig:
    """Fine-tuning a teacher is the classic training of its network: the trial that makes the teacher."""
    return TrialConfig.model_validate(
        {
            "data": data,
            "view": view,
            "method": "classic",
            "student": StudentConfig(**teacher.model_dump(exclude={"finetune", "seed"})),
            "train": teacher.finetune or TrainConfig(epochs=0),
            "seed": teacher.seed,
        }
    )
