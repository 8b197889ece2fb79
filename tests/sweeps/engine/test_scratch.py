"""Scratch folders: made, removed, and those of killed processes removed by others."""

import subprocess
import sys
import tempfile

import pytest

from sweeps.engine.scratch import scratch_folder

PROGRAM = """
from sweeps.engine.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    input()
"""


@pytest.fixture
def temporary(monkeypatch, tmp_path_factory):
    """A temporary folder of its own, with a short path, for this process and those that it starts."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("RAY_TMPDIR", folder)
        yield folder


def test_a_folder_is_there_while_its_block_runs(temporary):
    with scratch_folder() as folder:
        assert str(folder.parent) == temporary
        (folder / "file").touch()
    assert not folder.exists()


def test_a_folder_of_a_living_process_stays_and_that_of_a_killed_one_goes(temporary):
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        its = process.stdout.readline().strip()
        with scratch_folder() as folder:
            assert sorted(map(str, folder.parent.iterdir())) == sorted([its, str(folder)])
        process.kill()
    with scratch_folder() as folder:
        assert list(folder.parent.iterdir()) == [folder]


def test_a_temporary_folder_whose_path_is_too_long_for_sockets_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 10)))
    with scratch_folder() as folder:
        assert str(folder.parent) == "/tmp"
