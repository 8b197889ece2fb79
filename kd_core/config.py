"""One trial as frozen values: what is trained, on what, by which recipe, and the key under which its result is kept."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Method = Literal["classic", "mixup", "kd", "kd_mixup", "zscore", "dkd", "dist", "wttm", "cud"]
TEACHERLESS: frozenset[str] = frozenset({"classic", "mixup"})
ALWAYS_MIXED: frozenset[str] = frozenset({"mixup", "kd_mixup"})
NEVER_MIXED: frozenset[str] = frozenset({"classic", "kd"})
RESCALABLE: frozenset[str] = frozenset({"kd", "kd_mixup"})  # where temperature may be sigma
DEFAULT_TEMPERATURE = {"kd": 2.0, "kd_mixup": 2.0, "zscore": 2.0, "dkd": 4.0, "dist": 4.0, "wttm": 4.0, "cud": 2.0}

MODEL_ALIASES = {  # the paper's teachers, with weights of ImageNet-1K classifiers
    "convnext_large": "convnext_large.fb_in1k",
    "convnext_tiny": "convnext_tiny.fb_in1k",
    "vit_base_patch16": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "resnet152v2": "resnetv2_152",
}


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


def _absolute(value: str) -> str:
    """A path as every worker can use it, whatever folder it runs in."""
    return str(Path(value).expanduser().absolute())


AbsolutePath = Annotated[str, AfterValidator(_absolute)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Temperature = Annotated[float | Literal["sigma"], BeforeValidator(_temperature)]
Fraction = Annotated[float, Field(ge=0, le=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
PositiveFloat = Annotated[float, Field(gt=0)]


class DataConfig(Config):
    """Where the images come from and how they are split."""

    source: Literal["digits", "cifar10", "cifar100", "folder", "parquet"]
    """digits (bundled with scikit-learn), cifar10 or cifar100 (downloaded), folder (one folder of images a class) or
    parquet (the Hugging Face layout)"""
    path: AbsolutePath | None = None
    """the folder of a folder or parquet source, or where to keep a download; by default, that is the user's cache"""
    streaming: bool = False
    """whether images of a folder or parquet source are decoded when they are needed instead of kept in memory"""
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
    def _suits_the_source(self) -> Self:
        files = self.source in ("folder", "parquet")
        if self.source == "digits" and self.path is not None:
            raise ValueError("the digits source is bundled and takes no path")
        if files and self.path is None:
            raise ValueError(f"the {self.source} source needs data.path, the folder that holds the images")
        if self.streaming and not files:
            raise ValueError(f"the {self.source} source fits in memory; remove streaming")
        return self


class ViewConfig(Config):
    """The random view of an image before mixing, drawn by the vicinal stream."""

    crop: Literal["padded", "resized"] = "padded"
    """padded (the image moved by up to `padding`) or resized (a random part of it, Szegedy 2015)"""
    padding: Annotated[int, Field(ge=0)] = 4
    """pixels of zeros around the image from which a padded crop of the image's own size is taken"""
    scale: tuple[PositiveFraction, PositiveFraction] = (0.08, 1.0)
    """the smallest and the largest share of the image's area that a resized crop takes"""
    flip: bool = True
    """whether half of the images are mirrored left to right"""

    @model_validator(mode="after")
    def _scale_is_a_range(self) -> Self:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale must go from the smaller share to the larger, not {list(self.scale)}")
        return self


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


class PieceConfig(Config):
    """One piece of a learning-rate schedule, which begins where the piece before it ends."""

    until: PositiveFloat
    """the epoch in which the piece ends"""
    start: Annotated[float, Field(ge=0)]
    """learning rate at its beginning"""
    end: Annotated[float, Field(ge=0)]
    """learning rate at its end"""
    shape: Literal["linear", "cosine"] = "linear"
    """how it goes from start to end"""


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
    schedule: Literal["cosine", "constant", "step", "piecewise"] = "cosine"
    """how the learning rate goes on: cosine (to zero), constant, step (a tenth at each milestone), or piecewise"""
    warmup_epochs: Annotated[float, Field(ge=0)] = 0
    """epochs of linear warm-up from zero to the peak; not with piecewise"""
    milestones: tuple[PositiveFloat, ...] = ()
    """the epochs at which schedule: step divides the learning rate by ten"""
    pieces: tuple[PieceConfig, ...] = ()
    """the pieces of schedule: piecewise, as a list of {until, start, end, shape}; behind the last, its end"""
    head_epochs: Annotated[int, Field(ge=0)] = 0
    """epochs before the others in which only the classifier head learns, from unmixed hard labels, at the peak rate"""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0
    """the share of a hard label that is spread over all classes"""
    uncertainty: Literal["dus"] | None = None
    """dus: hard labels by focal loss with an entropy bonus on hard examples (CUD-style, for a teacher)"""
    clip_norm: PositiveFloat | None = None
    """the norm to which gradients are clipped"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16: autocast of both networks on a GPU (no effect on a CPU)"""
    compile: bool = False
    """whether the student goes through torch.compile on a GPU"""
    deterministic: bool = False
    """whether a GPU keeps to deterministic algorithms; a CPU always does"""

    @property
    def num_epochs(self) -> int:
        """All epochs of a trial, those of the head included."""
        return self.head_epochs + self.epochs

    @model_validator(mode="after")
    def _details_belong_to_the_schedule(self) -> Self:
        for name, schedule in (("milestones", "step"), ("pieces", "piecewise")):
            if bool(getattr(self, name)) != (self.schedule == schedule):
                raise ValueError(f"{name} are given with schedule: {schedule}, and only then")
        ends = [piece.until for piece in self.pieces]
        if ends != sorted(set(ends)):
            raise ValueError("pieces must end one after the other; order them by until")
        if self.uncertainty and self.label_smoothing:
            raise ValueError("uncertainty: dus replaces the cross-entropy, so label_smoothing has no effect; remove it")
        return self


class FinetuneConfig(TrainConfig):
    """How a teacher is fine-tuned on the data."""

    mixup: MixupConfig | None = None
    """the law of λ of a teacher that is trained with mixup itself (Medina 2026, appendix A); by default without"""


class NetworkConfig(Config):
    """One timm network and the form it takes on small images."""

    model: str
    """any timm model name, or a teacher of the paper: convnext_large, convnext_tiny, vit_base_patch16, resnet152v2"""
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
    checkpoint: AbsolutePath | None = None
    """a .safetensors file (or a .pth of tensors only) to start from"""

    @field_validator("model")
    @classmethod
    def _by_its_timm_name(cls, value: str) -> str:
        return MODEL_ALIASES.get(value, value)


class StudentConfig(NetworkConfig):
    """The small network that is distilled."""


class TeacherConfig(NetworkConfig):
    """A large network, loaded or fine-tuned here; it sees mixup only where finetune.mixup asks for it."""

    finetune: FinetuneConfig | None = None
    """the recipe by which the teacher is fine-tuned on the data; without it, the weights are used as they are"""
    seed: Seed = 0
    """the seed of its head, its dropout and its batches"""


class DkdConfig(Config):
    """The weights of decoupled knowledge distillation (Zhao 2022)."""

    target: Annotated[float, Field(ge=0)] = 1.0
    """weight of the target classes against the rest, their α"""
    nontarget: Annotated[float, Field(ge=0)] = 8.0
    """weight of the rest among themselves, their β"""


class DistConfig(Config):
    """The weights of DIST (Huang 2022)."""

    inter: Annotated[float, Field(ge=0)] = 1.0
    """weight of the relation between classes, within each sample"""
    intra: Annotated[float, Field(ge=0)] = 1.0
    """weight of the relation between samples, within each class"""


class CudConfig(Config):
    """How much W-Clip moves from a wrong top class to the label (CUD-style)."""

    share: Fraction = 0.5
    """at most this share of the top class's probability, η"""
    margin: Fraction = 1.0
    """at most this share of its lead over the label, m; 1 lets the label draw level with where the top class was"""


class TrialConfig(Config):
    """Everything that decides the result of one trial."""

    data: DataConfig
    """the images and their splits"""
    view: ViewConfig = ViewConfig()
    """random crop and flip"""
    mixup: MixupConfig
    """the law of λ; by default off for classic and kd and uniform for the others"""
    method: Method
    """classic, mixup, kd, kd_mixup, zscore, dkd, dist, wttm or cud"""
    teacher: TeacherConfig | None = None
    """the teacher of a distillation method"""
    temperature: Temperature | None = None
    """T of the distillation loss: a number above 0, or sigma (kd, kd_mixup: each side divided by its own deviation)"""
    dkd: DkdConfig | None = None
    """the weights of method: dkd"""
    dist: DistConfig | None = None
    """the weights of method: dist"""
    cud: CudConfig | None = None
    """how far method: cud corrects the teacher"""
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
        value.setdefault("mixup", {"distribution": "off" if method in NEVER_MIXED else "uniform"})
        if method in _WITH_OPTIONS and value.get(method) is None:
            value[method] = {}
        value["alpha"] = _number(value.get("alpha", 1.0 if method in TEACHERLESS else 0.0))
        if method not in TEACHERLESS and value.get("temperature") is None:
            value["temperature"] = DEFAULT_TEMPERATURE.get(str(method), 2.0)
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
    def has_logit_scale(self) -> bool:
        """Whether the loss fixes the scale of the student's logits; sigma and zscore alone do not."""
        return self.alpha > 0 or not (self.temperature == "sigma" or self.method == "zscore")


_WITH_OPTIONS = ("dkd", "dist", "cud")


def finetuning_trial(teacher: TeacherConfig, data: DataConfig, view: ViewConfig) -> TrialConfig:
    """Fine-tuning a teacher is the classic (or mixup) training of its network: the trial that makes the teacher."""
    recipe = teacher.finetune or FinetuneConfig(epochs=0)
    mixed = recipe.mixup is not None and recipe.mixup != NO_MIXUP
    return TrialConfig.model_validate(
        {
            "data": data,
            "view": view,
            "method": "mixup" if mixed else "classic",
            "mixup": recipe.mixup if mixed else NO_MIXUP,
            "student": StudentConfig(**teacher.model_dump(exclude={"finetune", "seed"})),
            "train": TrainConfig(**recipe.model_dump(exclude={"mixup"})),
            "seed": teacher.seed,
        }
    )
