import socket
import subprocess
import sys

import pytest

from kd_core.config.errors import SpecError
from sweeps.cluster.job_server import JobServer


@pytest.mark.parametrize("address", ["ray://host:10001", "http://", "file:///tmp"])
def test_an_address_that_is_no_url_of_a_server_is_refused(address):
    with pytest.raises(SpecError, match="must be the URL of a job server, such as http://HOST:8265"):
        JobServer(address)


def test_an_address_where_nobody_answers_is_one_sentence():
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(SpecError, match=r"no job server answers there; start the cluster, or correct the address$"):
            JobServer(f"127.0.0.1:{taken.getsockname()[1]}")


def test_a_server_with_tokens_is_not_open_and_its_address_is_loopback(guarded):
    """In a process of its own, since Ray takes the way of authentication from the first client of a process."""
    code = "import sys; from sweeps.cluster.job_server import JobServer; server = JobServer(sys.argv[1]); "
    code += "print(server.is_open, server.is_loopback, server.status('never-submitted'))"
    command = [sys.executable, "-c", code, guarded.address]
    environment = {name: value for name, value in guarded.environment.items() if name != "RAY_AUTH_MODE"}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "True", "None"]
