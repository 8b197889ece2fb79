"""MLflow as a view: nested, by epoch, idempotent, and unable to stop a sweep; with a real store and a real server."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import pytest
from mlflow import MlflowClient

from analysis.pareto import front_of
from analysis.report import write_report
from analysis.runs import runs_of, runs_of_experiment
from kd_core.data.dataset import load
from kd_core.latency import form_of
from kd_core.spec.config import TrialConfig
from kd_core.spec.keys import trial_key
from kd_core.store.files import read_json, write_json
from kd_core.store.records import Store
from kd_core.trial import run_trial
from sweeps.spec.arms import trials_of
from sweeps.spec.reader import read_spec, to_yaml
from sweeps.tracking import BackgroundSync, embedded_uri, is_synced, sync


def config_in(record):
    """The config of a trial that was begun; config.json holds the number of its threads beside it."""
    return TrialConfig.model_validate({key: value for key, value in record.config().items() if key != "threads"})


def store_of(spec, root, unfinished=()):
    """A store with the trials of a sweep without teachers, trained but for those labelled in unfinished, which failed.

    Returns the store and the content of trials.json.
    """
    store, dataset, members = Store.at(root), load(spec.data), []
    for trial in trials_of(spec):
        key = trial_key(trial.config, dataset.fingerprint)
        members.append({"key": key, "label": trial.label, "arm": trial.arm, "teacher": None, "seed": trial.config.seed})
        if trial.label in unfinished:
            store.trial(key).begin(trial.config.model_dump(mode="json"))
            store.trial(key).fail("NonFiniteLossError: the loss is nan", "Traceback …")
        else:
            list(run_trial(trial.config, dataset, store.trial(key)))
    content = {"sweep": "tiny", "objectives": dict(spec.objectives), "teachers": [], "trials": members}
    store.sweep("tiny").write(to_yaml(spec), content)
    return store, content


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
    list(run_trial(config_in(record), dataset, record))
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
    list(run_trial(config_in(record), dataset, record))
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
    assert not background.finish()
    assert len(warnings) == 2
    assert "the sweep goes on" in warnings[0]
    assert "kdsweep sync tiny" in warnings[1]


@pytest.fixture(scope="module")
def several(tiny, tmp_path_factory):
    """A store of five arms by two seeds, one trial of which failed, and one arm of which lacks an objective."""
    rates = "{method: [classic, mixup], train.learning_rate: [0.002, 0.01]}"
    spec = read_spec(str(tiny), [f"arms=[{rates}, {{method: classic, train.epochs: 3}}]", "seeds=[0, 1]"])
    root = tmp_path_factory.mktemp("several")
    store, content = store_of(spec, root, unfinished=["mixup train.learning_rate=0.01 seed 0"])
    for trial in content["trials"][-2:]:
        path = store.trial(trial["key"]).path / "result.json"
        verdict = read_json(path)
        del verdict["metrics"]["validation/ece"]
        write_json(path, verdict)
        (store.trial(trial["key"]).path / "journal.jsonl").unlink()
    return root


@pytest.fixture
def judged(several, tmp_path):
    """A copy of that store, with its report, shown in MLflow."""
    shutil.copytree(several, tmp_path / "runs")
    store = Store.at(tmp_path / "runs")
    write_report(store, "tiny")
    sync(store, "tiny", embedded_uri(store))
    return store


def fronts(store):
    """The front by the store and by MLflow, which front.json confirms, and the plausible arms by the last two."""
    runs = runs_of(store, "tiny"), runs_of_experiment(embedded_uri(store), "tiny")
    content = read_json(store.sweep("tiny").report / "front.json")
    told = [front_of(each).members[["arm", "trials", "validation/ece", "test/nll"]].to_dict("records") for each in runs]
    filed = [{"arm": row["arm"], "trials": row["trials"]} for row in content["raw"]["front"]]
    assert [{"arm": row["arm"], "trials": row["trials"]} for row in told[0]] == filed
    plausible = runs[1].loc[runs[1]["plausible"], "arm"].drop_duplicates().tolist()
    return told, (plausible, [row["arm"] for row in content["arms"] if row["plausible"]])


def test_the_front_is_the_same_from_the_store_from_mlflow_and_from_its_file(judged):
    (store, mlflow), (shown, filed) = fronts(judged)
    assert store == mlflow
    assert shown == filed
    assert "classic train.epochs=3" not in {row["arm"] for row in store} | set(shown)
    best = store[0]["arm"]
    sweep = judged.sweep("tiny")
    content = sweep.members()
    kept = [trial for trial in reversed(content["trials"]) if trial["arm"] != best]
    sweep.write("", content | {"trials": kept})  # another spec of the same name
    write_report(judged, "tiny")
    sync(judged, "tiny", embedded_uri(judged))
    (store, mlflow), (shown, filed) = fronts(judged)
    assert store == mlflow
    assert shown == filed
    assert best not in {row["arm"] for row in mlflow}
    sweep.write("", content)
    write_report(judged, "tiny")
    sync(judged, "tiny", embedded_uri(judged))
    assert fronts(judged)[0][1][0]["arm"] == best


def test_every_run_shows_what_the_report_says_of_its_arm(judged):
    rows = read_json(judged.sweep("tiny").report / "front.json")["arms"]
    _, _, view = view_of(embedded_uri(judged))
    labels = {trial["key"]: trial["label"] for trial in judged.sweep("tiny").members()["trials"]}
    for row in rows:
        for trial in row["trials"]:
            _, _, tags, metrics = view[labels[trial]]
            values = {name: value for name, _, _, value in metrics}
            assert values["front_probability"] == row["front_probability"]
            assert [values["test/ece_low"], values["test/ece_high"]] == row["ece_interval"]
            assert [values["test/accuracy_low"], values["test/accuracy_high"]] == row["accuracy_interval"]
            assert [values["test/ece_scaled_low"], values["test/ece_scaled_high"]] == row["ece_scaled_interval"]
            assert tags["on_front"] == ("true" if row["on_front"] else "false")
            assert tags["plausible"] == ("true" if row["plausible"] else "false")
    _, _, tags, metrics = view["mixup train.learning_rate=0.01 seed 0"]  # it failed
    assert (tags["on_front"], tags["plausible"]) == ("false", "false")
    assert "front_probability" not in {name for name, *_ in metrics}


def test_a_run_that_has_ended_follows_the_report_and_nothing_else_changes(judged):
    uri, path = embedded_uri(judged), judged.sweep("tiny").report / "front.json"
    before = view_of(uri)[2]
    sync(judged, "tiny", uri)
    assert view_of(uri)[2] == before
    content = read_json(path)
    row = max(content["arms"], key=lambda each: each["front_probability"])
    row |= {"front_probability": 0.001, "plausible": False, "on_front": False}
    write_json(path, content)
    sync(judged, "tiny", uri)
    runs = runs_of_experiment(uri, "tiny").set_index("trial")
    assert (runs.loc[row["trials"], "front_probability"] == 0.001).all()
    assert not runs.loc[row["trials"], "plausible"].any()
    after, members = view_of(uri)[2], judged.sweep("tiny").members()["trials"]
    untouched = [trial["label"] for trial in members if trial["key"] not in row["trials"]]
    assert {label: after[label] for label in untouched} == {label: before[label] for label in untouched}


def test_a_latency_is_shown_once_it_is_measured(judged):
    uri, sweep = embedded_uri(judged), judged.sweep("tiny")
    assert runs_of_experiment(uri, "tiny")["latency_ms_1"].isna().all()
    data = {"num_classes": 10, "image_size": 8}
    sweep.write("", sweep.members() | {"data": data})
    form = form_of(judged.trial(sweep.members()["trials"][0]["key"]).config()["student"], **data)
    judged.keep_latency({"form": form, "device": "abacus", "ms_1": 3.0, "ms_64": 0.25, "measured_at": 1.0})
    sync(judged, "tiny", uri)
    shown, columns = runs_of_experiment(uri, "tiny"), ["trial", "latency_ms_1", "latency_ms_64", "latency_device"]
    pd.testing.assert_frame_equal(shown[columns], runs_of(judged, "tiny")[columns])
    assert set(shown["latency_device"]) == {"abacus", ""}


def test_a_database_that_a_kill_left_half_made_is_not_in_the_way(store):
    orphan = store.local / f".mlflow.db.{'0' * 8}-1-{'0' * 32}.tmp"
    orphan.write_text("half of a database")
    os.utime(orphan, (0, 0))
    sync(store, "tiny", embedded_uri(store))
    assert not orphan.exists()
    assert len(MlflowClient(embedded_uri(store)).search_experiments()) >= 1
    assert not list(store.local.glob(".mlflow.db.*"))
