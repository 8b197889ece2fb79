"""How many requests a sweep makes to an object store."""

import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from moto.server import ThreadedMotoServer
from upath import UPath

from tests.benchmarks.many_trials import NAME, sweep_of

KINDS = {"GET": "read", "HEAD": "read", "PUT": "write", "POST": "write", "DELETE": "delete", "LIST": "list"}
DOLLARS_PER_1000 = {"read": 0.0004, "write": 0.005, "list": 0.005, "delete": 0.0}  # Amazon S3 Standard, us-east-1


def measure(sizes: tuple[int, int] = (20, 60)) -> dict[str, Any]:
    """Requests to a real S3 server by the commands of sweeps of 20 and 60 trials of one epoch, for each further
    trial, by kind; and what those of `run` for 10,000 trials cost at Amazon's list prices."""
    with _server() as counter:
        counts = {size: _requests_by_phase(size, counter) for size in sizes}
    fewer, more = (counts[size] for size in sizes)
    figures: dict[str, Any] = {}
    for phase in fewer:
        for kind in DOLLARS_PER_1000:
            figures[f"{phase}_{kind}_per_trial"] = (more[phase][kind] - fewer[phase][kind]) / (sizes[1] - sizes[0])
    dollars = sum(10 * figures[f"run_{kind}_per_trial"] * price for kind, price in DOLLARS_PER_1000.items())
    return figures | {"run_dollars_per_10000_trials": dollars}


@contextmanager
def _server() -> Iterator["RequestCounter"]:
    """An S3 server that every process started from here finds, and the counter of its requests."""
    counter = RequestCounter()
    logging.getLogger("werkzeug").addHandler(counter)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any"}
    os.environ |= {f"AWS_{name}": value for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items()}
    UPath("s3://runs").mkdir()
    try:
        yield counter
    finally:
        server.stop()


def _requests_by_phase(num_trials: int, counter: "RequestCounter") -> dict[str, Counter[str]]:
    """The requests of each command, by their kind."""
    phases = {}
    with tempfile.TemporaryDirectory() as name:
        spec = Path(name) / f"{NAME}.yaml"
        spec.write_text(yaml.safe_dump(sweep_of(num_trials, epochs=1)))
        for phase, what in {"run": str(spec), "run_again": str(spec), "status": NAME}.items():
            counter.requests.clear()
            command = [sys.executable, "-m", "sweeps", phase.removesuffix("_again"), what, "--json"]
            storage = ["--storage", f"s3://runs/{num_trials}"]
            done = subprocess.run([*command, *storage], capture_output=True, check=True)
            assert json.loads(done.stdout), done.stderr
            phases[phase] = counter.requests.copy()
    return phases


class RequestCounter(logging.Handler):
    """Counts the requests in a server's log, by their kind; those whose URL is of interest."""

    def __init__(self, of_interest: Callable[[str], bool] = lambda url: True) -> None:
        super().__init__()
        self.of_interest = of_interest
        self.requests: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        """Count one line."""
        if found := re.search(r'"(?:\x1b\[\d+m)*([A-Z]+) (\S+)', record.getMessage()):
            method, target = found.groups()
            kind = KINDS["LIST" if method == "GET" and "list-type" in target else method]
            self.requests[kind] += self.of_interest(target)
