"""How long a student takes an image, alone and in a batch of 64; imports torch only when measuring.

A latency is {"form", "device", "threads", "ms_1", "ms_64", "torch", "measured_at"}: milliseconds an image of a form, at
batch 1 and at batch 64, on a stated device. A form is what the time depends on: the network without its weights, its
number of classes, and the size of the images. `kd_core.store.records.Store` keeps one file for each form and device.
"""

from __future__ import annotations

import platform
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from kd_core.config.identity import digest
from kd_core.config.model_source import folder_of, model_identity
from kd_core.config.networks import ARCHITECTURE, StudentConfig

if TYPE_CHECKING:
    import torch

BATCH_SIZES = (1, 64)
NUM_THREADS = 1  # on a CPU
_WARM_UP_S, _TIMED_S, _FEWEST_CALLS = 0.1, 0.4, 3  # for each batch size

Latency = dict[str, Any]


def form_of(student: Mapping[str, Any], num_classes: int, image_size: int) -> dict[str, Any]:
    """The form of a student, given as the JSON of its StudentConfig, on images of so many pixels a side."""
    network = {name: student[name] for name in ARCHITECTURE if name != "dropout"}  # which changes no latency
    form = {"student": network, "num_classes": num_classes, "image_size": image_size}
    with suppress(OSError):  # a folder that is gone cannot be measured either
        return form | ({"content": model_identity(student["model"])} if folder_of(student["model"]) else {})
    return form


def measure_latency(form: Mapping[str, Any]) -> Latency:
    """Measure a form on the GPU if there is one, else on one thread of the CPU, in about a second.

    It is measured in float32, as it would be deployed (`kd_core.networks.execution.for_inference`): the median of
    repeated calls, after some that are not counted. Raises ModelError if timm cannot build the network.
    """
    import torch

    from kd_core.networks.execution import for_inference
    from kd_core.networks.models import build_student

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with torch.random.fork_rng(devices=[]), _threads(NUM_THREADS):
        student = StudentConfig.model_validate(form["student"])
        network = for_inference(build_student(student, form["num_classes"]), "float32").to(device)
        with torch.inference_mode():
            seconds = {size: _call_s(network, _images(size, form["image_size"], device)) for size in BATCH_SIZES}
    return {
        "form": dict(form),
        "device": device_name(),
        "threads": NUM_THREADS,
        **{f"ms_{size}": 1000 * seconds[size] / size for size in BATCH_SIZES},
        "torch": str(torch.__version__),
        "measured_at": time.time(),
    }


def device_name() -> str:
    """The device on which this process measures: the name of the GPU, or of the CPU with its number of threads."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{processor_name()}, {NUM_THREADS} thread"


def processor_name() -> str:
    """The name of this machine's CPU."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except FileNotFoundError:  # no Linux
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def comparable(latencies: Iterable[Latency], forms: Iterable[Mapping[str, Any]]) -> dict[str, Latency]:
    """The latencies of forms, by the forms' digests, all on one device: the one that measured most of them, or last."""
    wanted = {digest(form) for form in forms}
    known = [latency for latency in latencies if digest(latency["form"]) in wanted]
    counts = Counter(latency["device"] for latency in known)
    newest = {latency["device"]: latency for latency in sorted(known, key=lambda each: each["measured_at"])}
    device = max(counts, key=lambda each: (counts[each], newest[each]["measured_at"]), default=None)
    return {digest(latency["form"]): latency for latency in known if latency["device"] == device}


def unmeasured(latencies: Iterable[Latency], forms: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The different forms that are to be measured here, so that one device has measured all; often none."""
    latencies, wanted = list(latencies), {digest(form): dict(form) for form in forms}
    if comparable(latencies, wanted.values()).keys() == wanted.keys():
        return []
    here = device_name()
    done = {digest(latency["form"]) for latency in latencies if latency["device"] == here}
    return [form for key, form in wanted.items() if key not in done]


@contextmanager
def _threads(number: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _images(batch_size: int, image_size: int, device: torch.device) -> torch.Tensor:
    """Images [B, 3, H, W] in channels-last format."""
    import torch

    return torch.rand(batch_size, image_size, image_size, 3, device=device).permute(0, 3, 1, 2)


def _call_s(network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> float:
    """The median time of a call, in seconds."""
    _timed(network, images, _WARM_UP_S, 1)
    return median(_timed(network, images, _TIMED_S, _FEWEST_CALLS))


def _timed(
    network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, duration_s: float, fewest: int
) -> list[float]:
    """The times of repeated calls in seconds, for a while and at least so often."""
    times: list[float] = []
    while sum(times) < duration_s or len(times) < fewest:
        _synchronize(images)
        started = time.perf_counter()
        network(images)
        _synchronize(images)
        times.append(time.perf_counter() - started)
    return times


def _synchronize(images: torch.Tensor) -> None:
    import torch

    if images.is_cuda:
        torch.cuda.synchronize(images.device)
