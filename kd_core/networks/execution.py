"""How networks run as fast as a machine lets them: precision, optimiser kernels, memory; the one place that decides.

Images and weights have their channels last everywhere (`kd_core.networks.models.build_network`): faster on CPUs and on
GPUs, and what indexing of uint8 [N, H, W, 3] gives without a copy.
"""

import ctypes
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch
from torch import nn

from kd_core.networks.folding import fold_batch_norm
from kd_core.networks.models import Network, build_network, forward_flops
from kd_core.spec.config import TeacherConfig
from kd_core.spec.recipe import TrainConfig

_CASTABLE = (nn.Conv2d, nn.Linear)  # what autocast runs in bfloat16
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h
_NEVER = 2**31 - 1
_MOST_IMAGES, _MEASURED_FLOPS = 64, 10**10  # of one forward pass of a measurement


def autocast(precision: str, device: torch.device | str) -> AbstractContextManager[Any]:
    """The context in which networks run: bfloat16 autocast where it is asked for, on any device, else float32."""
    if precision == "bfloat16":
        return torch.autocast(torch.device(device).type, torch.bfloat16)
    return nullcontext()


def for_inference(network: Network, precision: str) -> Network:
    """Turn a network, in place, into the form in which it only predicts, and return it.

    Its batch normalisation is folded into the convolutions before it, and for bfloat16 autocast, their weights are cast
    once instead of at every call. Twice is as once.
    """
    network.eval().requires_grad_(False)
    fold_batch_norm(network.backbone)
    if precision == "bfloat16":
        for module in network.modules():
            if type(module) in _CASTABLE:
                module.bfloat16()
    return network


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum; weight decay spares what has one dimension (biases and norms).

    The update of all parameters is one fused kernel.
    """
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True, fused=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def keep_freed_memory() -> None:
    """Let this process keep what it frees (glibc): the next step takes it again without a page fault for every 4 KiB.

    A step's tensors are larger than what malloc keeps by itself.
    """
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def has_bfloat16_instructions() -> bool:
    """Whether this machine's CPU computes in bfloat16 itself; without that, bfloat16 is emulated and slow."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def bfloat16_gain(config: TeacherConfig, num_classes: int, image_size: int) -> float | None:
    """How many times faster a teacher labels in bfloat16 than in float32 here, measured on random weights in a second.

    None where the CPU has no bfloat16 instructions, and for a network that is too large for so short a measurement.
    """
    num_images = min(_MOST_IMAGES, _MEASURED_FLOPS // forward_flops(config, num_classes, image_size))
    if num_images == 0 or not has_bfloat16_instructions():
        return None
    plain = config.model_copy(update={"pretrained": False, "checkpoint": None})
    forms = {each: for_inference(build_network(plain, num_classes), each) for each in ("float32", "bfloat16")}
    images = torch.rand(num_images, image_size, image_size, 3).permute(0, 3, 1, 2)
    rounds = [{each: _forward_s(network, images, each) for each, network in forms.items()} for _ in range(4)]
    fastest = {each: min(seconds[each] for seconds in rounds[1:]) for each in forms}
    return fastest["float32"] / fastest["bfloat16"]


@torch.inference_mode()
def _forward_s(network: Network, images: torch.Tensor, precision: str) -> float:
    started = time.perf_counter()
    with autocast(precision, images.device):
        network(images)
    return time.perf_counter() - started
