"""Runs are found again, get only what is new, and the UI has a link to their sorted list; with a real MLflow store."""

import json
import shutil

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from kd_core.store.index import TrialEntry
from sweeps.tracking.runs import SweepRuns, page_of

ENTRY = TrialEntry(key="k", label="classic seed 0", arm="classic", teacher=None, seed=0)


@pytest.fixture
def uri(database, tmp_path):
    """The URI of an empty tracking store."""
    return f"sqlite:///{shutil.copy(database, tmp_path)}"


def test_runs_are_found_again_with_all_that_they_show(uri):
    client = MlflowClient(uri)
    runs = SweepRuns(client, "tiny", None)
    assert not runs.has_parent
    runs.create_parent(1.0)
    child = runs.create_child(ENTRY, 1.0)
    metrics = [Metric("loss", float(step), 1, step) for step in range(2000)]
    child.log({"tag": "a"}, {"alpha": "1"}, metrics)
    child.log({"tag": "b"}, {"alpha": "2", "seed": "0"})  # a param cannot change
    child.set_status("FINISHED", 3.0)
    again = SweepRuns(client, "tiny", None)
    assert again.parent.run_id == runs.parent.run_id
    assert again.children["k"].tags["tag"] == "b"
    assert again.children["k"].params == {"alpha": "1", "seed": "0"}
    assert len(client.get_metric_history(child.run_id, "loss")) == 2000
    run = client.get_run(child.run_id)
    assert (run.info.status, run.info.start_time, run.info.end_time) == ("FINISHED", 1000, 3000)
    assert run.data.tags["mlflow.parentRunId"] == runs.parent.run_id


def test_what_a_run_shows_is_not_sent_again(uri):
    client = MlflowClient(uri)
    runs = SweepRuns(client, "tiny", None)
    runs.create_parent(None)
    runs.parent.log({"tag": "a"}, {"alpha": "1"})
    runs.parent.client = None  # whoever sends now fails
    runs.parent.log({"tag": "a"}, {"alpha": "1"})
    runs.parent.set_status("RUNNING")


def test_the_page_of_a_sweep_is_its_sorted_list_of_training_runs(uri):
    runs = SweepRuns(MlflowClient(uri), "tiny", None)
    runs.choose_columns(["ece"], ["train.learning_rate"], has_rungs=True)
    experiment = MlflowClient(uri).get_experiment_by_name("tiny")
    page = page_of(uri, ["absent", "tiny"])
    assert page is not None
    assert page.startswith(f"/#/experiments/{experiment.experiment_id}/runs?")
    assert "workflowType=machine_learning" in page
    view = json.loads(experiment.tags["mlflow.sharedViewState.kdsweep"])
    assert (view["orderByKey"], view["orderByAsc"]) == ("tags.`standing`", True)
    wanted = {"metrics.`test/ece`", "metrics.`rung`", "params.`train.learning_rate`"}
    assert wanted <= set(view["selectedColumns"])
    assert page_of(uri, ["absent"]) is None
