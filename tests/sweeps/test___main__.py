"""Signals to a real sweep at every stage: the exit code, the sentence, soon, and neither process nor scratch left."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kd_core.data.dataset import load
from kd_core.data.survey import summarize
from kd_core.store.records import Store
from kd_core.training.trial import run_trial
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep

SOON_S = 15.0
ENDLESS = "train.epochs=50000"
STAGES = {  # what the store holds when it is reached, and the settings that keep a sweep there for long
    "import": (None, []),
    "teacher": ("teachers/*/journal.jsonl", ["teachers.resnet.finetune.epochs=50000"]),
    "labelling": ("signals/*/epoch-*.lease", ["signal=stored", "train.epochs=3000"]),
    "trial": ("trials/*/journal.jsonl", ["arms=[{method: mixup}]", ENDLESS]),
}
CASES = {  # each stage is ended by one signal, and each signal is sent
    "import": signal.SIGINT,
    "teacher": signal.SIGTERM,
    "labelling": signal.SIGHUP,
    "trial": signal.SIGTERM,  # to the whole process group, as Slurm and a terminal do
}


@pytest.fixture
def temporary():
    """A temporary folder of its own for a sweep; its path is short, as Ray's sockets need, and marks its processes."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="kd") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def taught(tiny, tmp_path_factory):
    """A store in which the teacher of the tiny sweep is finished."""
    spec, store = read_spec(str(tiny)), Store.at(tmp_path_factory.mktemp("taught"))
    (teacher,) = plan_sweep(spec, store, summarize(spec.data)).teachers
    list(run_trial(teacher.finetuning, load(spec.data), teacher.product))
    return store.local


def processes_with(temporary):
    """The living processes that were started with this temporary folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"TMPDIR={temporary}\0".encode() in (process / "environ").read_bytes():  # empty once it has ended
                found.append((process / "cmdline").read_text())
    return found


def is_importing(pid):
    """Whether a process has loaded the first of the libraries of the command line."""
    return "pydantic_core" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.system
@pytest.mark.parametrize(("stage", "number"), CASES.items(), ids=lambda case: getattr(case, "name", case))
def test_a_signal_ends_a_sweep_in_order(tiny, taught, tmp_path, temporary, wait_until, stage, number):
    reached, edits = STAGES[stage]
    storage = shutil.copytree(taught, tmp_path / "runs") if stage == "labelling" else tmp_path / "runs"
    arguments = ["run", str(tiny), "--storage", str(storage), *(f"--set={edit}" for edit in edits)]
    with subprocess.Popen(
        [sys.executable, "-m", "sweeps", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
        start_new_session=True,
    ) as driver:
        wait_until(lambda: list(storage.glob(reached)) if reached else is_importing(driver.pid), driver)
        sent = time.monotonic()
        if stage == "trial":
            os.killpg(driver.pid, number)
        else:
            driver.send_signal(number)
        _, said = driver.communicate(timeout=SOON_S)
    assert time.monotonic() - sent < SOON_S
    assert driver.returncode == 128 + number, said
    *before, sentence = said.splitlines()
    told, command = sentence.split(" To resume: ")
    assert (told, shlex.split(command)) == ("stopped; nothing is lost.", ["kdsweep", *arguments])
    assert not any("Traceback" in line or "Error" in line for line in before)
    assert processes_with(temporary) == []
    assert list(temporary.glob("kdsweep-*")) == []
