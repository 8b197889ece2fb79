"""Whole sweeps on a real local Ray: they end, resume, extend, and survive failures and kills."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient

from kd_core.records import Store
from sweeps.mistakes import SpecError
from sweeps.progress import SweepProgress
from sweeps.run import run_sweep
from sweeps.spec import read_spec
from sweeps.tracking import embedded_uri


def sweep(tiny, store, *overrides, tracking=False):
    """Run the tiny sweep with overrides in a store; gives the outcome and the log."""
    log = io.StringIO()
    uri = embedded_uri(store) if tracking else None
    with SweepProgress(log) as progress:
        outcome = run_sweep(read_spec(str(tiny), overrides), store, progress, tracking_uri=uri)
    return outcome, log.getvalue()


def contents(store):
    """Every file of the store's products and when it was written."""
    files = [path for kind in ("teachers", "trials") for path in (store.local / kind).rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture
def store(tmp_path):
    """An empty store on disk."""
    return Store.at(tmp_path / "runs")


@pytest.mark.usefixtures("ray_cluster")
def test_a_sweep_ends_with_a_report_and_again_does_nothing(tiny, store):
    outcome, log = sweep(tiny, store)
    assert outcome.ok
    assert outcome.counts == {"finished": 3, "stopped": 0, "failed": 0, "reused": 0}
    assert "teacher resnet" in log
    assert outcome.report.path.read_text().count("kd_mixup")
    before = contents(store)
    again, log = sweep(tiny, store)
    assert again.counts["reused"] == 3
    assert "up to date" in log
    assert contents(store) == before
    assert not list(store.local.rglob("*.tmp"))
    assert {path.name for path in store.local.iterdir()} == {"teachers", "signals", "trials", "sweeps"}


@pytest.mark.usefixtures("ray_cluster")
def test_a_longer_list_of_arms_trains_only_what_is_new(tiny, store):
    sweep(tiny, store, "arms=[{method: classic}]")
    before = contents(store)
    outcome, _ = sweep(tiny, store, "arms=[{method: [classic, mixup]}]", "seeds=[0, 1]")
    assert outcome.counts == {"finished": 4, "stopped": 0, "failed": 0, "reused": 1}
    assert before.items() <= contents(store).items()


@pytest.mark.usefixtures("ray_cluster")
def test_a_failed_trial_takes_nothing_with_it(tiny, store):
    arms = "arms=[{method: classic, train.learning_rate: [1.0e+30, 0.001]}]"
    outcome, log = sweep(tiny, store, arms)
    assert not outcome.ok
    assert outcome.counts == {"finished": 1, "stopped": 0, "failed": 1, "reused": 0}
    assert "the loss is nan; lower the learning rate" in log
    assert "NonFiniteLossError" in outcome.report.path.read_text()


@pytest.mark.usefixtures("ray_cluster")
def test_a_failed_teacher_fails_its_trials_and_no_others(tiny, store):
    outcome, log = sweep(tiny, store, "teachers.resnet.finetune.learning_rate=1.0e+30")
    assert outcome.counts == {"finished": 1, "stopped": 0, "failed": 2, "reused": 0}
    assert "failed  teacher resnet  NonFiniteLossError" in log


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("override", ["resources.gpu=1", "resources.cpu=64"])
def test_resources_that_no_node_has_are_refused_at_once(tiny, store, override):
    with pytest.raises(SpecError, match=r"no node of the Ray cluster has more than"):
        sweep(tiny, store, override)


@pytest.mark.usefixtures("ray_cluster")
def test_results_do_not_depend_on_the_order_or_number_of_workers(tiny, tmp_path):
    weights = []
    for name, override in (("two", "resources.cpu=1"), ("one", "resources={cpu: 1.5}")):
        store = Store.at(tmp_path / name)
        sweep(tiny, store, override, "arms=[{method: [classic, mixup]}]")
        weights.append({path.parent.name: path.read_bytes() for path in store.local.rglob("student.safetensors")})
    assert weights[0] == weights[1]


@pytest.mark.usefixtures("ray_cluster")
def test_resources_auto_measures_a_trial_before_all_run_and_changes_no_number(tiny, tmp_path):
    results = []
    for override in ("resources=auto", "resources={cpu: 1}"):
        store = Store.at(tmp_path / override)
        outcome, log = sweep(tiny, store, override, "arms=[{method: classic}]")
        assert outcome.ok
        results.append({path.parent.name: path.read_bytes() for path in store.local.rglob("student.safetensors")})
        line = r"resources: a trial takes \d+ MiB of memory; \d at a time with a margin of 25 %: cpu 1, gpu 0"
        assert bool(re.search(line, log)) == (override == "resources=auto")
    assert results[0] == results[1]


def test_a_killed_sweep_goes_on_where_it_was_and_nothing_is_lost_or_doubled(tiny, tmp_path):
    """The driver and all its workers are killed while trials run; running again ends in the uninterrupted result."""
    overrides = ["arms=[{method: [classic, mixup]}]", "train.epochs=30", "resources.cpu=1"]
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), *(f"--set={each}" for each in overrides)]
    killed, whole = Store.at(tmp_path / "killed"), Store.at(tmp_path / "whole")
    driver = subprocess.Popen([*command, f"--storage={killed.root}"], stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 120
    while not any(len(path.read_text().splitlines()) > 3 for path in killed.local.glob("trials/*/journal.jsonl")):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    for store in (killed, whole):
        subprocess.run([*command, f"--storage={store.root}"], check=True, capture_output=True)
    trials = {path.parent.name: path.read_bytes() for path in whole.local.glob("trials/*/student.safetensors")}
    assert len(trials) == 2
    for key, weights in trials.items():
        record = killed.trial(key)
        assert record.weights.read_bytes() == weights
        assert [row["epoch"] for row in record.journal()] == list(range(1, 31))
    client = MlflowClient(embedded_uri(killed))
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert len(runs) == 3
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "train/loss")
        assert len(history) == (30 if "kdsweep.trial" in run.data.tags else 0)


def test_stdout_is_the_json_of_the_design_and_nothing_else(tiny, tmp_path):
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), f"--storage={tmp_path / 'runs'}", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert printed.keys() == {"sweep", "trials", "front", "report"}
    assert printed["trials"] == {"finished": 3, "stopped": 0, "failed": 0, "reused": 0}
    assert {"trial", "label", "accuracy", "ece"} <= printed["front"][0].keys()
    assert "kdsweep ui" in done.stderr
    assert "Traceback" not in done.stderr
