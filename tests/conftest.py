"""What several rooms of tests share."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


@pytest.fixture(scope="session")
def cifar100() -> Path:
    """The real CIFAR-100 as parquet, which lies beside the project."""
    folder = Path(__file__).parent.parent.parent / "shared" / "data" / "cifar100"
    assert folder.is_dir(), f"{folder} is missing; the tests need CIFAR-100 in the Hugging Face parquet layout there"
    return folder
