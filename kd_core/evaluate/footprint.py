"""Measures the GPU and host memory of a training process; imports torch only when measuring."""

from __future__ import annotations

import multiprocessing
import re
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Footprint:
    """Memory of a training in bytes: on its GPU (0 without one), that GPU's total, and on its host."""

    gpu_bytes: int
    gpu_total_bytes: int
    host_bytes: int


def footprint(device: torch.device | str) -> Footprint:
    """Measure the memory that this process takes.

    On a GPU, that is all memory in use on it, including CUDA's context and other processes. On the host, it is the peak
    of this process's private memory, without files and the object store, plus that of its workers.
    """
    import torch

    free, total = torch.cuda.mem_get_info(device) if torch.device(device).type == "cuda" else (0, 0)
    workers = (child.pid for child in multiprocessing.active_children())
    return Footprint(total - free, total, _peak_bytes() + sum(_private_bytes(pid) for pid in workers if pid))


def forget_peak() -> None:
    """Reset the host memory peak to the current memory of this process (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def largest(footprints: Sequence[Footprint]) -> Footprint:
    """The largest value of each kind of memory, and the smallest GPU."""
    return Footprint(
        max(each.gpu_bytes for each in footprints),
        min(each.gpu_total_bytes for each in footprints),
        max(each.host_bytes for each in footprints),
    )


def _peak_bytes() -> int:
    """The peak of this process's private memory; without /proc, shared memory is included."""
    with suppress(FileNotFoundError):  # psutil knows no peak
        peak = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
        return int(peak[0]) * 1024 - psutil.Process().memory_info().shared
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _private_bytes(pid: int) -> int:
    """The memory that a process shares with no other, such as the one it was forked from; 0 if it has ended."""
    with suppress(psutil.NoSuchProcess):
        memory = psutil.Process(pid).memory_full_info()
        return memory.uss + getattr(memory, "swap", 0)
    return 0
