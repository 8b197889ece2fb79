"""Ray's side of a sweep: workers that die, and what is left of Ray afterwards."""

import io
import os
import signal
import subprocess
import sys
import time

import pytest

from kd_core.data import load, summarize
from kd_core.records import Store
from kd_core.trial import run_trial
from sweeps.engine import trial_resources
from sweeps.plan import plan_sweep
from sweeps.progress import SweepProgress
from sweeps.spec import read_spec
from sweeps.sweep_config import ResourcesConfig


def training_workers(driver):
    """The processes in which the Ray of one driver trains trials: its descendants, whatever else runs here."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines() if len(line.split(None, 2)) == 3]
    family = {str(driver.pid)}
    for _ in range(3):  # driver → raylet → worker
        family |= {pid for pid, parent, _ in processes if parent in family}
    return [
        int(pid)
        for pid, _, command in processes
        if pid in family and command.startswith("ray::") and ".train" in command
    ]


def test_a_killed_worker_costs_its_trial_a_retry_and_not_the_sweep(tiny, tmp_path):
    store = Store.at(tmp_path / "runs")
    overrides = ["--set=arms=[{method: [classic, mixup]}]", "--set=train.epochs=40"]
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), *overrides, f"--storage={store.root}"]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(len(path.read_text().splitlines()) > 3 for path in store.local.glob("trials/*/journal.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(training_workers(driver)[0], signal.SIGKILL)
    _, log = driver.communicate(timeout=180)
    assert driver.returncode == 0, log
    assert "2 finished, 0 stopped, 0 failed" in log
    assert not training_workers(driver)


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_that_cannot_be_measured_costs_a_line_and_not_the_sweep(tiny, tmp_path):
    spec = read_spec(str(tiny), ["resources={auto: true, workers: 1}", "arms.0={method: kd, teacher: resnet}"])
    store, dataset, log = Store.at(tmp_path / "runs"), load(spec.data), io.StringIO()
    (teacher,) = plan_sweep(spec, store, summarize(spec.data)).teachers
    list(run_trial(teacher.finetuning, dataset, teacher.record))
    teacher.record.weights.unlink()
    with SweepProgress(log) as progress:
        resources = trial_resources(plan_sweep(spec, store, summarize(spec.data)), dataset, store, progress)
    assert resources == ResourcesConfig(cpu=1, gpu=0, workers=1)
    assert "resources: no trial could be measured: " in log.getvalue()
    assert "holds no finished teacher; run the sweep again to make it; each has cpu 1, gpu 0" in log.getvalue()
