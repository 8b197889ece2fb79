"""What the tests of clusters do with servers that run as processes."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import requests


def free_port() -> int:
    """A port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_server(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers, be it that it asks who is there; fails with its log if its process ends first."""
    while True:
        assert process.poll() is None, log.read_text()[-3000:]
        with suppress(requests.ConnectionError):
            if requests.get(url, timeout=5).status_code in (200, 401):
                return
        time.sleep(0.1)


def kill_groups(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Kill the process group of each, and wait until it has ended."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
