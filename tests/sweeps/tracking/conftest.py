"""Trained sweeps without teachers, and a real MLflow server."""

import os
import shutil
import signal
import uuid

import pytest
from mlflow import MlflowClient

import sweeps.tracking.view  # noqa: F401 - takes seconds, which are no test's
from analysis.report import write_report
from analysis.snapshot import read_sweep
from kd_core.data.dataset import load
from kd_core.store.records import Store
from sweeps.config.reader import read_spec, to_yaml
from sweeps.tracking.sync import embedded_uri, sync
from tests.products import edit, forget_epochs, write_members
from tests.sweeps.tracking.support import Proxy, start_server, store_of


@pytest.fixture
def copied(database, tmp_path):
    """Copies a store to this test's folder, with an empty database of MLflow."""
    return lambda root: copy_of(root, database, tmp_path / "runs")


def copy_of(root, database, folder):
    """A copy of a store in a folder, with a copy of a database of MLflow."""
    shutil.copytree(root, folder)
    shutil.copy(database, folder / "mlflow.db")
    return Store.at(folder)


@pytest.fixture
def trained(tiny, once, copied):
    """A store with a sweep of two classic trials, the second of which has trained one epoch; and their data."""
    spec = read_spec(str(tiny), ["arms=[{method: [classic, mixup]}]"])

    def make(folder):
        """Train them."""
        store, content = store_of(spec, folder, unfinished=["mixup seed 0"], epochs=1)
        write_members(store.sweep("tiny"), to_yaml(spec), content)
        write_report(read_sweep(store, "tiny"))

    return copied(once("trained", make)), load(spec.data)


@pytest.fixture(scope="session")
def one_server(database, tmp_path_factory):
    """A running MLflow server for the tests of a process: its URL."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(database, folder / "server.db")
    started = next(filter(None, (start_server(folder) for _ in range(3))), None)
    assert started, (folder / "server.log").read_text()[-2000:]
    url, process = started
    yield url
    os.killpg(process.pid, signal.SIGKILL)  # asked to end, it would wait for the requests of slow clients
    process.wait()


@pytest.fixture
def server(one_server):
    """The URL of the MLflow server, on which no experiment is named tiny."""
    yield one_server
    client = MlflowClient(one_server)
    if experiment := client.get_experiment_by_name("tiny"):
        client.rename_experiment(experiment.experiment_id, uuid.uuid4().hex)


@pytest.fixture
def proxy(server):
    """Stands before the server, and is gone when the test has ended, with all that is still on its way."""
    proxy = Proxy(server)
    yield proxy
    proxy.close()


@pytest.fixture(scope="session")
def several(tiny, once):
    """A store of five arms by two seeds, one trial of which failed, and one arm of which lacks an objective.

    It has its report; only to be read.
    """
    rates = "{method: [classic, mixup], train.learning_rate: [0.002, 0.01]}"
    spec = read_spec(str(tiny), [f"arms=[{rates}, {{method: classic, train.epochs: 3}}]", "seeds=[0, 1]"])

    def make(root):
        """Train them."""
        store, content = store_of(spec, root, unfinished=["mixup train.learning_rate=0.01 seed 0"])
        for trial in content["trials"][-2:]:
            product = store.trial(trial["key"])
            metrics = product.result().metrics
            del metrics["validation/ece"], metrics["validation/ece_scaled"]
            edit(product, result={"metrics": metrics})
            forget_epochs(product)
        write_report(read_sweep(store, "tiny"))

    return once("several", make)


@pytest.fixture(scope="session")
def shown(several, database, once):
    """A copy of that store, shown in MLflow; only to be read."""

    def make(folder):
        """Copy it, and show it."""
        sync(copy_of(several, database, folder / "runs"), "tiny", f"sqlite:///{folder / 'runs' / 'mlflow.db'}")

    return Store.at(once("shown", make) / "runs")


@pytest.fixture
def judged(several, copied):
    """A copy of that store, shown in MLflow, to be changed."""
    store = copied(several)
    sync(store, "tiny", embedded_uri(store))
    return store
