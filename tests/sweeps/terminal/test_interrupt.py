"""Signals to a real process: one sentence, the exit code of a shell, soon, and nothing left behind."""

import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

from sweeps.terminal.interrupt import SIGNALS

pytestmark = pytest.mark.system

SLEEP = "time.sleep(600)"
HANGING_THREAD = f"threading.Thread(target=lambda: {SLEEP}).start(); {SLEEP}"
SWALLOWED = f"""try:
        {SLEEP}
    except BaseException:
        {SLEEP}"""
HANGING_CLEANUP = f"""interrupt._PATIENCE_S = 0.2
    with interrupt.cleaning_up(lambda: {SLEEP}):
        {SLEEP}"""
PROGRAM = """
import subprocess, sys, threading, time
from sweeps.terminal import interrupt
with interrupt.leaving_at_signals():
    print("ready", flush=True)
    {work}
"""
FAMILY = """
import signal, subprocess, sys, time
from pathlib import Path
from sweeps.terminal import interrupt
SHELL = "trap '' TERM HUP INT; sleep 600 & echo $!; wait"
folder = Path(sys.argv[1])
with interrupt.leaving_at_signals(), interrupt.cleaning_up(folder.rmdir):
    folder.mkdir()
    child = subprocess.Popen(["sh", "-c", SHELL], stdout=subprocess.PIPE, text=True)
    print(child.pid, child.stdout.readline().strip(), flush=True)
    time.sleep(600)
"""


def started(program, *arguments):
    """A process that runs a program, once it has said its first line; and that line."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def is_alive(pid):
    """Whether a process runs, and does not only wait for its parent to notice its end."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(int(pid)).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "work",
    [SLEEP, HANGING_THREAD, SWALLOWED, HANGING_CLEANUP],
    ids=["sleep", "hanging thread", "swallowed", "hanging cleanup"],
)
def test_a_signal_ends_the_process_with_the_sentence_that_says_how_to_go_on(number, work):
    process, said = started(PROGRAM.format(work=work))
    assert said == "ready"
    process.send_signal(number)
    _, said = process.communicate()
    assert (process.returncode, said) == (128 + number, "\nstopped; nothing is lost. To resume: kdsweep\n")


def test_nothing_below_the_process_and_nothing_to_clean_up_is_left(tmp_path):
    process, family = started(FAMILY, tmp_path / "scratch")
    assert (tmp_path / "scratch").exists()
    assert all(is_alive(pid) for pid in family.split())
    process.terminate()
    process.communicate()
    assert len(family.split()) == 2
    assert not any(is_alive(pid) for pid in family.split())
    assert not (tmp_path / "scratch").exists()


def test_what_is_ignored_as_under_nohup_stays_ignored():
    program = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n{PROGRAM.format(work=SLEEP)}"
    process, _ = started(program)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143  # and not 129: the first signal that is heard decides


TAKEN_OVER = """with interrupt.keeping_handlers():
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
        {there}
    {after}"""


@pytest.mark.parametrize("where", ["there", "after"])
def test_a_library_that_takes_a_signal_over_does_not_have_it(where):
    """While it has the signal, and afterwards."""
    ready = f'print("ready", flush=True); {SLEEP}'
    work = TAKEN_OVER.format(**{"there": "pass", "after": "pass"} | {where: ready})
    process, said = started("import signal\n" + PROGRAM.format(work=work).replace('print("ready", flush=True)', "", 1))
    assert said == "ready"
    process.terminate()
    _, said = process.communicate()
    assert (process.returncode, said.count("To resume: ")) == (143, 1)
