"""What `kdsweep sync` and `ui` print; `tests/sweeps/tracking` tests what MLflow then shows."""

import shutil
import socket


def test_a_finished_sweep_is_brought_to_mlflow(kdsweep, store, database):
    shutil.copy(database, store.local)
    assert "3 trials of tiny are up to date" in kdsweep("sync", "tiny", "--storage", store.root).stderr


def test_an_unreachable_server_costs_a_sync_one_sentence_and_exit_code_1(kdsweep, tiny_store):
    done = kdsweep("sync", "tiny", "--storage", tiny_store.root, "--tracking-uri", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "does not answer" in done.stderr


def test_the_ui_shows_only_sweeps_that_mlflow_has_and_takes_no_port_twice(kdsweep, store, database):
    shutil.copy(database, store.local)
    storage = ["--storage", store.root]
    absent = kdsweep("ui", "absent", *storage)
    assert (absent.exit_code, absent.stderr.count("\n")) == (2, 1)
    assert "absent: MLflow in" in absent.stderr
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = kdsweep("ui", *storage, "--port", port)
    assert (taken.exit_code, taken.stderr.count("\n")) == (2, 1)
    assert f"--port: {port}: another server uses it" in taken.stderr
