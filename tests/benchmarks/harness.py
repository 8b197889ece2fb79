"""What several benchmarks need: a Ray cluster of a given size, a timed sweep, threads, work by turns, MLflow."""

import io
import logging
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import ray
import torch

import sweeps.engine.cluster  # noqa: F401 - sets what Ray reads when it starts
from kd_core.store.records import Store
from sweeps.config.sweep import SweepSpec
from sweeps.run import run_sweep
from sweeps.terminal.progress import SweepProgress
from sweeps.tracking.server import check_answers

Turn = Callable[[], None]
_PAUSE_S = 1.0


@contextmanager
def ray_cluster(num_cpus: int) -> Iterator[None]:
    """A Ray cluster on this machine for as long as the block runs; its start is part of no figure."""
    ray.init("local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def timed_sweep(spec: SweepSpec, storage: Path) -> float:
    """Wall seconds of a whole sweep, of which every trial must finish."""
    with SweepProgress(io.StringIO()) as progress:
        started = time.perf_counter()
        outcome = run_sweep(spec, Store.at(storage), progress)
        wall_s = time.perf_counter() - started
    assert outcome.counts["failed"] == outcome.counts["reused"] == 0, f"{spec.name}: {outcome.counts}"
    return wall_s


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use so many threads of this process for as long as the block runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds_by_turns(contenders: Mapping[str, Callable[[], Turn]], num_repetitions: int) -> dict[str, list[float]]:
    """Seconds of every turn of each contender, which `prepare()` gives in a process and on a thread of its own.

    They take turns, in another order each round, so that a machine whose speed drifts treats all alike, with a pause
    before each turn, in which the prefetching workers of the one before come to rest. The first two turns of each warm
    up and are left out.
    """
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    for name, prepare in contenders.items():
        pipes[name], theirs = context.Pipe()
        context.Process(target=_take_turns, args=(prepare, theirs), daemon=False).start()
    rounds = []
    for number in range(num_repetitions + 2):
        order = [*pipes, *pipes][number % len(pipes) :][: len(pipes)]
        rounds.append({name: _seconds_of_a_turn(pipes[name]) for name in order})
    for pipe in pipes.values():
        pipe.send(False)
    return {name: [each[name] for each in rounds[2:]] for name in contenders}


def median_ratio(seconds: Sequence[float], reference: Sequence[float]) -> float:
    """The median, over rounds of turns, of one contender's seconds over another's in the same round."""
    return statistics.median(each / other for each, other in zip(seconds, reference, strict=True))


def _seconds_of_a_turn(pipe: Connection) -> float:
    time.sleep(_PAUSE_S)
    pipe.send(True)
    return pipe.recv()


def _take_turns(prepare: Callable[[], Turn], pipe: Connection) -> None:
    torch.set_num_threads(1)
    turn = prepare()
    while pipe.recv():
        started = time.perf_counter()
        turn()
        pipe.send(time.perf_counter() - started)


WITHOUT_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else an MLflow server starts ten processes for nothing


class MlflowServer:
    """A real MLflow server on this machine, on one port, which may be killed and started again."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start the server; it answers some seconds later."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}", "--workers", "1"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env=os.environ | WITHOUT_JOBS, start_new_session=True
            )

    def wait(self) -> None:
        """Wait until the server answers."""
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with suppress(OSError):
                return check_answers(self.uri)
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill the server with its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
