"""`kdsweep evaluate` on a real Ray: once and again; its answers in MLflow and the report."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from mlflow import MlflowClient

from analysis.snapshot import read_sweep
from kd_core.store.evaluation import ARRAYS
from kd_core.store.records import Store
from sweeps.tracking.sync import embedded_uri

FEW = [f"--set=evaluate.{each}" for each in ("images=20", "pairs=10", "lambdas=3", "draws=1", "resamples=50")]


@pytest.fixture
def store(finished, tmp_path) -> Store:
    """A copy of the finished store."""
    shutil.copytree(finished.store.local, tmp_path / "runs")
    return Store.at(tmp_path / "runs")


@pytest.fixture
def evaluate(kdsweep, store, ray_cluster):
    """Runs the command in this process; returns what it printed."""

    def run(*options: str) -> tuple[dict, str]:
        done = kdsweep("evaluate", "tiny", "--storage", store.root, "--json", *FEW, *options)
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    return run


def test_a_sweep_is_evaluated_reported_and_shown_in_mlflow_and_a_second_time_costs_nothing(evaluate, store):
    content, said = evaluate("--all")
    assert content["answers"] == {"asked": 20, "reused": 0, "missing": 0}  # five evaluators, a teacher and three trials
    assert "20 of 20 evaluations finished, 0 of them before" in said
    assert "agreement" in said
    gains = {label for label, metrics in content["metrics"].items() if "linearity/gain" in metrics}
    assert gains == {"kd_mixup resnet T=2 seed 0", "kd_mixup resnet T=sigma seed 0"}
    assert '<section id="trust">' in (store.sweep("tiny").report / "report.html").read_text()
    client = MlflowClient(embedded_uri(store))
    experiment = client.get_experiment_by_name("tiny").experiment_id
    runs = client.search_runs([experiment], "metrics.`corruption/accuracy` >= 0")
    assert len(runs) == 3
    made = {path: path.stat().st_mtime_ns for path in store.local.rglob(ARRAYS)}
    again, _ = evaluate("--all")
    assert again["answers"] == {"asked": 20, "reused": 20, "missing": 0}
    assert again["metrics"] == content["metrics"]
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_killed_and_run_again_it_goes_on_and_repeats_nothing(evaluate, store, ray_cluster, wait_until):
    command = [sys.executable, "-m", "sweeps", "evaluate", "tiny", f"--storage={store.root}", *FEW, "--all"]
    command += [f"--address={ray_cluster}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as driver:
        wait_until(lambda: len(list((store.local / "outputs").glob("*/manifest.json"))) > 3, driver)
        os.killpg(driver.pid, signal.SIGKILL)
    made = {path: path.stat().st_mtime_ns for path in store.local.glob("outputs/*/manifest.json")}
    content, _ = evaluate("--all")
    assert content["answers"]["missing"] == 0
    assert len(made) < len(list(store.local.glob("outputs/*/manifest.json")))
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_one_evaluator_of_one_trial(evaluate, store):
    label = read_sweep(store, "tiny").trials[0].entry.label
    content, _ = evaluate("--only=linearity", "--trial", label)
    assert list(content["metrics"]) == [label]
    assert {name.split("/")[0] for name in content["metrics"][label]} == {"linearity"}


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--trial=nobody", "--trial: nobody: tiny has no such finished trial"),
        ("--only=beauty", "--only: beauty: no such evaluator; there are linearity"),
        ("--set=evaluate.classes=[cat]", "evaluate.classes: cat: the data have no such class"),
        ("--set=evaluate.ood={source: folder, path: /nowhere}", "evaluate.ood.path: /nowhere: no such folder"),
        ("--set=evaluate.corruptions=/nowhere", "evaluate.corruptions: /nowhere"),
    ],
)
def test_a_name_that_there_is_not_is_one_sentence(kdsweep, tiny_store, option, said):
    done = kdsweep("evaluate", "tiny", "--storage", tiny_store.root, option)
    assert done.exit_code == 2
    assert said in done.stderr


def test_images_of_other_classes_are_told_apart_if_they_are_given(evaluate, cifar100):
    source = f"{{source: parquet, path: {cifar100}, label_column: fine_label}}"
    content, said = evaluate("--only=ood", f"--set=evaluate.ood={source}", "--all")
    assert "AUROC" in said
    assert all(0 <= metrics["ood/auroc"] <= 1 for metrics in content["metrics"].values())
    assert len(content["metrics"]) == 4
