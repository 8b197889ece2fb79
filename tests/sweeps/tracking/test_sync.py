"""MLflow follows the records, and no server, dead, silent or slow, holds up a sweep; with real stores and servers."""

import os
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient

from analysis.report import update_report, write_report
from analysis.snapshot import read_sweep
from kd_core.store.records import Store
from kd_core.training.trial import run_trial
from sweeps.tracking.sync import BackgroundSync, embedded_uri, is_synced, sync
from tests.products import members_of
from tests.sweeps.tracking.support import Proxy, config_in, view_of


def test_a_sweep_is_synced_until_its_records_its_report_the_place_or_the_database_change(trained, tmp_path):
    store, dataset = trained
    uri = embedded_uri(store)
    assert not is_synced(read_sweep(store, "tiny"), uri)
    sync(store, "tiny", uri)
    assert is_synced(read_sweep(store, "tiny"), uri)
    assert not is_synced(read_sweep(store, "tiny"), f"sqlite:///{tmp_path / 'other.db'}")
    trial = next(each for each in members_of(store.sweep("tiny"))["trials"] if each["arm"] == "mixup")
    record = store.trial(trial["key"])
    list(run_trial(config_in(record), dataset, record))
    assert not is_synced(read_sweep(store, "tiny"), uri)
    sync(store, "tiny", uri)
    write_report(read_sweep(store, "tiny"))
    assert not is_synced(read_sweep(store, "tiny"), uri)
    sync(store, "tiny", uri)
    assert is_synced(read_sweep(store, "tiny"), uri)
    (store.local / "mlflow.db").unlink()
    assert not is_synced(read_sweep(store, "tiny"), uri)


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


def test_a_database_is_made_and_one_that_a_kill_left_half_made_is_not_in_the_way(store):
    orphan = store.local / f".mlflow.db.{'0' * 8}-1-{'0' * 32}.tmp"
    orphan.write_text("half of a database")
    os.utime(orphan, (0, 0))
    sync(store, "tiny", embedded_uri(store))
    assert not orphan.exists()
    assert len(MlflowClient(embedded_uri(store)).search_experiments()) >= 1
    assert not list(store.local.glob(".mlflow.db.*"))


def figures_of(uri):
    """Everything that MLflow shows of the sweep but what depends on the place."""
    return {name: (status, params, metrics) for name, (status, params, _, metrics) in view_of(uri)[2].items()}


def finish_mixup(store, dataset):
    """Train the second trial of the sweep to its end."""
    trial = next(each for each in members_of(store.sweep("tiny"))["trials"] if each["arm"] == "mixup")
    list(run_trial(config_in(store.trial(trial["key"])), dataset, store.trial(trial["key"])))


def test_a_prompt_server_follows_a_sweep_without_a_warning(trained, server):
    store, dataset = trained
    warnings = []
    background = BackgroundSync(store, "tiny", server, warnings.append)
    finish_mixup(store, dataset)
    assert background.finish()
    assert warnings == []
    assert is_synced(read_sweep(store, "tiny"), server)
    sync(store, "tiny", embedded_uri(store))
    assert figures_of(server) == figures_of(embedded_uri(store))


@pytest.mark.parametrize("trouble", ["dead before", "dead later", "silent", "silent later", "slow"])
def test_a_server_in_trouble_is_one_warning_and_is_brought_up_to_date_later(trained, server, proxy, trouble):
    (store, dataset), warnings = trained, []
    proxy.silent, proxy.delay_s = trouble == "silent", 5.0 * (trouble == "slow")
    if trouble == "dead before":
        proxy.close()
    background = BackgroundSync(store, "tiny", proxy.url, warnings.append)
    if "later" in trouble:
        deadline = time.monotonic() + 30
        while MlflowClient(server).get_experiment_by_name("tiny") is None and time.monotonic() < deadline:
            time.sleep(0.1)
        proxy.silent = True
        if trouble == "dead later":
            proxy.close()
    finish_mixup(store, dataset)
    began = time.monotonic()
    assert not background.finish()
    assert time.monotonic() - began < 6  # issue 12: at most 5 s
    (warning,) = warnings
    assert "kdsweep sync tiny" in warning
    proxy.close()  # nobody waits for an answer any more
    sync(store, "tiny", server)  # which is well
    sync(store, "tiny", embedded_uri(store))
    assert figures_of(server) == figures_of(embedded_uri(store))


def test_syncs_of_two_processes_create_each_run_once(trained):
    store, dataset = trained
    uri, warnings = embedded_uri(store), []
    background = BackgroundSync(store, "tiny", uri, warnings.append)
    sync(store, "tiny", uri)
    finish_mixup(store, dataset)
    assert background.finish()
    assert sorted(run.info.run_name for run in view_of(uri)[1]) == ["classic seed 0", "mixup seed 0", "tiny"]
    assert warnings == []


def test_syncs_of_an_object_store_create_each_run_once(trained, server, s3):
    store, _ = trained
    s3.fs.put(str(store.root), s3.path, recursive=True)  # as the folder runs
    there = Store.at(s3 / "runs")
    command = [sys.executable, "-m", "sweeps", "sync", "tiny", "--storage", str(there.root)]
    command += ["--tracking-uri", server]
    syncs = [subprocess.Popen(command) for _ in range(2)]
    assert [each.wait() for each in syncs] == [0, 0]
    assert sorted(run.info.run_name for run in view_of(server)[1]) == ["classic seed 0", "mixup seed 0", "tiny"]
    assert not (there.sweep("tiny").path / "mlflow-lease.json").exists()


@pytest.mark.system
def test_a_silent_server_costs_a_command_line_5_s_and_one_sentence(kdsweep, tiny, store):
    proxy = Proxy("http://127.0.0.1:9")
    proxy.silent = True
    update_report(read_sweep(store, "tiny"))
    options = ["--storage", store.root, "--tracking-uri"]
    walls_s = []
    for uri in (embedded_uri(store), embedded_uri(store), proxy.url):
        began = time.monotonic()
        done = kdsweep("run", tiny, *options, uri)
        assert done.exit_code == 0, done.stderr
        walls_s.append(time.monotonic() - began)
    told = [line for line in done.stderr.splitlines() if "MLflow at" in line]
    assert len(told) == 1
    assert "kdsweep sync tiny" in told[0]
    assert walls_s[2] < walls_s[1] + 5 + 2  # the first has to import and to create everything
    began = time.monotonic()
    synced = kdsweep("sync", "tiny", *options, proxy.url)
    assert (synced.exit_code, synced.stderr.count("\n")) == (1, 1)
    assert time.monotonic() - began < walls_s[1] + 5 + 2
    proxy.close()
