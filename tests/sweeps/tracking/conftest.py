"""Trained sweeps without teachers, and a real MLflow server."""

import os
import shutil
import signal

import pytest

from analysis.report import write_report
from kd_core.data.dataset import load
from kd_core.spec.keys import trial_key
from kd_core.store.files import read_json, write_json
from kd_core.store.records import Store
from kd_core.trial import run_trial
from sweeps.spec.arms import trials_of
from sweeps.spec.reader import read_spec, to_yaml
from sweeps.tracking.sync import embedded_uri, sync
from tests.sweeps.tracking.shown import start_server, store_of


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


@pytest.fixture
def server(tmp_path):
    """A running MLflow server: its URL and its process."""
    started = next(filter(None, (start_server(tmp_path) for _ in range(3))), None)
    assert started, (tmp_path / "server.log").read_text()[-2000:]
    yield started
    os.killpg(started[1].pid, signal.SIGKILL)  # asked to end, it would wait for the requests of slow clients
    started[1].wait()


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
