"""What the process of a training takes of the memory of its machine; torch comes when it is asked."""

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

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Footprint:
    """Memory that a training takes, in bytes: on a GPU, 0 without one, of gpu_total_bytes there; and on its host."""

    gpu_bytes: int
    gpu_total_bytes: int
    host_bytes: int


def footprint(device: torch.device | str) -> Footprint:
    """What this process has taken by now.

    On a GPU that is all that is in use on the whole of it, CUDA's context and what others hold there included. On the
    host it is the peak of what is this process's own, files and the object store aside, and what its workers hold.
    """
    import torch

    free, total = torch.cuda.mem_get_info(device) if torch.device(device).type == "cuda" else (0, 0)
    workers = (child.pid for child in multiprocessing.active_children())
    return Footprint(total - free, total, _peak_bytes() + sum(_private_bytes(pid) for pid in workers if pid))


def forget_peak() -> None:
    """Let the peak on the host begin anew with what this process has now (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def largest(footprints: Sequence[Footprint]) -> Footprint:
    """The most that any of them takes, and the smallest GPU."""
    return Footprint(
        max(each.gpu_bytes for each in footprints),
        min(each.gpu_total_bytes for each in footprints),
        max(each.host_bytes for each in footprints),
    )


def _peak_bytes() -> int:
    """The most memory of its own that this process has had; where there is no /proc, shared memory counts too."""
    sizes = _sizes(Path("/proc/self/status"))
    if not sizes:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return sizes["VmHWM"] - sizes["RssFile"] - sizes["RssShmem"]


def _private_bytes(pid: int) -> int:
    """What a process shares with no other, such as a worker with the process it was forked from."""
    sizes = _sizes(Path(f"/proc/{pid}/smaps_rollup"))
    return sum(sizes.get(name, 0) for name in ("Private_Clean", "Private_Dirty", "Swap"))


def _sizes(path: Path) -> dict[str, int]:
    """The sizes in a file of /proc by name, in bytes; nothing where there is no such file."""
    try:
        lines = re.findall(r"^(\w+):\s+(\d+) kB$", path.read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {name: int(kib) * 1024 for name, kib in lines}
