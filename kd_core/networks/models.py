"""Students and teachers: timm networks with an optional bottleneck head and CIFAR stem, and their normalisation."""

import difflib
from functools import cache
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_tensors
from safetensors.torch import save as safetensors_bytes
from torch import nn
from torch.nn.functional import interpolate
from upath import UPath

from kd_core.config.checkpoint import checkpoint_problem
from kd_core.config.errors import ModelError
from kd_core.config.networks import NetworkConfig, StudentConfig, TeacherConfig

_STEM_POOLS = ("maxpool", "stem.pool", "features.pool0")  # timm's names of the pooling after the stem


class Network(nn.Module):
    """A timm network that takes images float32 [B, 3, H, W] in [0, 1] of any size and returns logits [B, K].

    It resizes and normalises them: teacher and student get the same mixed image, each at its own resolution.
    """

    def __init__(self, backbone: Any, head: nn.Module, image_size: int | None) -> None:
        super().__init__()
        self.backbone, self.head, self.image_size = backbone, head, image_size
        self.mean: torch.Tensor
        self.std: torch.Tensor
        defaults = backbone.default_cfg
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(defaults[name]).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits [B, K] of images [B, 3, H, W]."""
        return self.head(self.backbone(self._prepared(images)))

    @property
    def classifier(self) -> nn.Module:
        """The layers from features to logits: the bottleneck head, or the timm network's last layer."""
        return self.backbone.get_classifier() if isinstance(self.head, nn.Identity) else self.head

    def train_whole(self) -> None:
        """Train all parameters."""
        self.train().requires_grad_(True)

    def train_only_head(self) -> None:
        """Train only the classifier; the rest is frozen, including its normalisation statistics."""
        self.eval().requires_grad_(False)
        self.classifier.train().requires_grad_(True)

    def _prepared(self, images: torch.Tensor) -> torch.Tensor:
        size = self.image_size
        if size is not None and images.shape[-2:] != (size, size):
            images = interpolate(images, (size, size), mode="bilinear", antialias=images.shape[-1] > size)
        return self._normalised(images)

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        """Images minus mean over std; along whole rows of pixels, several times faster than over three channels."""
        rows = images.permute(0, 2, 3, 1).flatten(2)
        mean, std = (each.flatten().repeat(images.shape[3]) for each in (self.mean, self.std))
        return ((rows - mean) / std).unflatten(2, (-1, images.shape[1])).permute(0, 3, 1, 2)


def build_student(config: StudentConfig, num_classes: int) -> Network:
    """Build the student of a trial; new weights come from torch's global generator."""
    return build_network(config, num_classes)


def build_teacher(config: TeacherConfig, num_classes: int) -> Network:
    """Build the teacher of a config, before its fine-tuning."""
    return build_network(config, num_classes)


def build_network(config: NetworkConfig, num_classes: int) -> Network:
    """Build the network of a config, channels last, then load its checkpoint if it names one; raises ModelError."""
    check_network(config)
    network = _assemble(config, num_classes, pretrained=config.pretrained).to(memory_format=torch.channels_last)
    if config.checkpoint is not None:
        load_weights(network, UPath(config.checkpoint))
    return network


def check_network(config: NetworkConfig) -> None:
    """Raise ModelError for an unknown model, weights that timm lacks, a stem without stride or a missing file."""
    if not timm.is_model(config.model):
        nearest = difflib.get_close_matches(config.model, timm.list_models(), n=1)
        raise ModelError("model", f"timm has no such model{f'; did you mean {nearest[0]}?' if nearest else ''}")
    if "." in config.model and config.model not in timm.list_pretrained(config.model):
        known = ", ".join(timm.list_pretrained(f"{config.model.split('.')[0]}.*"))
        raise ModelError("model", f"timm has no such weights; it has {known or 'none'} for this model")
    if config.pretrained and not timm.is_model_pretrained(config.model):
        having = {name.split(".")[0] for name in timm.list_pretrained()}
        nearest = difflib.get_close_matches(config.model, sorted(having), n=1, cutoff=0)[0]
        remedy = f"give weights of your own as checkpoint, or choose a model that has some, such as {nearest}"
        raise ModelError("pretrained", f"timm has no weights for {config.model}; {remedy}")
    if config.checkpoint is not None and (problem := checkpoint_problem(config.checkpoint)):
        raise ModelError("checkpoint", problem)
    _check_form(config)  # type: ignore[arg-type]  # frozen, and so hashable


@cache
def _check_form(config: NetworkConfig) -> None:
    """Build the network on the meta device; once per process, since it takes longer than a real build."""
    with torch.device("meta"):
        network = _assemble(config, num_classes=2, pretrained=False)
        if network.image_size is not None:
            _check_size(network, network.image_size, config)


def pretrained_classes(config: NetworkConfig) -> int | None:
    """The number of classes of timm's weights for a model; None if they have no classifier."""
    defaults: Any = timm.get_pretrained_cfg(config.model)
    return defaults.num_classes or None


def _check_size(network: Network, size: int, config: NetworkConfig) -> None:
    try:
        network.eval()(torch.empty(1, 3, size, size))
    except (AssertionError, RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ModelError("image_size", f"{config.model} cannot work at this size: {problem}") from error


def weights_bytes(network: nn.Module) -> bytes:
    """A network's weights as a safetensors file, which `load_weights` reads; the same on any device."""
    return safetensors_bytes({name: each.detach().cpu().contiguous() for name, each in network.state_dict().items()})


def load_weights(network: Network, path: Path | UPath) -> None:
    """Load a .safetensors file, or a .pth file of tensors, into a network; raises ModelError if they do not fit.

    Tensors are named as in this Network (in files written by this package) or as in the bare timm model.
    """
    try:
        content = path.read_bytes()
        whole = path.suffix == ".safetensors"
        tensors: Any = safetensors_tensors(content) if whole else torch.load(BytesIO(content), "cpu", weights_only=True)
        tensors = tensors.get("state_dict", tensors)
        own = any(name.startswith(("backbone.", "head.")) and name in network.state_dict() for name in tensors)
        (network if own else network.backbone).load_state_dict(tensors)
    except UnpicklingError as error:
        problem = f"{path} holds no plain tensors, and objects may run code; save its state_dict as .safetensors"
        raise ModelError("checkpoint", problem) from error
    except (SafetensorError, RuntimeError, OSError, EOFError, AttributeError, TypeError, ValueError) as error:
        raise ModelError(
            "checkpoint", f"{path} does not fit the network: {' '.join(str(error).split())[:300]}"
        ) from error
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor.float()).all()]
    if broken:
        raise ModelError("checkpoint", f"{path} holds NaN or infinite values in {broken[0]}; export the weights again")


def forward_flops(config: NetworkConfig, num_classes: int, image_size: int) -> int:
    """Floating-point operations of one forward pass of one image, counted on the meta device."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        network = _assemble(config, num_classes, pretrained=False).eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 3, image_size, image_size, device="meta"))
    return counter.get_total_flops()


def num_parameters(network: nn.Module) -> int:
    """The number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())


def _assemble(config: NetworkConfig, num_classes: int, pretrained: bool) -> Network:
    fixed = _fixed_size(config)
    options: dict[str, Any] = {"img_size": fixed} if fixed else {}
    backbone: Any = timm.create_model(
        config.model, pretrained=pretrained, num_classes=0 if config.bottleneck else num_classes, **options
    )
    if config.stem_stride is not None:
        _open_stem(backbone, config)
    width = config.bottleneck
    head = _bottleneck(backbone.head_hidden_size, width, config.dropout, num_classes) if width else nn.Identity()
    return Network(backbone, head, fixed or config.image_size)


def _fixed_size(config: NetworkConfig) -> int | None:
    """The input size of a network with a fixed one, such as a ViT: the config's, or the model's default."""
    defaults: Any = timm.get_pretrained_cfg(config.model)
    return (config.image_size or defaults.input_size[-1]) if defaults.fixed_input_size else None


def _bottleneck(num_features: int, width: int, dropout: float, num_classes: int) -> nn.Sequential:
    """The head of the paper's student, as its authors built it."""
    return nn.Sequential(
        nn.Linear(num_features, width, bias=False),
        nn.BatchNorm1d(width),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(width, num_classes),
    )


def _open_stem(backbone: Any, config: NetworkConfig) -> None:
    """Convert a network to its CIFAR form: stride 1 in its first convolution, no pooling after it."""
    first = backbone.default_cfg["first_conv"]
    stem = backbone.get_submodule(first if isinstance(first, str) else first[0])
    if not isinstance(stem, nn.Conv2d) or stem.stride == stem.kernel_size:
        raise ModelError("stem_stride", f"{config.model} cuts the image into patches; set image_size instead")
    stem.stride = (1, 1)
    names = {name for name, _ in backbone.named_modules()}
    for pool in names.intersection(_STEM_POOLS):
        backbone.set_submodule(pool, nn.Identity())
