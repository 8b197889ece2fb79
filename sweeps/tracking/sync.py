"""Shows the records in MLflow, one parent run per sweep and one child per trial, without affecting a sweep.

Everything here reads records and writes MLflow, and can be repeated: runs are found by their tags, and metrics have the
timestamps of the records, so a replay changes nothing.
"""

import fcntl
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from upath import UPath

from analysis.report import INPUTS, inputs_of, report_problems
from analysis.snapshot import Snapshot, read_sweep
from kd_core.config.errors import SpecError
from kd_core.config.identity import digest
from kd_core.store.files import clear_orphans, read_json, write_json, writing
from kd_core.store.lease import Lease
from kd_core.store.records import Store
from sweeps.tracking.server import Patience, TimedClient, check_answers, refusal_of, without_password

if TYPE_CHECKING:
    from sweeps.tracking.view import SweepView

os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # a request for each run that ends
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

SYNC_INTERVAL_S = 5.0
_LEASE_INTERVAL_S = 0.2
_FIRST_SYNC_S = 1.0  # a run that ends before syncs once
_VIEW_VERSION = 4  # increment when equal records are shown in another way


def embedded_uri(store: Store) -> str | None:
    """The URI of the tracking store inside a local storage, or None if the storage is remote."""
    return f"sqlite:///{store.local / 'mlflow.db'}" if store.local is not None else None


def tracking_uri_of(store: Store, given: str | None) -> str:
    """The URI of --tracking-uri, or of the tracking store in a local storage; raises SpecError if there is neither."""
    uri = given or embedded_uri(store)
    if uri is None:
        raise SpecError(f"--tracking-uri: missing; {store.root} is remote and holds no tracking store of its own")
    return uri


def sync(store: Store, name: str, tracking_uri: str) -> int:
    """Update MLflow with the records of a sweep; returns the number of its trials.

    Raises MLflow's errors, TimeoutError or ConnectionError for a server that does not answer, and FileNotFoundError for
    a sweep that never ran.
    """
    return Syncing(store, name, tracking_uri).update(judged=True)


def is_synced(snapshot: Snapshot, tracking_uri: str) -> bool:
    """Whether MLflow has the current records of a sweep, according to the last sync; contacts no server."""
    store = snapshot.store
    if tracking_uri == embedded_uri(store) and not (store.root / "mlflow.db").exists():
        return False
    return read_json(_marker(snapshot)) == {"shown": _state(snapshot, tracking_uri)}


class Syncing:
    """Brings MLflow up to date with the records of one sweep, as often as asked; what has not changed costs little."""

    def __init__(self, store: Store, name: str, tracking_uri: str) -> None:
        self._store, self._name, self._uri = store, name, tracking_uri
        self._id = uuid.uuid4().hex
        self._view: SweepView | None = None
        self.patience = Patience(tracking_uri)

    def update(self, judged: bool) -> int:
        """Show the records, and with judged also what the report says of every trial; returns the number of trials."""
        with self.patience.waiting():
            check_answers(self._uri)
        with self._alone() as was_last:
            view = self._view if was_last else None
            self._view = None  # unless all goes well, the next time begins with what MLflow has
            snapshot = read_sweep(self._store, self._name, view.ended if view else None)
            state = _state(snapshot, self._uri) if judged else ""
            view = view or self._current_view()
            view.show(snapshot, judged)
            self._view = view
        if judged:
            write_json(_marker(snapshot), {"shown": state})
        return len(snapshot.trials)

    def _current_view(self) -> "SweepView":
        """The runs that MLflow has of the sweep."""
        from mlflow import MlflowClient

        from sweeps.tracking.view import SweepView

        local, location = self._store.local, None
        if local is not None and self._uri == embedded_uri(self._store):
            with self.patience.waiting():
                _create_database(local / "mlflow.db")
            location = (local / "mlartifacts" / self._name).as_uri()
        return SweepView(TimedClient(MlflowClient(self._uri), self.patience), self._store, self._name, location)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep two syncs from creating the same run twice; yields whether this one was the last, if that is known."""
        local = self._store.local
        if local is None:
            lease = Lease(self._store.sweep(self._name).path / "mlflow-lease.json")
            with self.patience.waiting():
                while not lease.take():
                    time.sleep(_LEASE_INTERVAL_S)
            with lease.held():
                yield False
            return
        local.mkdir(parents=True, exist_ok=True)
        with (local / ".mlflow.lock").open("a+") as lock:
            with self.patience.waiting():
                fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            last = lock.read()
            if last != self._id:
                lock.truncate(0)
                lock.write(self._id)
                lock.flush()
            yield last == self._id


class BackgroundSync:
    """Syncs a sweep every few seconds from a thread, from now on; a failing server causes one warning and no delay."""

    def __init__(self, store: Store, name: str, tracking_uri: str, warn: Callable[[str], None]) -> None:
        self._syncing = Syncing(store, name, tracking_uri)
        self._warn, self._name, self._uri = warn, name, without_password(tracking_uri)
        self._done = threading.Event()
        self._problem = self._warned = False
        self._thread = threading.Thread(target=self._run, name="mlflow-sync", daemon=True)
        self._thread.start()

    def finish(self) -> bool:
        """Sync once more, for as long as answers come promptly; returns whether MLflow is up to date."""
        self._done.set()
        while self._thread.is_alive() and not self._syncing.patience.is_exhausted:
            self._thread.join(0.1)
        up_to_date = not self._thread.is_alive() and not self._problem
        if not up_to_date:
            self._warn_once("answers too slowly")
        return up_to_date

    def _warn_once(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            self._warn(f"MLflow at {self._uri} {problem}; the sweep goes on. Later: kdsweep sync {self._name}")

    def _run(self) -> None:
        last = self._done.wait(_FIRST_SYNC_S)
        while True:
            try:
                self._syncing.update(judged=last)
                self._problem = False
            except Exception as error:
                self._problem = True
                self._warn_once(refusal_of(error) or f"does not answer ({type(error).__name__})")
            if last:
                return
            last = self._done.wait(SYNC_INTERVAL_S)


def _marker(snapshot: Snapshot) -> UPath:
    return snapshot.sweep.path / "mlflow.json"


def _state(snapshot: Snapshot, tracking_uri: str) -> str:
    """A digest of all that MLflow shows of a sweep and of its URI, which may hold a password and is not stored."""
    sweep = snapshot.sweep
    attached = None if report_problems(snapshot.store, sweep.name) else read_json(sweep.report / INPUTS)
    return digest([_VIEW_VERSION, tracking_uri, inputs_of(snapshot), attached])


def _create_database(path: Path) -> None:
    """Let MLflow create its database under another name: a kill in between would leave one that it cannot use."""
    from mlflow import MlflowClient

    clear_orphans(path.parent)
    if not path.exists():
        with writing(path) as temporary:
            MlflowClient(f"sqlite:///{temporary}").search_experiments()
