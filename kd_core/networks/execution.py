"""How networks are executed: precision, optimiser kernels and memory are decided here only.

Images and weights are in channels-last format everywhere (`kd_core.networks.models.build_network`): it is faster on
CPUs and GPUs, and indexing uint8 [N, H, W, 3] yields it without a copy.
"""

import ctypes
import platform
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import torch
from torch import nn

from kd_core.config.networks import TeacherConfig
from kd_core.config.recipe import TrainConfig
from kd_core.networks.folding import fold_batch_norm
from kd_core.networks.models import Network, build_network, forward_flops

_CASTABLE = (nn.Conv2d, nn.Linear)  # the layers that autocast runs in bfloat16
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # glibc's malloc.h
_NEVER = 2**31 - 1
_MOST_IMAGES, _MEASURED_FLOPS = 64, 10**10  # per forward pass of a measurement


def autocast(precision: str, device: torch.device | str) -> AbstractContextManager[Any]:
    """The context in which networks run, on any device: bfloat16 autocast, or no autocast for float32."""
    if precision == "bfloat16":
        return torch.autocast(torch.device(device).type, torch.bfloat16)
    return nullcontext()


def for_inference(network: Network, precision: str) -> Network:
    """Convert a network, in place, to its inference form, and return it; idempotent.

    Batch normalisation is folded into the preceding convolutions. For bfloat16 autocast, weights are cast once instead
    of at every call, and ReLUs work on sign bits.
    """
    network.eval().requires_grad_(False)
    fold_batch_norm(network.backbone)
    if precision == "bfloat16":
        for name, module in list(network.named_modules()):
            if type(module) in _CASTABLE:
                module.bfloat16()
            elif type(module) is nn.ReLU and module.inplace:
                network.set_submodule(name, SignBitReLU())
    return network


class SignBitReLU(nn.Module):
    """ReLU in place, for networks that only predict; in bfloat16 on a CPU three times faster than torch's.

    A number is negative if its sign bit is set, that is if its bits, read as an integer, are: so 16-bit integers are
    clamped. The result is that of ReLU, but for a NaN with a sign bit, which becomes 0.
    """

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The values, of any shape, with 0 in place of negative ones."""
        if values.dtype is not torch.bfloat16 or values.device.type != "cpu":
            return torch.relu_(values)
        values.view(torch.int16).clamp_min_(0)
        return values


def build_optimizer(
    network: nn.Module, config: TrainConfig, state: dict[str, Any] | None = None
) -> torch.optim.Optimizer:
    """AdamW, or SGD with Nesterov momentum; no weight decay for one-dimensional parameters (biases and norms).

    One fused kernel updates all parameters. state is the `state_dict` of an earlier optimizer to go on from.
    """
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True, fused=True)
    else:
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    if state is not None:
        optimizer.load_state_dict(state)
    if config.optimizer == "sgd":
        _complete_momentum(optimizer)
    return optimizer


def _complete_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Give every parameter a momentum buffer; zeros take the same first step as none, bit for bit.

    The fused kernel wants buffers of all parameters or of none, and after head epochs only the head would have them.
    """
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        if optimizer.state[parameter].get("momentum_buffer") is None:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def keep_freed_memory() -> None:
    """Make this process keep the memory it frees (glibc), so that the next step reuses it without page faults.

    By default, malloc returns blocks of this size to the system, and new ones cost a page fault per 4 KiB.
    """
    with suppress(OSError, AttributeError):  # another C library
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def return_freed_memory() -> None:
    """Return what this process has freed and kept to the system (glibc), so that its memory can be measured."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def has_bfloat16_instructions() -> bool:
    """Whether this machine's CPU has bfloat16 instructions; without them, bfloat16 is emulated and slow."""
    if platform.machine() in ("x86_64", "AMD64"):  # where oneDNN takes every AVX-512 for enough
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def bfloat16_gain(config: TeacherConfig, num_classes: int, image_size: int) -> float | None:
    """Speed-up of a teacher's labelling by bfloat16 over float32 here, measured on random weights in a second.

    Returns None if the CPU has no bfloat16 instructions, or the network is too large for so short a measurement.
    """
    num_images = min(_MOST_IMAGES, _MEASURED_FLOPS // forward_flops(config, num_classes, image_size))
    if num_images == 0 or not has_bfloat16_instructions():
        return None
    plain = config.untrained
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
