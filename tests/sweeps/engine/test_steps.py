"""The steps of a sweep on Ray, beside other processes."""

import io
import socket
import subprocess
import sys
import threading
import time

import pytest

from kd_core.data.survey import summarize
from kd_core.store.files import write_json
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from sweeps.run import run_sweep
from sweeps.terminal.progress import SweepProgress


def test_a_process_whose_clock_is_an_hour_ahead_holds_nobody_up(sweep, tiny, tmp_path):
    spec, store = read_spec(str(tiny), ["arms=[{method: classic}]"]), Store.at(tmp_path)
    (trial,) = plan_sweep(spec, store, summarize(spec.data)).trials
    write_json(trial.product.lease.path, {"time": time.time() + 3600, "host": "elsewhere", "pid": 1})
    outcome, log = sweep(store, "arms=[{method: classic}]")
    assert outcome.ok
    assert "waits for" not in log


HOLDER = """
import sys
from upath import UPath
from kd_core.store.lease import Lease
with Lease(UPath(sys.argv[1])).held():
    print(flush=True)
    input()
"""


@pytest.mark.usefixtures("ray_cluster")
def test_a_sweep_that_waits_for_another_process_says_for_whom_and_then_goes_on(tiny, tmp_path):
    """Another process is at its teacher, and another one at its first trial; each ends when it was named."""
    spec, store, log = read_spec(str(tiny), ["arms.1.temperature=2"]), Store.at(tmp_path), io.StringIO()
    plan = plan_sweep(spec, store, summarize(spec.data))
    holders = {}
    for label, record in (("teacher resnet", plan.teachers[0].product), ("classic seed 0", plan.trials[0].product)):
        command = [sys.executable, "-c", HOLDER, str(record.lease.path)]
        holders[label] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert holders[label].stdout.readline()

    def release():
        """Let each process end once the log has named it."""
        for label, holder in holders.items():
            while f"{label} waits for process {holder.pid} on {socket.gethostname()}, which has" not in log.getvalue():
                time.sleep(0.1)
            holder.communicate("\n")

    thread = threading.Thread(target=release, daemon=True)
    thread.start()
    with SweepProgress(log) as progress:
        outcome = run_sweep(spec, store, progress)
    thread.join()
    assert outcome.ok
    assert log.getvalue().count("waits for") == 2


ON_A_GPU = """
import sys
import ray
from sweeps.cli import main
import sweeps.engine.cluster
ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False, logging_level=40)
main(sys.argv[1:])
"""


@pytest.mark.system
def test_labels_that_need_a_whole_gpu_get_it_before_trials_that_only_fill_and_share_it(tiny, tmp_path):
    """Ray is told of a GPU that is not there, on which two trials fit, but no trial beside labels."""
    arms = "arms=[{method: kd_mixup, teacher: resnet, temperature: [2, sigma]}, {method: classic}]"
    edits = ("resources={cpu: 1, gpu: 0.5}", "seeds=[0, 1, 2, 3]", arms)
    command = [sys.executable, "-c", ON_A_GPU, "run", str(tiny), f"--storage={tmp_path}"]
    done = subprocess.run([*command, *(f"--set={edit}" for edit in edits)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    events = [line.split(" ", 1)[1] for line in done.stderr.splitlines() if " " in line]
    labelled = next(place for place, event in enumerate(events) if event.startswith("finished  signal"))
    started = [event for event in events[:labelled] if event.startswith("started  ")]
    assert set(started) < {f"started  classic seed {seed}" for seed in range(4)}
    assert "12 finished, 0 stopped, 0 failed" in done.stderr
