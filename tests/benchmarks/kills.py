"""A sweep whose driver, workers and tracking server are killed time and again, and whose files are damaged between."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from kd_core.store.product import Product
from kd_core.store.records import Store
from tests.benchmarks.harness import MlflowServer
from tests.products import members_of

NAME = "killed"
SPEC = f"""
name: {NAME}
data: {{source: digits, limit: 300, validation: 0.25, test: 0.4}}
view: {{padding: 1, flip: false}}
teachers:
  one: {{model: test_resnet, stem_stride: 1, image_size: 8, finetune: {{epochs: 16, batch_size: 32}}}}
  two: {{model: test_resnet, stem_stride: 1, image_size: 8, finetune: {{epochs: 12, batch_size: 16}}}}
student: {{model: test_efficientnet, stem_stride: 1, image_size: 8}}
train: {{batch_size: 32}}
arms:
  - {{method: [classic, mixup]}}
  - {{method: kd_mixup, teacher: [one, two], temperature: 2}}
signal: stored
resources: {{cpu: 1}}
retries: 100
"""
VICTIMS = ("driver", "worker", "server", "worker")  # as often as they are named here, in a random order
AT_WORK = (".train",)  # in the title of a worker that has something to lose
OF_THE_MACHINE = {"time", "epoch_s", "train/images_per_s"}  # figures that differ from run to run
MEAN_S = 0.7  # from the moment when some worker is at work to a kill
LEAVING_S = 120.0  # for Ray to notice that its driver has died, however busy the machine is
DAMAGES = ("cut", "emptied", "flipped", "deleted")
DAMAGED_AT_ONCE = 3


def measure(num_kills: int = 100, num_epochs: int = 120) -> dict[str, Any]:
    """How a sweep of two teachers and four students ends after 100 SIGKILLs of its driver, its workers and its tracking
    server, by a fixed seed, with three files damaged after each of its runs: kills by victim, damaged files, runs, and
    whatever then differs from the same sweep left alone, bit for bit, or is left behind."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="kd") as folder:
        tried = Ordeal(Path(folder), num_kills, num_epochs, seed=0)
        started = time.perf_counter()
        tried.leave_alone()
        differences = tried.undergo()
        return tried.figures() | {"differences": differences, "seconds": time.perf_counter() - started}


@dataclass
class Ordeal:
    """One sweep in a folder, whose path is short, as Ray's sockets need: left alone, and killed and damaged.

    edits are more overrides of its spec.
    """

    folder: Path
    num_kills: int
    num_epochs: int
    seed: int
    edits: tuple[str, ...] = ()
    killed: Counter[str] = field(default_factory=Counter)
    damaged: list[str] = field(default_factory=list)
    num_runs: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.victims = self.random.sample((VICTIMS * self.num_kills)[: self.num_kills], self.num_kills)
        self.spec, self.log, self.temporary = (self.folder / name for name in ("spec.yaml", "log", "t"))
        self.temporary.mkdir()
        self.spec.write_text(SPEC)
        self.whole, self.hurt = Store.at(self.folder / "whole"), Store.at(self.folder / "hurt")
        self.server = MlflowServer(self.folder / "mlflow")

    @property
    def overrides(self) -> list[str]:
        """The overrides of the sweep's spec."""
        return [f"train.epochs={self.num_epochs}", *self.edits]

    def leave_alone(self) -> None:
        """Run the sweep in peace."""
        self._run_to_its_end("run", self.whole)

    def undergo(self) -> list[str]:
        """Run the sweep with kills and damages until it has ended all the same.

        Returns what is not as in the sweep that was left alone, or was left behind; nothing if all is well.
        """
        self.server.start()
        try:
            while self.victims:
                self._run_and_kill()
                for _ in range(DAMAGED_AT_ONCE):
                    self._damage()
            self._run_to_its_end("verify", self.hurt)  # reads all, and puts aside what has its size and is damaged
            self._need_the_signals()
            self.server.wait()
            self._run_to_its_end("run", self.hurt)
            return self._differences()
        finally:
            self.server.kill()

    def _start(self, verb: str, store: Store) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "sweeps", verb, str(self.spec) if verb == "run" else NAME]
        command += ["--storage", str(store.root)]
        if verb == "run":
            command += [f"--set={each}" for each in self.overrides]
        if verb == "run" and store is self.hurt:
            command += ["--tracking-uri", self.server.uri]
        environment = os.environ | {"TMPDIR": str(self.temporary)}
        with self.log.open("wb") as log:
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def _run_to_its_end(self, verb: str, store: Store) -> None:
        exit_code = self._start(verb, store).wait()
        assert exit_code in {"run": [0], "verify": [0, 1]}[verb], self.log.read_text()

    def _run_and_kill(self) -> None:
        """Start the sweep, and kill one victim after another until it was the driver, or the sweep has ended."""
        self.num_runs += 1
        driver = self._start("run", self.hurt)
        while driver.poll() is None and self.victims:
            if self._workers():
                time.sleep(self.random.expovariate(1 / MEAN_S))
                self._kill(self.victims[-1], driver)
            time.sleep(0.05)
        assert driver.wait() in (0, -signal.SIGKILL), self.log.read_text()
        self._wait_for_end_of(self._workers)

    def _wait_for_end_of(self, processes: Callable[[], Collection[Any]]) -> None:
        """Wait for processes that notice that their driver has died; one that was just starting takes Ray's 60 s."""
        last = time.monotonic() + LEAVING_S
        while processes() and time.monotonic() < last:
            time.sleep(0.1)

    def _kill(self, victim: str, driver: subprocess.Popen[bytes]) -> None:
        """Kill a victim if it lives, and count it."""
        living = {"driver": [driver.pid], "worker": self._workers(), "server": [self.server.process.pid]}[victim]
        if driver.poll() is not None or not living:
            return
        with suppress(ProcessLookupError):  # it has ended just now
            os.kill(self.random.choice(living), signal.SIGKILL)
            self.killed[self.victims.pop()] += 1
        if victim == "server":
            self.server.kill()  # the rest of it
            self.server.start()

    def processes(self) -> dict[int, str]:
        """The living processes that were started with this temporary folder, and their command lines."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"TMPDIR={self.temporary}\0".encode() in (process / "environ").read_bytes():  # empty once it ended
                    found[int(process.name)] = (process / "cmdline").read_text()
        return found

    def _workers(self) -> list[int]:
        return sorted(
            pid
            for pid, command in self.processes().items()
            if command.startswith("ray::") and any(each in command for each in AT_WORK)
        )

    def _damage(self) -> None:
        """Damage one file of a product, between two runs."""
        files = sorted(path for kind in ("teachers", "signals", "trials") for path in _files(self.hurt, kind))
        if files:
            path, how = self.random.choice(files), self.random.choice(DAMAGES)
            damage(path, how)
            self.damaged.append(f"{path.parent.parent.name}/{path.name} {how}")

    def _need_the_signals(self) -> None:
        """Delete the results of all trials, as a damaged signal is labelled again only while a trial needs it."""
        for trial in members_of(self.hurt.sweep(NAME))["trials"]:
            (self.hurt.trial(trial["key"]).path / "manifest.json").unlink(missing_ok=True)

    def figures(self) -> dict[str, Any]:
        """Kills by victim, damaged files, and runs of the command that were not left alone."""
        kills = {f"kills_{victim}": number for victim, number in sorted(self.killed.items())}
        return kills | {"damaged_files": len(self.damaged), "runs": self.num_runs}

    def _differences(self) -> list[str]:
        self._wait_for_end_of(self.processes)
        whole, hurt = _contents(self.whole), _contents(self.hurt)
        found = [name for name in sorted(whole.keys() | hurt.keys()) if whole.get(name) != hurt.get(name)]
        left = [path for name in ("*.tmp", "*.lease", "lease.json") for path in self.hurt.root.rglob(name)]
        found += [f"left: {path}" for path in [*left, *self.temporary.glob("kdsweep-*")]]
        found += [f"left: process {command}" for command in self.processes().values()]
        epochs = list(range(1, self.num_epochs + 1))
        trials = [(trial["key"], epochs) for trial in members_of(self.hurt.sweep(NAME))["trials"]]
        shown = _finished(self.server.uri)
        return found + ([] if shown == sorted([("", []), *trials]) else [f"in MLflow: {shown}"])


def _finished(uri: str) -> list[tuple[str, list[int]]]:
    """The trial of each finished run, "" for the sweep's own, and the epochs that it shows, in order."""
    client = MlflowClient(uri)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    shown = []
    for run in runs:
        points = client.get_metric_history(run.info.run_id, "train/loss")
        if run.info.status == "FINISHED":
            shown.append((run.data.tags.get("kdsweep.trial", ""), sorted({point.step for point in points})))
    return sorted(shown)


def damage(path: Path, how: str) -> None:
    """Delete a file, empty it, cut it, or flip one of its bits."""
    if how == "deleted":
        path.unlink()
        return
    content = bytearray(path.read_bytes() or b"x")
    middle = len(content) // 2
    if how == "flipped":
        content[middle] ^= 1
    path.write_bytes(content if how == "flipped" else content[: middle if how == "cut" else 0])


def _files(store: Store, kind: str) -> Iterator[Path]:
    """The files of the products of a kind that hold something; not leases, nor what was put aside."""
    assert store.local is not None
    for path in store.local.glob(f"{kind}/*/*"):
        if path.is_file() and path.suffix not in (".lease", ".damaged", ".tmp") and path.name != "lease.json":
            yield path


def _contents(store: Store) -> dict[str, Any]:
    """By name: weights, metrics, journal and predictions of every product, the logits of signals, and the front."""
    members = members_of(store.sweep(NAME))
    records = [store.teacher(each["key"]) for each in members["teachers"]]
    records += [store.trial(each["key"]) for each in members["trials"]]
    found: dict[str, Any] = {}
    for record in records:
        found |= {f"{record.path.parent.name}/{record.key}/{name}": value for name, value in _content(record).items()}
    for path in _files(store, "signals"):
        if path.suffix == ".npy":
            found[f"signals/{path.parent.name}/{path.name}"] = path.read_bytes()
    front = json.loads((store.sweep(NAME).report / "front.json").read_text())
    return found | {"front": [[row["label"], row["accuracy"], row["ece"]] for row in front["raw"]["front"]]}


def _content(record: Product) -> dict[str, Any]:
    state = record.state()
    journal = [{name: each for name, each in row.items() if name not in OF_THE_MACHINE} for row in state.epochs]
    predictions = {path.name: path.read_bytes() for path in sorted(record.path.glob("predictions-*.npz"))}
    weights = state.manifest.weights_sha256 if state.manifest else None
    return {"weights": weights, "metrics": state.result and state.result.metrics, "journal": journal, **predictions}
