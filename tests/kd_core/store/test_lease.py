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
    return Lease(folder / "lease.json")


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


def test_a_lease_from_the_future_has_expired_unless_clocks_may_differ_by_so_much(lease):
    say(lease, "elsewhere", 1, age_s=-LEASE_S / 2)
    assert lease.taken
    say(lease, "elsewhere", 1, age_s=-3600)
    assert not lease.taken


def test_a_holder_is_named_with_host_process_and_time(lease):
    before = time.time()
    with lease.held():
        assert (lease.holder.host, lease.holder.pid) == (socket.gethostname(), os.getpid())
        assert before <= lease.holder.since <= time.time()
        assert str(lease.holder).startswith(f"process {os.getpid()} on {socket.gethostname()}, which has worked on it")
    assert lease.holder is None


@pytest.mark.parametrize("content", ["", "{}", "[]", "{", '{"time": "now", "host": "here", "pid": 1}'])
def test_a_damaged_lease_is_free(lease, content):
    lease.path.parent.mkdir(parents=True, exist_ok=True)
    lease.path.write_text(content)
    assert not lease.taken
    assert lease.details() == {}


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


ROUNDS = 50


def contend(folder, barrier, counts):
    """Take one lease a round, together with other processes, and count how many got it."""
    for number in range(ROUNDS):
        barrier.wait()
        taken = Lease(folder / str(number) / "lease.json").take()
        with counts.get_lock():
            counts[number] += taken
    barrier.wait()  # a lease of a dead process is free


def test_of_several_processes_at_once_only_one_takes_a_lease(tmp_path, processes):
    barrier, counts = processes.Barrier(4), processes.Array("i", ROUNDS)
    started = [processes.Process(target=contend, args=(UPath(tmp_path), barrier, counts)) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert list(counts) == [1] * ROUNDS


def test_a_lease_in_other_hands_cannot_be_taken(lease):
    say(lease, "elsewhere", os.getpid())
    assert not lease.take()
    say(lease, "elsewhere", os.getpid(), age_s=LEASE_S + 1)
    assert lease.take()
    assert lease.taken
    assert not lease.in_other_hands


def test_only_one_of_many_gets_a_free_lease_of_an_object_store(s3):
    lease = Lease(s3 / "lease.json")
    code = (
        "import sys; from upath import UPath; from kd_core.store.lease import Lease; lease = Lease(UPath(sys.argv[1]));"
        "print(flush=True); input(); print(lease.take(), flush=True); input()"
    )
    start = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    takers = [subprocess.Popen([sys.executable, "-c", code, str(lease.path)], **start) for _ in range(4)]
    for taker in takers:
        taker.stdout.readline()
    for taker in takers:
        print(file=taker.stdin, flush=True)
    assert sorted(taker.stdout.readline().strip() for taker in takers) == ["False"] * 3 + ["True"]
    for taker in takers:
        taker.communicate("\n")
    assert not lease.taken
    assert lease.take()
