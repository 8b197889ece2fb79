"""Ray tasks that wait, fail and die, on a real local Ray."""

import io
from functools import partial

import pytest
import ray

from kd_core.store.lease import Holder
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.tasks import Task, reason_of, settled
from sweeps.engine.worker import task_of
from sweeps.terminal.progress import SweepProgress
from tests.sweeps.engine.work import work


@pytest.fixture
def submit(ray_cluster):
    """Starts `work` on Ray."""
    return task_of(work, ResourcesConfig()).remote


def settle(tasks, retries):
    """Settle tasks; returns them and the log."""
    log = io.StringIO()
    with SweepProgress(log) as progress:
        return list(settled(tasks, retries, progress, lambda: None)), log.getvalue()


@pytest.mark.parametrize("how", ["error", "death"])
@pytest.mark.parametrize(("retries", "attempts", "fails"), [(2, 3, False), (1, 2, True), (0, 1, True)])
def test_what_fails_is_tried_again_so_many_times_and_not_once_more(submit, tmp_path, how, retries, attempts, fails):
    (task,), log = settle([Task("it", partial(submit, tmp_path / "tally", 2, how))], retries)
    assert len((tmp_path / "tally").read_text()) == attempts
    assert log.count("trying again") == min(retries, 2)
    reason = {"error": "ValueError: not yet", "death": "its worker died, as one that runs out of memory does"}[how]
    assert (task.error is not None) == fails
    if fails:
        assert reason_of(task.error) == reason


def test_a_failing_task_takes_no_other_with_it(submit, tmp_path):
    tasks = [Task(str(fails), partial(submit, tmp_path / str(fails), fails, "error")) for fails in (9, 0)]
    settled_tasks, _ = settle(tasks, 0)
    assert {task.label: task.error is None for task in settled_tasks} == {"9": False, "0": True}


def test_a_task_waits_for_another_process_and_says_once_for_whom(submit, tmp_path):
    holders = iter([Holder("elsewhere", 7, 0.0)] * 2)
    (task,), log = settle([Task("it", partial(submit, tmp_path / "tally", 0, "error"), lambda: next(holders, None))], 0)
    assert task.error is None
    assert log.count("it waits for process 7 on elsewhere, which has worked on it since 19") == 1


def test_a_ray_that_ends_a_worker_for_want_of_memory_is_told_from_a_dead_one():
    error = ray.exceptions.OutOfMemoryError("1 worker(s) were killed due to the node running low on memory.")
    assert reason_of(error).startswith("out of memory: ")
