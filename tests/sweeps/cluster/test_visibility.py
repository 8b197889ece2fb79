"""A cluster of two nodes of which one does not see a folder, as if it were on another machine."""

import os
import signal
import subprocess
import sys

import pytest
from safetensors.numpy import save_file

HEAD_ONLY = "head-only"


@pytest.fixture
def half_blind(start_nodes, tmp_path):
    """The address of a head, with a worker for which a folder of the head is empty."""
    (tmp_path / HEAD_ONLY).mkdir()
    save_file({}, tmp_path / HEAD_ONLY / "weights.safetensors")
    nodes = start_nodes("token")
    worker = nodes.start_worker(1, hidden=tmp_path / HEAD_ONLY)
    yield nodes
    os.killpg(worker.pid, signal.SIGKILL)


@pytest.fixture
def run_there(half_blind, tiny):
    """Runs the tiny sweep on the cluster, with more arguments, from a shell."""

    def run(*arguments):
        """The finished process."""
        command = [sys.executable, "-m", "sweeps", "run", str(tiny), "--address", f"127.0.0.1:{half_blind.port}"]
        return subprocess.run(
            [*command, *arguments], env=half_blind.environment, capture_output=True, text=True, check=False
        )

    return run


def test_what_a_node_does_not_see_is_one_sentence_before_anything_runs(half_blind, run_there, tmp_path, wait_until):
    def has_joined():
        """Whether both nodes are there."""
        ray = [sys.executable, "-m", "ray.scripts.scripts", "list", "nodes", "--address", half_blind.address]
        listed = subprocess.run(ray, env=half_blind.environment, capture_output=True, text=True, check=False)
        return "Total: 2" in listed.stdout

    wait_until(has_joined, half_blind.processes[-1])
    weights = tmp_path / HEAD_ONLY / "weights.safetensors"
    unseen = run_there("--storage", str(tmp_path / "runs"), "--set", f"teachers.resnet.checkpoint={weights}")
    assert unseen.returncode == 2, unseen.stderr
    assert "weights.safetensors: node " in unseen.stderr
    assert unseen.stderr.endswith("does not see it; use a folder that every node mounts at the same path, or a URL\n")
    assert not list((tmp_path / "runs").glob("t*/*"))

    unshared = run_there("--storage", str(tmp_path / HEAD_ONLY / "runs"))
    assert unshared.returncode == 2, unshared.stderr
    assert f"--storage: {tmp_path / HEAD_ONLY / 'runs'}: node " in unshared.stderr
    assert not list((tmp_path / HEAD_ONLY / "runs").iterdir())
