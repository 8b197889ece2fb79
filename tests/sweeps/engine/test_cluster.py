"""The Ray cluster of a sweep: workers are warmed up before their tasks start."""

import os
import signal
import subprocess
import sys

import psutil
import pytest
import ray

from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.cluster import warm_up
from sweeps.engine.worker import task_of


def ready() -> tuple[int, bool]:
    """The id of this process, and whether it has imported what a teacher's fine-tuning needs."""
    return os.getpid(), "sweeps.engine.worker" in sys.modules


@pytest.mark.usefixtures("both_cores")
def test_the_tasks_that_come_find_a_worker_that_has_imported_what_they_need():
    resources = ResourcesConfig(cpu=2)  # the whole cluster, so that there is one worker at a time
    warm_up(1, resources)
    task = task_of(ready, resources)
    assert ray.get(task.remote())[1]


def children_of(pid: int) -> dict[str, int]:
    """The ids of the processes that a process has started, by their names."""
    return {child.name(): child.pid for child in psutil.Process(pid).children()}


@pytest.mark.system
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_ray_that_dies_costs_one_sentence_and_exit_code_1(tiny, tmp_path, wait_until, name):
    arguments = ["run", str(tiny), f"--storage={tmp_path}", "--set=teachers.resnet.finetune.epochs=50000"]
    with subprocess.Popen(
        [sys.executable, "-m", "sweeps", *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as driver:
        wait_until((tmp_path / "sweeps" / "tiny" / "index.json").exists, driver)
        os.kill(children_of(driver.pid)[name], signal.SIGKILL)
        _, said = driver.communicate()
    assert driver.returncode == 1
    *before, empty, sentence = said.splitlines()
    resume = " ".join(["kdsweep", *arguments])
    assert (empty, sentence) == ("", f"kdsweep: Ray's {name} died; nothing is lost. To resume: {resume}")
    assert not [line for line in before if "Traceback" in line or "raylet" in line or "gcs" in line]
