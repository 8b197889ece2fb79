"""How many trials share a GPU, or the cores of a node without one, by the measured memory of their first steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kd_core.config.identity import canonical_json
from kd_core.config.trial import TrialConfig
from kd_core.evaluate.footprint import Footprint, largest
from kd_core.fields import size_text
from sweeps.config.sweep import ResourcesConfig

MARGIN = 1.25  # a trial gets this many times the memory of its first steps
MOST_A_GPU = 100  # Ray counts ten-thousandths of a GPU; up to this number, rounding adds no trial
_UNITS = 10_000
_RECIPE_FORM = {"batch_size", "optimizer", "precision", "compile", "deterministic"}


@dataclass(frozen=True)
class Node:
    """The resources of one machine of a cluster."""

    cpus: float
    gpus: float
    memory_bytes: float


def form_of(config: TrialConfig, stored: Sequence[bool]) -> str:
    """The settings that determine a trial's memory, as JSON: networks, batches, optimiser and kernels.

    stored says of each of its teachers whether the trial reads its logits, and does not load it.
    """
    student, loaded = (
        config.student,
        [each for each, is_stored in zip(config.teachers, stored, strict=True) if not is_stored],
    )
    return canonical_json(
        {
            "student": student.architecture,
            "teachers": [teacher.architecture for teacher in loaded],
            "train": config.train.model_dump(mode="json", include=_RECIPE_FORM),
            "view": config.view.model_dump(mode="json"),
            "stored": any(stored),
        }
    )


def whole(nodes: Sequence[Node], workers: int = 0) -> ResourcesConfig:
    """A GPU and its share of the cores of its node, or one core if no node has a GPU."""
    return _part_of_a_gpu(1, nodes, workers) if _gpu_nodes(nodes) else ResourcesConfig(workers=workers)


def num_at_once(nodes: Sequence[Node], resources: ResourcesConfig) -> int:
    """How many trials of these resources run at a time, at least one: a node may be on its way."""
    by_cpu = [node.cpus // resources.cpu for node in nodes]
    by_gpu = [node.gpus // resources.gpu if resources.gpu else math.inf for node in nodes]
    return max(1, int(sum(map(min, by_cpu, by_gpu))))


def has_room(nodes: Sequence[Node], taken: Sequence[ResourcesConfig]) -> bool:
    """Whether the cluster as a whole has the cores and GPUs for all of these at once."""
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    return sum(each.cpu for each in taken) <= cpus and sum(each.gpu for each in taken) <= gpus


def packed(
    footprints: Sequence[Footprint], nodes: Sequence[Node], num_trials: int, workers: int = 0
) -> ResourcesConfig:
    """The resources per trial such that as many as fit run at a time, with a margin of 25 % on their memory.

    As many trials share a GPU as fit its memory, its share of the host's memory and its cores (one for a trial and one
    for each of its workers); they are spread evenly over the GPUs, at least one and at most a hundred on each. Without
    GPUs, each trial gets one core. If this exceeds a node's memory, each gets more cores, so that fewer run.
    """
    need, resources = largest(footprints), ResourcesConfig(workers=workers)
    host_bytes = MARGIN * need.host_bytes
    if need.gpu_bytes:
        having = _gpu_nodes(nodes)
        rooms = (
            need.gpu_total_bytes // (MARGIN * need.gpu_bytes),
            min(node.memory_bytes / node.gpus for node in having) // host_bytes,
            _cores_of_a_gpu(nodes) // (1 + workers),
            -(-num_trials // sum(int(node.gpus) for node in having)),
            MOST_A_GPU,
        )
        resources = _part_of_a_gpu(max(1, int(min(rooms))), nodes, workers)
    return _within_memory(resources, nodes, host_bytes)


def num_at_a_time(resources: ResourcesConfig, nodes: Sequence[Node]) -> int:
    """The number of trials with these resources that fit the whole cluster."""
    return sum(_num_on(node, resources) for node in nodes)


def packing_line(footprints: Sequence[Footprint], nodes: Sequence[Node], resources: ResourcesConfig) -> str:
    """The log line with the measured memory and the chosen resources."""
    need = largest(footprints)
    gpu = f"{size_text(need.gpu_bytes)} of a GPU of {size_text(need.gpu_total_bytes)} and " if need.gpu_bytes else ""
    return (
        f"resources: a trial takes {gpu}{size_text(need.host_bytes)} of memory; {num_at_a_time(resources, nodes)} "
        f"at a time with a margin of {100 * (MARGIN - 1):g} %: {resources_text(resources)}"
    )


def resources_text(resources: ResourcesConfig) -> str:
    """Cores and GPUs in a few words."""
    return f"cpu {resources.cpu:g}, gpu {resources.gpu:g}"


def _part_of_a_gpu(num_trials: int, nodes: Sequence[Node], workers: int) -> ResourcesConfig:
    """The resources of each of num_trials on one GPU: whole cores, unless a GPU has less than one."""
    cores = _cores_of_a_gpu(nodes)
    cpu = max(cores // num_trials, min(1, cores))
    return ResourcesConfig(cpu=_rounded_down(cpu), gpu=_UNITS // num_trials / _UNITS, workers=workers)


def _within_memory(resources: ResourcesConfig, nodes: Sequence[Node], host_bytes: float) -> ResourcesConfig:
    """The resources, with more cores if needed to keep trials of host_bytes within every node's memory."""
    rooms = [(node, max(1, node.memory_bytes // host_bytes)) for node in nodes]
    fewer = [_rounded_down(node.cpus / room) for node, room in rooms if room < _num_on(node, resources)]
    return resources.model_copy(update={"cpu": max([resources.cpu, *fewer])})


def _gpu_nodes(nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node.gpus >= 1 and node.cpus > 0]


def _cores_of_a_gpu(nodes: Sequence[Node]) -> float:
    """The cores per GPU of the node that has the fewest."""
    return min(node.cpus / node.gpus for node in _gpu_nodes(nodes))


def _num_on(node: Node, resources: ResourcesConfig) -> int:
    by_cores = _units(node.cpus) // _units(resources.cpu)
    return min(by_cores, int(node.gpus) * (_UNITS // _units(resources.gpu))) if resources.gpu else by_cores


def _units(amount: float) -> int:
    """An amount in Ray's units, ten-thousandths."""
    return round(amount * _UNITS)


def _rounded_down(amount: float) -> float:
    return int(amount * _UNITS) / _UNITS
