"""Fixture shared by the tests of the store."""

import pytest

from kd_core.store.records import Store


@pytest.fixture(params=["local", "memory"])
def store(request, tmp_path) -> Store:
    """A store in a folder, and one in fsspec's memory file system."""
    return Store.at(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")
