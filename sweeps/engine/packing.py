"""How many trials share a GPU, or the cores of a node without one, by what the first steps of each kind took."""

from collections.abc import Sequence
from dataclasses import dataclass

from kd_core.footprint import Footprint, largest
from kd_core.spec.config import TrialConfig
from kd_core.spec.keys import canonical_json
from sweeps.spec.sweep_config import ResourcesConfig
from sweeps.terminal.progress import size_text

MARGIN = 1.25  # a trial is given so many times the memory that its first steps took
MOST_A_GPU = 100  # Ray counts ten-thousandths of a GPU; up to here no further trial slips in by rounding
_UNITS = 10_000
_NETWORK_FORM = {"model", "bottleneck", "stem_stride", "image_size"}
_RECIPE_FORM = {"batch_size", "optimizer", "precision", "compile", "deterministic"}


@dataclass(frozen=True)
class Node:
    """What one machine of a cluster has for its tasks."""

    cpus: float
    gpus: float
    memory_bytes: float


def form_of(config: TrialConfig, stored: bool) -> str:
    """What of a trial decides how much memory it takes: its networks, batches, optimiser and kernels, as one text.

    stored says that its teacher's logits are, so that the teacher itself is not there.
    """
    student, teacher = config.student, None if stored else config.teacher
    return canonical_json(
        {
            "student": student.model_dump(mode="json", include=_NETWORK_FORM),
            "teacher": teacher and teacher.model_dump(mode="json", include=_NETWORK_FORM),
            "train": config.train.model_dump(mode="json", include=_RECIPE_FORM),
            "view": config.view.model_dump(mode="json"),
            "stored": stored,
        }
    )


def whole(nodes: Sequence[Node], workers: int = 0) -> ResourcesConfig:
    """A GPU and its share of the cores of its node, or one core where no node has a GPU."""
    return _part_of_a_gpu(1, nodes, workers) if _gpu_nodes(nodes) else ResourcesConfig(workers=workers)


def packed(
    footprints: Sequence[Footprint], nodes: Sequence[Node], num_trials: int, workers: int = 0
) -> ResourcesConfig:
    """What each of num_trials is given so that as many as fit run at a time, with a margin of 25 % on their memory.

    Trials on GPUs share them evenly: as many have one together as fit its memory, but no more than there are cores for
    (one for a trial and one for each of its workers), at least one and at most a hundred. Without GPUs each has one
    core. Where that many would not fit the memory of their node, each has more cores, so that fewer run.
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
    """How many trials with these resources the whole cluster holds."""
    return sum(_num_on(node, resources) for node in nodes)


def packing_line(footprints: Sequence[Footprint], nodes: Sequence[Node], resources: ResourcesConfig) -> str:
    """What was measured and what was chosen, for the log."""
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
    """What each of so many trials on one GPU has: whole cores, unless a GPU itself has less than one."""
    cores = _cores_of_a_gpu(nodes)
    cpu = max(cores // num_trials, min(1, cores))
    return ResourcesConfig(cpu=_rounded_down(cpu), gpu=_UNITS // num_trials / _UNITS, workers=workers)


def _within_memory(resources: ResourcesConfig, nodes: Sequence[Node], host_bytes: float) -> ResourcesConfig:
    """The same with as many more cores as it takes to keep trials of host_bytes within the memory of every node."""
    rooms = [(node, max(1, node.memory_bytes // host_bytes)) for node in nodes]
    fewer = [_rounded_down(node.cpus / room) for node, room in rooms if room < _num_on(node, resources)]
    return resources.model_copy(update={"cpu": max([resources.cpu, *fewer])})


def _gpu_nodes(nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node.gpus >= 1 and node.cpus > 0]


def _cores_of_a_gpu(nodes: Sequence[Node]) -> float:
    """The cores that each GPU has to itself on the node that has least of them."""
    return min(node.cpus / node.gpus for node in _gpu_nodes(nodes))


def _num_on(node: Node, resources: ResourcesConfig) -> int:
    by_cores = _units(node.cpus) // _units(resources.cpu)
    return min(by_cores, int(node.gpus) * (_UNITS // _units(resources.gpu))) if resources.gpu else by_cores


def _units(amount: float) -> int:
    """An amount as Ray counts it."""
    return round(amount * _UNITS)


def _rounded_down(amount: float) -> float:
    return int(amount * _UNITS) / _UNITS
