import os
import socket
import subprocess
import sys
import time

import pytest
from upath import UPath

from kd_core.store.files import write_json
from kd_core.store.lease import LEASE_S, Lease


@pytest.fixture(params=["local", "memory"])
def lease(request, tmp_path) -> Lease:
    """A lease without a holder, in a local folder and in memory."""
    folder = UPath(tmp_path) if request.param == "local" else UPath(f"memory://{tmp_path.name}")
    return Lease(folder / "heartbeat.json")


def say(lease: Lease, host: str, pid: int, age_s: float = 0.0) -> None:
    """Write a lease with a given holder, renewed age_s seconds ago."""
    write_json(lease.path, {"time": time.time() - age_s, "host": host, "pid": pid})


def test_a_lease_is_its_holders_until_it_lets_go(lease):
    assert not lease.taken
    with lease.held():
        assert lease.taken
        assert not lease.in_other_hands
    assert not lease.taken
    assert not lease.path.exists()


def test_a_lease_is_in_other_hands_while_another_process_lives_and_renews_it(lease):
    say(lease, "elsewhere", os.getpid())
    assert lease.in_other_hands
    say(lease, "elsewhere", os.getpid(), age_s=LEASE_S + 1)
    assert not lease.taken
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        say(lease, socket.gethostname(), process.pid)
        assert lease.in_other_hands
        process.kill()
    assert not lease.taken


def test_a_held_lease_is_renewed_with_what_its_holder_says(lease, monkeypatch):
    monkeypatch.setattr("kd_core.store.lease.LEASE_S", 0.6)
    with lease.held() as details:
        assert "done" not in lease.details()
        details["done"] = 3
        for _ in range(10):
            time.sleep(0.1)
            assert lease.taken
        assert lease.details()["done"] == 3
    assert lease.details() == {}


def test_a_lease_is_let_go_when_the_work_fails(lease):
    with pytest.raises(ValueError, match="no"), lease.held():
        raise ValueError("no")
    assert not lease.taken
