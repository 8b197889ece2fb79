"""What several benchmarks need: a Ray cluster of a given size, a timed sweep, a number of threads."""

import io
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
import torch

import sweeps.engine.cluster  # noqa: F401 - sets what Ray reads when it starts
from kd_core.store.records import Store
from sweeps.run import run_sweep
from sweeps.spec.sweep_config import SweepSpec
from sweeps.terminal.progress import SweepProgress


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
