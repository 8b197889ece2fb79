"""What one more concurrent trial takes of a machine's memory."""

import itertools
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from kd_core.store.records import Store
from tests.benchmarks.distillation import (
    CIFAR100,
    MISSING,
    TEACHER,
    finetune_teacher,
    store_with_teacher,
    sweep_spec,
    write_part,
)
from tests.benchmarks.harness import ray_cluster, timed_sweep

DISTILLED = {"method": "kd_mixup", "teacher": TEACHER}
INTERVAL_S = 0.1


def measure(num_concurrent: tuple[int, ...] = (1, 2, 3), num_train: int = 400, num_epochs: int = 4) -> dict[str, Any]:
    """MiB that each further concurrent kd_mixup trial adds, signal live and stored: of 1, 2 and 3 trials at a time, the
    sum of what each process has at its highest while it trains, its proportional set size (Pss)."""
    if not psutil.LINUX:
        return {"skipped": "no Linux, no Pss"}
    if not CIFAR100.is_dir():
        return MISSING
    peaks: dict[str, dict[int, float]] = {"live": {}, "stored": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_part(folder / "data", num_train, num_test=200)
        with ray_cluster(num_cpus=1):
            finetune_teacher(folder / "data", folder / "teacher")
        for signal, count in itertools.product(peaks, num_concurrent):
            storage = store_with_teacher(folder / "teacher", folder / f"{signal}-{count}")
            spec = sweep_spec(folder / "data", DISTILLED, count, num_epochs, signal)
            with ray_cluster(num_cpus=count), _highest_mib(storage) as by_process:
                timed_sweep(spec, storage)
            assert len(by_process) == count, f"{count} trials ran in the processes {list(by_process)}"
            peaks[signal][count] = sum(by_process.values())
    return _figures(peaks)


def _figures(peaks: dict[str, dict[int, float]]) -> dict[str, Any]:
    """The slope of each signal's peaks, their ratio, and the peaks themselves."""
    added = {signal: _slope(peaks_of_signal) for signal, peaks_of_signal in peaks.items()}
    return (
        {"live_over_stored": added["live"] / added["stored"]}
        | {f"{signal}_added_mib": mib for signal, mib in added.items()}
        | {f"{signal}_mib_{count}": mib for signal in peaks for count, mib in peaks[signal].items()}
    )


def _slope(peaks: dict[int, float]) -> float:
    """MiB a trial, from the fewest to the most trials."""
    fewest, most = min(peaks), max(peaks)
    return (peaks[most] - peaks[fewest]) / (most - fewest)


@contextmanager
def _highest_mib(storage: Path) -> Iterator[dict[int, float]]:
    """The highest MiB of each process that trains a trial of a store, looked at over and over while the block runs."""
    highest: dict[int, float] = {}
    done = threading.Event()

    def look() -> None:
        while not done.wait(INTERVAL_S):
            for pid in _training(storage):
                highest[pid] = max(highest.get(pid, 0.0), _pss_mib(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield highest
    finally:
        done.set()
        thread.join()


def _training(storage: Path) -> list[int]:
    """The processes that are at work on a store's trials, by their leases."""
    leases = [Store.at(storage).trial(path.name).lease.details() for path in (storage / "trials").glob("*")]
    return [lease["pid"] for lease in leases if lease]


def _pss_mib(pid: int) -> float:
    """The proportional set size of a process; nothing once it is gone."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).memory_full_info().pss / 2**20
    return 0.0
