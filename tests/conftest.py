"""Fixtures that several test packages share."""

import logging
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from upath import UPath

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
for _ignored in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):  # as in a shell's background job, and by all it starts
    if signal.getsignal(_ignored) is signal.SIG_IGN:
        signal.signal(_ignored, signal.default_int_handler if _ignored is signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(scope="session")
def cifar100() -> Path:
    """The real CIFAR-100 as parquet, stored beside the project."""
    folder = Path(__file__).parent.parent.parent / "shared" / "data" / "cifar100"
    assert folder.is_dir(), f"{folder} is missing; the tests need CIFAR-100 in the Hugging Face parquet layout there"
    return folder


@pytest.fixture(scope="session")
def s3_settings() -> Iterator[dict[str, str]]:
    """A real S3 server, and the environment in which every process finds it."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any"}
    yield {f"AWS_{name}": value for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items()}
    server.stop()


@pytest.fixture
def s3(s3_settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> UPath:
    """An empty bucket of a real S3 server."""
    for name, value in s3_settings.items():
        monkeypatch.setenv(name, value)
    bucket = UPath(f"s3://{uuid.uuid4().hex}")
    bucket.mkdir()
    return bucket


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], object], subprocess.Popen[str] | BaseProcess], None]:
    """Waits until a condition holds, as long as the process that causes it is running."""

    def wait(holds: Callable[[], object], process: subprocess.Popen[str] | BaseProcess) -> None:
        """Poll the condition; fails if the process ends first."""
        while not holds():
            if isinstance(process, BaseProcess):
                assert process.exitcode is None
            else:
                assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.01)

    return wait
