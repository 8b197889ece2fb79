"""Chooses the resources of trials by the memory of their first steps."""

from collections.abc import Sequence

import ray
from ray.exceptions import RayError

from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset
from kd_core.evaluate.footprint import Footprint
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.cluster import nodes_of_cluster, whole_resources
from sweeps.engine.packing import form_of, packed, packing_line, resources_text
from sweeps.engine.tasks import reason_of
from sweeps.engine.worker import measure_trial, task_of
from sweeps.plan.plan import Plan
from sweeps.terminal.progress import SweepProgress


def trial_resources(plan: Plan, dataset: Dataset, progress: SweepProgress) -> ResourcesConfig:
    """The resources of a trial: those of the spec, or with auto, such that as many run as fit in memory.

    If memory cannot be measured, this logs the error and returns the resources of a teacher.
    """
    nodes, resources = nodes_of_cluster(), whole_resources(plan.spec.resources)
    pending = [each for each in plan.all_trials if not each.done]
    if not plan.spec.resources.auto or not pending:
        return resources
    forms: dict[str, tuple[TrialConfig, list[bool]]] = {}
    for each in pending:
        stored = [signal is not None and signal.stored for signal in each.signals]
        forms.setdefault(form_of(each.trial.config, stored), (each.trial.config, stored))
    try:
        footprints = _measured(list(forms.values()), resources, plan.threads["trial"], dataset)
    except RayError as error:
        progress.note(
            f"resources: no trial could be measured: {reason_of(error)}; each has {resources_text(resources)}"
        )
        return resources
    chosen = packed(footprints, nodes, len(pending), resources.workers)
    progress.note(packing_line(footprints, nodes, chosen))
    return chosen


def _measured(
    trials: Sequence[tuple[TrialConfig, Sequence[bool]]], resources: ResourcesConfig, threads: int, dataset: Dataset
) -> list[Footprint]:
    """The memory of each trial on each GPU model, measured one after another; raises RayError."""
    shared, taken = ray.put(dataset), resources.model_dump() | {"threads": threads}
    task = task_of(measure_trial, resources)
    tasks = [task.options(resources=model) for model in _gpu_models()]
    return [ray.get(task.remote(*trial, shared, taken)) for trial in trials for task in tasks]


def _gpu_models() -> list[dict[str, float]]:
    """Ray resources that select a node, for each GPU model of the cluster; one empty dict without GPUs."""
    having = [node["Resources"] for node in ray.nodes() if node["Alive"] and {"CPU", "GPU"} <= node["Resources"].keys()]
    models = {name for resources in having for name in resources if name.startswith("accelerator_type:")}
    return [{name: 0.001} for name in sorted(models)] or [{}]
