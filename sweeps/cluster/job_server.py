"""The job server of a Ray cluster, reached with Ray's own tokens; every refusal is one sentence."""

import ipaddress
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from kd_core.config.errors import SpecError
from kd_core.fields import shown

_TIMEOUT_S = 10.0
_TOKEN_FILE = Path("~/.ray/auth_token")
_TOKEN_PLACES = "RAY_AUTH_TOKEN, or the path of its file in RAY_AUTH_TOKEN_PATH"


class JobServer:
    """The server at an address such as http://127.0.0.1:8265, and Ray's client of it.

    The token is that of RAY_AUTH_TOKEN, of the file RAY_AUTH_TOKEN_PATH, or of ~/.ray/auth_token. Raises SpecError if
    nothing answers, or the token is missing or wrong.
    """

    def __init__(self, address: str) -> None:
        self.address = (address if "://" in address else f"http://{address}").rstrip("/")
        if urlsplit(self.address).scheme not in ("http", "https") or not urlsplit(self.address).hostname:
            raise SpecError(f"--address: {shown(address)}: must be the URL of a job server, such as http://HOST:8265")
        self.is_open = self._answers_anybody()
        if _has_token():
            os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads it when it is imported
        elif not self.is_open:
            raise SpecError(
                f"--address: {self.address}: asks for a token, and there is none here; give {_TOKEN_PLACES}"
            )
        from ray.job_submission import JobSubmissionClient

        for noisy in ("ray", "ray.dashboard.modules.dashboard_sdk", "ray.dashboard.modules.job.sdk"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        with self.asking():
            self.client: Any = JobSubmissionClient(self.address)

    def _answers_anybody(self) -> bool:
        try:
            answer = requests.get(f"{self.address}/api/version", timeout=_TIMEOUT_S)
        except requests.RequestException:
            problem = "no job server answers there; start the cluster, or correct the address"
            raise SpecError(f"--address: {self.address}: {problem}") from None
        return answer.status_code == requests.codes.ok

    @property
    def is_loopback(self) -> bool:
        """Whether the address is one of this machine's own, which may also be the end of a tunnel."""
        with suppress(OSError):
            found = socket.getaddrinfo(urlsplit(self.address).hostname, None)
            return all(ipaddress.ip_address(str(each[4][0]).split("%")[0]).is_loopback for each in found)
        return False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Turn what goes wrong with a request of the block into a SpecError."""
        try:
            yield
        except Exception as error:  # each layer of Ray's client raises its own errors
            problem = " ".join(str(error).split())[:300]
            if type(error).__name__ == "AuthenticationError":
                problem = f"refuses the token; give that of the cluster in {_TOKEN_PLACES}"
            raise SpecError(f"--address: {self.address}: {problem}") from None

    def status(self, job: str) -> str | None:
        """PENDING, RUNNING, SUCCEEDED, STOPPED or FAILED; None for a job that the cluster does not know."""
        with self.asking():
            known = {each.submission_id: each.status for each in self.client.list_jobs()}
        return str(known[job].value) if job in known else None


def _has_token() -> bool:
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return bool(os.environ.get("RAY_AUTH_TOKEN")) or Path(named or _TOKEN_FILE).expanduser().is_file()
