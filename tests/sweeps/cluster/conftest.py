"""Real Ray clusters with a job server and tokens, each process of them a child of the tests."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.sweeps.cluster.processes import free_port, kill_groups, wait_for_server

TOKEN = "a-token-of-these-tests-0123456789"


@dataclass
class Nodes:
    """A head and its workers, started by `ray start` as on machines of their own."""

    folder: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    dashboard: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """The URL of the job server."""
        return f"http://127.0.0.1:{self.dashboard}"

    def start(self, *arguments: str, hidden: Path | None = None) -> subprocess.Popen[bytes]:
        """Start one node, which ends with its process group; for it, the hidden folder is empty."""
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--disable-usage-stats", *arguments]
        command += [f"--dashboard-agent-listen-port={free_port()}"]  # Ray's default one is taken by any other cluster
        if hidden is not None:
            script = 'mount -t tmpfs none "$0" && exec "$@"'
            command = ["unshare", "--mount", "--map-root-user", "sh", "-c", script, str(hidden), *command]
        with (self.folder / f"node-{len(self.processes)}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )
        self.processes.append(process)
        return process

    def start_head(self, num_cpus: int, host: str) -> None:
        """Start the head, and wait until its job server answers at an address of this machine."""
        ports = [f"--port={self.port}", f"--dashboard-port={self.dashboard}", f"--dashboard-host={host}"]
        head = self.start("--head", *ports, f"--num-cpus={num_cpus}", f"--temp-dir={self.folder}")
        wait_for_server(f"{self.address}/api/version", head, self.folder / "node-0.log")

    def start_worker(self, num_cpus: int, hidden: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a worker node, which joins by itself; for it, the hidden folder is empty."""
        own = self.folder / f"w{len(self.processes)}"  # what one node removes, another one may use
        return self.start(
            f"--address=127.0.0.1:{self.port}", f"--num-cpus={num_cpus}", f"--temp-dir={own}", hidden=hidden
        )

    def jobs(self) -> list[str]:
        """The ids of the jobs that were submitted."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.get(f"{self.address}/api/jobs/", headers=headers, timeout=30)
        return [job["submission_id"] for job in answer.json() if job["type"] == "SUBMISSION"]


@pytest.fixture(scope="session")
def start_nodes() -> Iterator[Callable[..., Nodes]]:
    """Starts a head with one core; the arguments are RAY_AUTH_MODE, token or disabled, and the job server's host."""
    started = []
    with tempfile.TemporaryDirectory(prefix="kd-", dir="/tmp", ignore_cleanup_errors=True) as folder:

        def start(mode: str, host: str = "127.0.0.1") -> Nodes:
            """Start a head in a folder of its own, whose name is short enough for Ray's sockets."""
            own = Path(folder) / str(len(started))
            own.mkdir()
            paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            environment = os.environ | {"PATH": paths, "RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": TOKEN}
            nodes = Nodes(own, environment)
            started.append(nodes)
            nodes.start_head(1, host)
            return nodes

        yield start
        for nodes in started:
            kill_groups(nodes.processes)


@pytest.fixture(scope="session")
def guarded(start_nodes: Callable[..., Nodes]) -> Nodes:
    """A head that asks for a token."""
    return start_nodes("token")


@pytest.fixture(scope="session")
def token() -> str:
    """The token of the clusters that ask for one."""
    return TOKEN


@pytest.fixture
def kdsweep_there(token: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command line in a process of its own, with a token, which may be another one or none."""

    def run(*arguments: object, token: str = token) -> subprocess.CompletedProcess[str]:
        """The finished process."""
        environment = os.environ | {"HOME": str(tmp_path), "RAY_AUTH_TOKEN": token}
        command = [sys.executable, "-m", "sweeps", *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return run
