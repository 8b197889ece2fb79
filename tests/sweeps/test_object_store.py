"""A whole sweep whose store is an object store: a real S3 server, a real driver, a real kill."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from kd_core.store.records import Store

URL = "s3://runs/team"


@pytest.fixture
def bucket(monkeypatch, tmp_path) -> Iterator[Store]:
    """An empty bucket; every process started from here finds it through its environment."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any"}
    for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = Store.at(URL)
    store.root.parent.mkdir(parents=True, exist_ok=True)
    yield store
    server.stop()


def test_a_sweep_on_an_object_store_survives_a_kill_and_ends_as_on_a_disk(kdsweep, tiny, bucket, finished, students_of):
    def printed(*arguments):
        """What a command prints as JSON."""
        done = kdsweep(*arguments, f"--storage={URL}", "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), f"--storage={URL}"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as driver:
        while driver.poll() is None and not list(bucket.root.glob("trials/*/journal.jsonl")):
            time.sleep(0.05)
        os.killpg(driver.pid, signal.SIGKILL)
    subprocess.run(command, check=True)  # not in this process, whose Ray does not know the server
    assert students_of(bucket) == students_of(finished.store)
    assert printed("run", tiny)["trials"] == {"finished": 3, "stopped": 0, "failed": 0, "reused": 3}

    (verified,) = printed("verify", "tiny")["signals"]
    assert (verified["epochs"], verified["argmax_flips"], verified["problem"]) == ([1, 2], 0, None)
    assert printed("signal", "prune", "--finished")["freed_bytes"] > 0
    assert bucket.signals() == []
