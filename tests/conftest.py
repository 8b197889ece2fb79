"""Fixtures that several test packages share."""

import os
import subprocess
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


@pytest.fixture(scope="session")
def cifar100() -> Path:
    """The real CIFAR-100 as parquet, stored beside the project."""
    folder = Path(__file__).parent.parent.parent / "shared" / "data" / "cifar100"
    assert folder.is_dir(), f"{folder} is missing; the tests need CIFAR-100 in the Hugging Face parquet layout there"
    return folder


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
