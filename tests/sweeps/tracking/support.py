"""Makes the records of a sweep, reads what MLflow shows of them, and runs servers that can be slow, silent or gone."""

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress

from mlflow import MlflowClient

from kd_core.config.identity import trial_key
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import load
from kd_core.data.survey import summarize
from kd_core.store.records import Store
from kd_core.store.writer import ProductWriter
from kd_core.training.trial import run_trial
from sweeps.config.arms import trials_of
from sweeps.config.reader import to_yaml
from tests.benchmarks.harness import WITHOUT_JOBS
from tests.products import write_members


def config_in(record):
    """The config of a trial that was begun."""
    return TrialConfig.model_validate(record.state().config)


def store_of(spec, root, unfinished=(), epochs=0):
    """A store with the trials of a sweep without teachers, trained but for those labelled in unfinished.

    These have trained some epochs, or failed if they have none. Returns the store and the content of index.json.
    """
    store, dataset, members = Store.at(root), load(spec.data), []
    for trial in trials_of(spec):
        key = trial_key(trial.config, dataset.fingerprint)
        members.append({"key": key, "label": trial.label, "arm": trial.arm, "teacher": None, "seed": trial.config.seed})
        training = run_trial(trial.config, dataset, store.trial(key))
        if trial.label not in unfinished:
            list(training)
        elif epochs:
            for _ in range(epochs):
                next(training)
            training.close()
        else:
            ProductWriter(store.trial(key), trial.config.model_dump(mode="json"))
            store.trial(key).fail("NonFiniteLossError: the loss is nan", "Traceback …")
    content = {"sweep": "tiny", "objectives": dict(spec.objectives), "teachers": [], "trials": members}
    content["data"] = dict(vars(summarize(spec.data)))
    write_members(store.sweep("tiny"), to_yaml(spec), content)
    return store, content


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


def start_server(folder):
    """A real MLflow server on a free loopback port: its URL and its process, or None where the port was taken since."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}"]
    artifacts = ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "mlflow", "server", *backend, *artifacts, "--workers", "1"]
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | WITHOUT_JOBS, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    while process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            return url, process
        except OSError:
            time.sleep(0.2)
    return None


class Proxy:
    """Stands before a server: passes everything on, answers late, or accepts connections and says nothing."""

    def __init__(self, url):
        self._server = int(url.rpartition(":")[2])
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.silent, self.delay_s = False, 0.0
        self._ends: list[socket.socket] = []
        self._start(self._accept)

    def close(self):
        """Break off all connections, and refuse others from now on."""
        for end in (self._socket, *self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _start(self, function, *arguments):
        threading.Thread(target=function, args=arguments, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            self._ends.append(connection)  # also of a silent server, which closes nothing
            if not self.silent:
                server = socket.create_connection(("127.0.0.1", self._server))
                self._ends.append(server)
                self._start(self._pump, connection, server, 0)
                self._start(self._pump, server, connection, 1)

    def _pump(self, source, sink, is_answer):
        with suppress(OSError):
            while content := source.recv(1 << 16):
                if self.silent:
                    return
                time.sleep(self.delay_s * is_answer)
                sink.sendall(content)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
