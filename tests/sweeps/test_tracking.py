"""MLflow as a view: nested, by epoch, idempotent, and unable to stop a sweep; with a real store and a real server."""

import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from mlflow import MlflowClient

from analysis.report import write_report
from kd_core.data.dataset import load
from kd_core.spec.config import TrialConfig
from kd_core.spec.keys import trial_key
from kd_core.store.records import Store
from kd_core.trial import run_trial
from sweeps.spec.arms import trials_of
from sweeps.spec.reader import read_spec, to_yaml
from sweeps.tracking import BackgroundSync, embedded_uri, is_synced, sync


@pytest.fixture
def trained(tiny, tmp_path):
    """A store with a sweep of two classic trials, the second of which has trained one epoch."""
    store = Store.at(tmp_path / "runs")
    spec = read_spec(str(tiny), ["arms=[{method: [classic, mixup]}]"])
    dataset, members = load(spec.data), []
    for trial in trials_of(spec):
        key = trial_key(trial.config, dataset.fingerprint)
        members.append({"key": key, "label": trial.label, "arm": trial.arm, "teacher": None, "seed": 0})
        epochs = run_trial(trial.config, dataset, store.trial(key))
        if trial.config.method == "mixup":
            next(epochs)
            epochs.close()
        else:
            list(epochs)
    content = {"sweep": "tiny", "objectives": dict(spec.objectives), "teachers": [], "trials": members}
    store.sweep("tiny").write(to_yaml(spec), content)
    write_report(store, "tiny")
    return store, dataset


def view_of(uri):
    """Everything MLflow shows of the sweep, without its own identifiers."""
    client = MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    view = {}
    for run in runs:
        metrics = {
            (name, point.step, point.timestamp, point.value)
            for name in run.data.metrics
            for point in client.get_metric_history(run.info.run_id, name)
        }
        view[run.info.run_name] = (run.info.status, run.data.params, run.data.tags, metrics)
    return client, runs, view


def test_a_sweep_is_one_parent_with_a_nested_child_a_trial(trained):
    store, _ = trained
    sync(store, "tiny", embedded_uri(store))
    client, runs, view = view_of(embedded_uri(store))
    parent = next(run for run in runs if run.info.run_name == "tiny")
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.info.run_name for run in children) == ["classic seed 0", "mixup seed 0"]
    status, params, tags, metrics = view["classic seed 0"]
    assert status == "FINISHED"
    assert params["student.model"] == "test_efficientnet"
    assert tags["kdsweep.arm"] == "classic"
    assert sorted(step for name, step, *_ in metrics if name == "validation/ece") == [1, 2]
    assert {"test/ece", "test/ece_scaled", "scaling_temperature"} <= {name for name, *_ in metrics}
    assert "report.html" in {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_syncing_again_changes_nothing_and_later_adds_only_what_is_new(trained):
    store, dataset = trained
    uri = embedded_uri(store)
    sync(store, "tiny", uri)
    before = view_of(uri)[2]
    sync(store, "tiny", uri)
    assert view_of(uri)[2] == before
    assert before["mixup seed 0"][0] == "RUNNING"
    trial = next(each for each in store.sweep("tiny").members()["trials"] if each["arm"] == "mixup")
    record = store.trial(trial["key"])
    list(run_trial(TrialConfig.model_validate(record.config()), dataset, record))
    sync(store, "tiny", uri)
    after = view_of(uri)[2]
    assert after["classic seed 0"] == before["classic seed 0"]
    assert after["mixup seed 0"][0] == "FINISHED"
    assert before["mixup seed 0"][3] < after["mixup seed 0"][3]
    assert after["tiny"][0] == "FINISHED"


def test_a_sweep_is_synced_until_its_records_its_report_the_place_or_the_database_change(trained, tmp_path):
    store, dataset = trained
    uri = embedded_uri(store)
    assert not is_synced(store, "tiny", uri)
    sync(store, "tiny", uri)
    assert is_synced(store, "tiny", uri)
    assert not is_synced(store, "tiny", f"sqlite:///{tmp_path / 'other.db'}")
    trial = next(each for each in store.sweep("tiny").members()["trials"] if each["arm"] == "mixup")
    record = store.trial(trial["key"])
    list(run_trial(TrialConfig.model_validate(record.config()), dataset, record))
    assert not is_synced(store, "tiny", uri)
    sync(store, "tiny", uri)
    write_report(store, "tiny")
    assert not is_synced(store, "tiny", uri)
    sync(store, "tiny", uri)
    assert is_synced(store, "tiny", uri)
    (store.local / "mlflow.db").unlink()
    assert not is_synced(store, "tiny", uri)


def test_a_deleted_experiment_comes_back_whole(trained):
    store, _ = trained
    uri = embedded_uri(store)
    sync(store, "tiny", uri)
    client, runs, before = view_of(uri)
    for run in runs:
        client.delete_run(run.info.run_id)
    client.delete_experiment(runs[0].info.experiment_id)
    sync(store, "tiny", uri)
    assert {name: view[3] for name, view in view_of(uri)[2].items()} == {name: view[3] for name, view in before.items()}


def start_server(folder):
    """A real MLflow server on a free loopback port: its URL and its process, or None where the port was taken since."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    artifacts = ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "mlflow", "server", *backend, *artifacts, "--workers", "1"]
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return url, process
        except OSError:
            time.sleep(0.2)
    return None


@pytest.fixture
def server(tmp_path):
    """A running MLflow server: its URL and its process."""
    started = next(filter(None, (start_server(tmp_path) for _ in range(3))), None)
    assert started, (tmp_path / "server.log").read_text()[-2000:]
    yield started
    started[1].terminate()
    started[1].wait()


def test_a_server_shows_what_the_embedded_store_shows_and_its_death_is_one_warning(trained, server):
    store, _ = trained
    url, process = server
    sync(store, "tiny", url)
    sync(store, "tiny", embedded_uri(store))
    shown, embedded = view_of(url)[2], view_of(embedded_uri(store))[2]
    assert {name: view[3] for name, view in shown.items()} == {name: view[3] for name, view in embedded.items()}
    process.terminate()
    process.wait()
    warnings = []
    background = BackgroundSync(store, "tiny", url, warnings.append)
    background.start()
    assert not background.finish()
    assert len(warnings) == 2
    assert "the sweep goes on" in warnings[0]
    assert "kdsweep sync tiny" in warnings[1]
