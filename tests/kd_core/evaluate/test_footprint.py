"""The memory of a process, as counted by the kernel."""

import gc
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from kd_core.evaluate.footprint import Footprint, footprint, forget_peak, largest
from kd_core.networks.execution import return_freed_memory

MIB = 2**20
linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel counts no peak here")


def host_mib():
    """The host memory of this process in MiB."""
    return footprint("cpu").host_bytes / MIB


@pytest.fixture
def start_mib():
    """The host memory of this process in MiB, after resetting its peak."""
    gc.collect()
    return_freed_memory()  # which a process that has trained keeps
    forget_peak()
    return host_mib()


@linux
def test_what_was_taken_and_given_back_counts_until_the_peak_is_forgotten(start_mib):
    np.ones(300 * MIB, np.uint8)
    assert host_mib() - start_mib == pytest.approx(300, abs=30)
    return_freed_memory()
    forget_peak()
    assert host_mib() - start_mib == pytest.approx(0, abs=30)


@linux
def test_files_that_are_mapped_do_not_count(start_mib, tmp_path):
    np.save(tmp_path / "logits.npy", np.ones(100 * MIB, np.uint8))
    return_freed_memory()
    forget_peak()
    logits = np.load(tmp_path / "logits.npy", mmap_mode="r")
    assert int(logits.sum()) == 100 * MIB
    assert host_mib() - start_mib == pytest.approx(0, abs=30)


@linux
def test_a_forked_worker_counts_with_what_is_its_own():
    shared = np.ones(300 * MIB, np.uint8)
    before_mib = host_mib()
    fork = multiprocessing.get_context("fork")
    ready, done = fork.Event(), fork.Event()

    def work():
        own = np.ones(100 * MIB, np.uint8)
        ready.set()
        done.wait(60)
        assert len(own) < len(shared)

    worker = fork.Process(target=work)
    worker.start()
    assert ready.wait(60)
    assert host_mib() - before_mib == pytest.approx(100, abs=30)
    done.set()
    worker.join()


def test_without_a_gpu_none_of_it_is_taken():
    taken = footprint("cpu")
    assert (taken.gpu_bytes, taken.gpu_total_bytes) == (0, 0)
    assert taken.host_bytes > 50 * MIB


def test_the_largest_footprint_is_the_worst_of_each():
    assert largest([Footprint(3, 80, 5), Footprint(2, 40, 9)]) == Footprint(3, 40, 9)
