"""Ctrl-C in a real process: one sentence, exit code 130, soon."""

import signal
import subprocess
import sys

import pytest

SLEEP = "time.sleep(600)"
HANGING_THREAD = f"threading.Thread(target=lambda: {SLEEP}).start(); {SLEEP}"
SWALLOWED = f"""try:
        {SLEEP}
    except KeyboardInterrupt:
        {SLEEP}"""
PROGRAM = """
import threading, time
from sweeps.terminal import interrupt
interrupt._PATIENCE_S = 0.2
with interrupt.leaving_at_interrupt("to go on: again"):
    print("ready", flush=True)
    {work}
"""


@pytest.mark.parametrize("work", [SLEEP, HANGING_THREAD, SWALLOWED], ids=["sleep", "hanging thread", "swallowed"])
def test_ctrl_c_ends_the_process_with_the_sentence_that_says_how_to_go_on(work):
    command = [sys.executable, "-c", PROGRAM.format(work=work)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert (process.returncode, said) == (130, "to go on: again\n")
