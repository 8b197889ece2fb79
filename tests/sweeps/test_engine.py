"""Ray's side of a sweep: workers that die, and what is left of Ray afterwards."""

import os
import signal
import subprocess
import sys
import time

from kd_core.records import Store


def training_workers():
    """The processes in which Ray trains trials on this machine."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "ray::" in line and ".train" in line]


def test_a_killed_worker_costs_its_trial_a_retry_and_not_the_sweep(tiny, tmp_path):
    store = Store.at(tmp_path / "runs")
    overrides = ["--set=arms=[{method: [classic, mixup]}]", "--set=train.epochs=40"]
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), *overrides, f"--storage={store.root}"]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not any(len(path.read_text().splitlines()) > 3 for path in store.local.glob("trials/*/journal.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(training_workers()[0], signal.SIGKILL)
    _, log = driver.communicate(timeout=180)
    assert driver.returncode == 0, log
    assert "2 finished, 0 stopped, 0 failed" in log
    assert not training_workers()
