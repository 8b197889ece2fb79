"""Ray's side of a sweep: workers that die, and what is left of Ray afterwards."""

import os
import signal
import subprocess
import sys
import time

from kd_core.records import Store


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
