"""The Ray cluster of a sweep: workers are warmed up before their tasks start."""

import os
import sys

import pytest
import ray

from sweeps.engine.cluster import warm_up
from sweeps.engine.worker import task_of
from sweeps.spec.sweep_config import ResourcesConfig


def ready() -> tuple[int, bool]:
    """The id of this process, and whether it has imported what a teacher's fine-tuning needs."""
    return os.getpid(), "sweeps.engine.worker" in sys.modules


@pytest.mark.usefixtures("ray_cluster")
def test_the_tasks_that_come_find_a_worker_that_has_imported_what_they_need():
    resources = ResourcesConfig(cpu=2)  # the whole cluster, so that there is one worker at a time
    warm_up(1, resources)
    task = task_of(ready, resources, max_retries=0)
    assert ray.get(task.remote())[1]
