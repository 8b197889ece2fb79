"""Memory or disk that runs out, and storages that cannot be written: a failed trial or one sentence, no traceback."""

import os
import subprocess
import sys

import pytest

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from tests.products import members_of

MOUNTING = ["unshare", "--mount", "--propagation=unchanged"]  # in a name space
MOUNTING += [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
ALONE = "mount --make-rprivate / 2>/dev/null; "  # which the root of a chroot is not to be asked
FULL = "mount -t tmpfs -o size=40k tmpfs $0"  # a teacher's weights take more
READ_ONLY = "mount --bind $0 $0 && mount -o remount,bind,ro $0"


def run_mounted(tiny, folder, mount):
    """The sentence with which a sweep ends whose storage lies in a folder mounted so, and what it said before."""
    command = [sys.executable, "-m", "sweeps", "run", str(tiny), f"--storage={folder / 'runs'}"]
    command += ["--set=arms=[{method: kd, teacher: resnet, temperature: 2}]"]
    mounted = [*MOUNTING, "sh", "-c", f'{ALONE}{mount} && exec "$@"', str(folder), *command]
    done = subprocess.run(mounted, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    *before, last = done.stderr.splitlines()
    assert last.startswith("kdsweep: ")
    assert str(folder / "runs") in last
    return last, before


@pytest.mark.system
def test_a_disk_that_is_full_costs_one_sentence_and_exit_code_2(tiny, tmp_path):
    problem = "No space left on device"
    last, before = run_mounted(tiny, tmp_path, FULL)
    assert f"{problem}; make room there, or name another --storage" in last
    told = [line.split(" ", 1)[1] for line in before if problem in line]
    failed = f"teacher resnet  OSError: [Errno 28] {problem}"
    assert {f"{failed.replace('  ', ': ')}; trying again", f"failed  {failed}"} <= set(told)  # and a trial may fail


def test_a_disk_that_is_read_only_costs_one_sentence_and_exit_code_2(tiny, store, tmp_path):
    last, _ = run_mounted(tiny, tmp_path, READ_ONLY)
    assert "Read-only file system; see that it can be read and written, or name another --storage" in last


@pytest.mark.parametrize("command", [["run", "quickstart"], ["plan", "quickstart"], ["signal", "prune"], ["ui"]])
@pytest.mark.parametrize("where", ["", "inside"])
def test_a_storage_that_is_a_file_is_said_to_be_one(kdsweep, tmp_path, command, where):
    (tmp_path / "runs").write_text("no folder")
    done = kdsweep(*command, "--storage", tmp_path / "runs" / where)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"kdsweep: --storage: {tmp_path / 'runs' / where}: ")
    assert "is a file; name a folder or another URL" in done.stderr


@pytest.fixture(scope="module")
def starved(tiny, tmp_path_factory):
    """The tiny sweep, run where every worker takes more memory than Ray lets it; its store and what it printed.

    One of its trials has failed before.
    """
    spec, store = read_spec(str(tiny)), Store.at(tmp_path_factory.mktemp("starved"))
    plan_sweep(spec, store, summarize(spec.data)).trials[0].product.fail("ValueError: an old reason", "")
    command = [sys.executable, "-m", "sweeps", "run", str(tiny), f"--storage={store.root}"]
    limits = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "50", "COLUMNS": "200"}
    done = subprocess.run(command, env=os.environ | limits, capture_output=True, text=True, check=False)
    return store, done


@pytest.mark.system
def test_workers_that_always_run_out_of_memory_fail_after_the_limit_and_say_so(starved):
    _, done = starved
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    reason = "out of memory: its worker was ended; with more cores a trial (resources.cpu), fewer run at a time"
    for label in ("teacher resnet", "classic seed 0"):
        assert done.stderr.count(f"{label}: {reason}; trying again") == 1
        assert done.stderr.count(f"failed  {label}  {reason}") == 1


@pytest.mark.system
def test_a_sweep_with_failures_ends_with_a_table_of_them(starved):
    _, done = starved
    lines = done.stderr.splitlines()
    table = lines[next(index for index, line in enumerate(lines) if line.split() == ["failed", "reason"]) + 1 :]
    assert [line.split("  ")[0] for line in table] == [
        "teacher resnet",
        "kd_mixup resnet T=2 seed 0",
        "kd_mixup resnet T=sigma seed 0",
        "classic seed 0",
    ]
    assert table[1].rstrip().endswith("its teacher, resnet, failed")


@pytest.mark.system
def test_the_reason_of_an_earlier_failure_is_not_shown_for_a_new_one(starved, kdsweep):
    store, _ = starved
    assert "an old reason" not in kdsweep("status", "tiny", "--storage", store.root).stderr
    trial = next(each for each in members_of(store.sweep("tiny"))["trials"] if each["label"] == "classic seed 0")
    assert store.trial(trial["key"]).state().failure.error.startswith("out of memory: ")
