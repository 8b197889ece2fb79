"""Networks, as frozen values: any network of timm, the student that is trained, and a teacher."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from kd_core.config.model_source import normal_name
from kd_core.config.recipe import FinetuneConfig, Precision
from kd_core.fields import AbsolutePath, Config, Mark, Neutral, Pixels, Seed, shown
from kd_core.methods.fusion import FusionRule

MODEL_ALIASES = {  # the paper's teachers, with weights of ImageNet-1K classifiers
    "convnext_large": "convnext_large.fb_in1k",
    "convnext_tiny": "convnext_tiny.fb_in1k",
    "vit_base_patch16": "vit_base_patch16_224.augreg_in21k_ft_in1k",
    "resnet152v2": "resnetv2_152",
}


class NetworkConfig(Config):
    """One timm network and its adaptation to small images."""

    model: Annotated[str, Mark.MODEL]
    """any timm model name, a folder or repository with a model of timm's (local-dir:PATH, hf-hub:USER/NAME), or one of
    the paper's teachers: convnext_large, convnext_tiny, vit_base_patch16, resnet152v2"""
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
    classes: Annotated[AbsolutePath | None, Mark.PLACE, Neutral(None)] = None
    """a file that names the classes of the weights in the order of their classifier, of which the data's are taken: one
    name a line, or a JSON list"""

    @field_validator("model")
    @classmethod
    def _by_its_timm_name(cls, value: str) -> str:
        return MODEL_ALIASES.get(value) or normal_name(value)

    @property
    def architecture(self) -> dict[str, Any]:
        """The settings by which a network computes, without where its weights come from."""
        return {name: getattr(self, name) for name in ARCHITECTURE}

    @property
    def untrained(self) -> Self:
        """The same network with no weights to start from, since others are loaded into it."""
        return self.model_copy(update={"pretrained": False, "checkpoint": None, "classes": None})


ARCHITECTURE = tuple(name for name in NetworkConfig.model_fields if name not in ("pretrained", "checkpoint", "classes"))


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


class FusionConfig(Config):
    """How several teachers teach as one; who they are, its kinds say: by name in a spec, by config in a trial."""

    rule: FusionRule = "mean"
    """how their probabilities are averaged on each image: mean, or weighted by their confidence or inverse entropy"""

    @model_validator(mode="before")
    @classmethod
    def _nothing_of_a_network(cls, value: Any) -> Any:
        strange = [shown(key) for key in value if key not in cls.model_fields] if isinstance(value, dict) else []
        if strange:
            raise ValueError(f"{strange[0]}: a fused teacher has no such key; remove it, or use fuse and rule alone")
        return value


class FusedTeacherConfig(FusionConfig):
    """Several teachers that teach as one; of one, it is that teacher."""

    fuse: Annotated[tuple[TeacherConfig, ...], Field(min_length=1)]
    """the teachers, in the order in which their probabilities are added"""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        check_different(self.fuse)
        return self


def check_different(members: Sequence[Any], names: Sequence[str] = ()) -> None:
    """Raise ValueError if one of the members to fuse is the same as another; names are those to name them by."""
    for index, member in enumerate(members):
        if (before := members.index(member)) < index:
            pair = f"{names[before]} and {names[index]}" if names else f"members {before + 1} and {index + 1}"
            raise ValueError(f"{pair} are the same teacher; give each once")


def of_its_kind(single: type[Config], fused: type[Config]) -> BeforeValidator:
    """Read a teacher as fused if it has a key fuse, so that what is wrong is told of that kind alone."""

    def read(value: Any) -> Any:
        """The value, as one kind of teacher if it is a dict."""
        return (fused if "fuse" in value else single).model_validate(value) if isinstance(value, dict) else value

    return BeforeValidator(read)


AnyTeacherConfig = Annotated[TeacherConfig | FusedTeacherConfig, of_its_kind(TeacherConfig, FusedTeacherConfig)]
