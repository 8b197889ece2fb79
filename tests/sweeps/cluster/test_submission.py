"""Sweeps as jobs of a real head with tokens, by the command line."""

import os
import shutil
import signal
import time
import zipfile
from pathlib import Path

from ray._private.runtime_env.packaging import create_package

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.cluster.submission import LEFT_OUT, package_folders
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep


def test_a_sweep_is_submitted_once_followed_stopped_resumed_and_ends_as_on_this_machine(
    guarded, kdsweep_there, tiny, tmp_path, tiny_store, students_of
):
    store = Store.at(tmp_path / "runs")
    place, spec = ["--address", guarded.address, "--storage", store.root], read_spec(str(tiny))
    *_, last = plan_sweep(spec, store, summarize(spec.data)).trials
    with last.product.lease.held():  # so that the sweep waits for it, and cannot end before it is stopped
        submitted = kdsweep_there("submit", tiny, *place)
        assert submitted.returncode == 0, submitted.stderr
        assert "submitted" in submitted.stderr
        again = kdsweep_there("submit", tiny, *place)
        assert again.stderr.splitlines()[0] == submitted.stderr.split(":")[0] + ": runs already"

        while not list(store.local.glob("teachers/*/journal.jsonl")):
            time.sleep(0.05)
        stopped = kdsweep_there("stop", "tiny", "--address", guarded.address)
        assert stopped.returncode == 0, stopped.stderr
        assert "stopped; submit its spec again to resume" in stopped.stderr
        assert not list(store.local.glob("sweeps/tiny/report/report.html"))
    nothing = kdsweep_there("stop", "tiny", "--address", guarded.address)
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)
    assert "no job of this sweep runs" in nothing.stderr

    followed = kdsweep_there("submit", tiny, *place, "--follow")
    assert followed.returncode == 0, followed.stderr
    assert followed.stderr.count("3 finished, 0 stopped, 0 failed") == 1
    assert followed.stderr.count("Running entrypoint") == 1  # not the log of the job that was stopped
    assert students_of(store) == students_of(tiny_store)

    status = kdsweep_there("status", "tiny", "--address", guarded.address)
    assert status.returncode == 0, status.stderr
    assert status.stderr.splitlines()[0] == submitted.stderr.split(":")[0] + f": SUCCEEDED, storage {store.root}"
    assert status.stderr.count(" finished ") == 5  # a teacher, its signal and three trials


def test_a_sweep_outlives_a_node_that_is_killed(guarded, kdsweep_there, tiny, tmp_path):
    """The worker node dies while it trains; its trials are tried again on the head."""
    store = Store.at(tmp_path / "runs")
    worker = guarded.start_worker(num_cpus=2)
    place = ["--address", guarded.address, "--storage", store.root]
    edits = ["--set", "train.epochs=60", "--set", "arms=[{method: [classic, mixup]}]", "--set", "teachers={}"]
    submitted = kdsweep_there("submit", tiny, *place, *edits)
    assert submitted.returncode == 0, submitted.stderr
    while not any(len(path.read_bytes().splitlines()) > 3 for path in store.local.glob("trials/*/journal.jsonl")):
        time.sleep(0.05)
    os.killpg(worker.pid, signal.SIGKILL)
    followed = kdsweep_there("submit", tiny, *place, *edits, "--follow")
    assert followed.returncode == 0, followed.stderr
    assert "2 finished, 0 stopped, 0 failed" in followed.stderr


def test_a_cluster_receives_our_code_with_what_it_reads_and_nothing_that_lies_beside_it(tmp_path):
    strays = ("notes.txt", ".env", "weights.safetensors")
    for folder in map(Path, package_folders()):
        shutil.copytree(folder, tmp_path / folder.name)
        for name in strays:
            (tmp_path / folder.name / name).touch()
        target = tmp_path / f"{folder.name}.zip"
        create_package(str(tmp_path / folder.name), target, False, include_parent_dir=True, excludes=LEFT_OUT)
    files = {name for path in tmp_path.glob("*.zip") for name in zipfile.ZipFile(path).namelist()}
    code = {"sweeps/__main__.py", "sweeps/specs/quickstart.yaml", "analysis/templates/report.html.j2"}
    assert code | {"kd_core/__init__.py", "analysis/paper_tables.json"} <= files
    assert not [name for name in files if name.endswith((*strays, ".pyc"))]
