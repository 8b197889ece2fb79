"""Students and teachers: timm networks with an optional bottleneck head and CIFAR stem, and their normalisation."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn.functional import interpolate
from upath import UPath

from kd_core.config.checkpoint import checkpoint_problem
from kd_core.config.class_order import places_of, read_classes
from kd_core.config.errors import ModelError
from kd_core.config.networks import NetworkConfig, StudentConfig, TeacherConfig
from kd_core.networks.catalogue import check_model, create_backbone, defaults_of
from kd_core.networks.weights import load_weights

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


def build_student(config: StudentConfig, num_classes: int, class_names: Sequence[str] = ()) -> Network:
    """Build the student of a trial; new weights come from torch's global generator. See `build_network`."""
    return build_network(config, num_classes, class_names)


def build_teacher(config: TeacherConfig, num_classes: int) -> Network:
    """Build the teacher of a config, before its fine-tuning."""
    return build_network(config, num_classes)


def build_network(config: NetworkConfig, num_classes: int, class_names: Sequence[str] = ()) -> Network:
    """Build the network of a config, channels last, then load its checkpoint if it names one; raises ModelError.

    Where the config names the classes of its weights, class_names are those of the data, in whose order the logits
    [B, K] come.
    """
    check_network(config)
    names = read_classes(config.classes) if config.classes is not None else ()
    network = _assemble(config, len(names) or num_classes, config.pretrained).to(memory_format=torch.channels_last)
    if config.checkpoint is not None:
        load_weights(network, UPath(config.checkpoint))
    return _with_classes(network, config, len(names), places_of(class_names, names)) if names else network


def _with_classes(network: Network, config: NetworkConfig, num_given: int, places: list[int]) -> Network:
    """The network with some of its classes only, in the order of their places [K].

    Their tensors are those that would have more rows with another class: those of all heads, linear or not.
    """
    with torch.device("meta"):
        smaller, larger = (_assemble(config, num_given + more, pretrained=False).state_dict() for more in (0, 1))
    rows = {name for name, tensor in smaller.items() if tensor.shape != larger[name].shape}
    if not rows or any(len(smaller[name]) != num_given for name in rows):
        raise ModelError("classes", f"{config.model} has no classifier with a row for each class; remove classes")
    state = {name: tensor[places] if name in rows else tensor for name, tensor in network.state_dict().items()}
    kept = _assemble(config, len(places), pretrained=False).to(memory_format=torch.channels_last)
    kept.load_state_dict(state)
    return kept


def check_network(config: NetworkConfig) -> None:
    """Raise ModelError for an unknown model, weights that it lacks, a stem without stride or a missing file."""
    check_model(config)
    if config.checkpoint is not None and (problem := checkpoint_problem(config.checkpoint)):
        raise ModelError("checkpoint", problem)
    if config.classes is not None:
        _check_classes(config, len(read_classes(config.classes)))
    _check_form(config)  # type: ignore[arg-type]  # frozen, and so hashable


def _check_classes(config: NetworkConfig, num_names: int) -> None:
    """Raise ModelError unless the weights of a network have a classifier of as many classes as a file names."""
    if config.checkpoint is not None:
        return  # its reading says so
    known = pretrained_classes(config) if config.pretrained and not config.bottleneck else None
    if known is None:
        raise ModelError("classes", "the classifier begins without weights, so it has no order; remove classes")
    if known != num_names:
        raise ModelError("classes", f"names {num_names} classes and the weights have {known}; name all of them")


@cache
def _check_form(config: NetworkConfig) -> None:
    """Build the network on the meta device; once per process, since it takes longer than a real build."""
    with torch.device("meta"):
        network = _assemble(config, num_classes=2, pretrained=False)
        if network.image_size is not None:
            _check_size(network, network.image_size, config)


def pretrained_classes(config: NetworkConfig) -> int | None:
    """The number of classes of the weights of a model by its name; None if they have no classifier."""
    return defaults_of(config.model).get("num_classes") or None


def _check_size(network: Network, size: int, config: NetworkConfig) -> None:
    try:
        network.eval()(torch.empty(1, 3, size, size))
    except (AssertionError, RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise ModelError("image_size", f"{config.model} cannot work at this size: {problem}") from error


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
    backbone = create_backbone(config.model, 0 if config.bottleneck else num_classes, pretrained, **options)
    if config.stem_stride is not None:
        _open_stem(backbone, config)
    width = config.bottleneck
    head = _bottleneck(backbone.head_hidden_size, width, config.dropout, num_classes) if width else nn.Identity()
    return Network(backbone, head, fixed or config.image_size)


def _fixed_size(config: NetworkConfig) -> int | None:
    """The input size of a network with a fixed one, such as a ViT: the config's, or the model's default."""
    defaults = defaults_of(config.model)
    return (config.image_size or defaults["input_size"][-1]) if defaults.get("fixed_input_size") else None


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
    first = backbone.default_cfg.get("first_conv")
    if first is None:  # of a folder whose config was made by hand
        raise ModelError("stem_stride", f"the config of {config.model} names no first_conv; name it there")
    stem = backbone.get_submodule(first if isinstance(first, str) else first[0])
    if not isinstance(stem, nn.Conv2d) or stem.stride == stem.kernel_size:
        raise ModelError("stem_stride", f"{config.model} cuts the image into patches; set image_size instead")
    stem.stride = (1, 1)
    names = {name for name, _ in backbone.named_modules()}
    for pool in names.intersection(_STEM_POOLS):
        backbone.set_submodule(pool, nn.Identity())
