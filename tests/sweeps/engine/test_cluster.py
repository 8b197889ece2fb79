"""The Ray cluster of a sweep."""

import os
import signal
import subprocess
import sys

import psutil
import pytest


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
