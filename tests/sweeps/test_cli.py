"""The command line: what it prints where, and its exit codes."""

import json
import socket
import subprocess
import sys

import pytest

from kd_core.data.dataset import load
from kd_core.spec.keys import trial_key
from kd_core.trial import run_trial
from sweeps.spec.arms import trials_of
from sweeps.spec.reader import read_spec
from sweeps.tracking.sync import embedded_uri


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "quickstart", "--set", "arms.2.temprature=2"], "did you mean temperature?"),
        (["run", "quickstart", "--set", "train.batch_size=7"], "train.batch_size: 7: must be even"),
        (["plan", "quickstart", "--set", "data={source: folder, path: /no}"], "data.path: /no: no such folder"),
        (["plan", "nothing"], "the shipped ones are"),
        (["plan", "quickstart", "--set", "data.limit=5"], "without a training image"),
        (["run", "quickstart", "--set", "data.limit=5"], "without a training image"),
        (
            ["plan", "quickstart", "--set", "signal={mode: stored, max_gib: 1e-6}"],
            "signal.max_gib: 1e-06: the stored signals would take",
        ),
        (["plan", "quickstart", "--set", "train.epochs"], "must be KEY=VALUE"),
        (["status", "nothing"], "no sweep named nothing"),
        (["status", "../nothing"], "is no sweep name"),
        (["report", "nothing"], "no sweep named nothing"),
        (
            ["report", "nothing", "--objectives", "accuracy,ec"],
            "--objectives: validation/ec is no figure that selection",
        ),
        (["report", "nothing", "--objectives", "test/ece"], "--objectives: test/ece is no figure that selection"),
        (["report", "nothing", "--objectives", ""], "--objectives: "),
        (["report", "nothing", "--objectives", "accuracy,ece,nll,brier"], "--objectives: name one to three"),
        (["report", "nothing", "--from-mlflow", "sqlite:////no/mlflow.db"], "sqlite:////no/mlflow.db: no such file"),
        (["sync", "nothing"], "no sweep named nothing"),
        (["ui"], "holds no tracking store"),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr_and_exit_code_2(kdsweep, tmp_path, arguments, said):
    done = kdsweep(*arguments, "--storage", tmp_path / "runs")
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("kdsweep: quickstart: data" if "data.limit=5" in arguments else "kdsweep: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_shell_sees_a_mistake_the_same_way(tmp_path):
    command = [sys.executable, "-m", "sweeps.cli", "run", "quickstart", "--set=train.batch_size=7"]
    done = subprocess.run([*command, f"--storage={tmp_path / 'runs'}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("kdsweep: quickstart: train.batch_size: 7: must be even")


@pytest.mark.parametrize("storage", ["madeup://bucket/runs", "gs://bucket/runs"])
def test_a_storage_that_cannot_be_reached_is_named(kdsweep, storage):
    done = kdsweep("status", "nothing", "--storage", storage)
    assert done.exit_code == 2
    assert f"--storage: {storage}: cannot be reached (" in done.stderr
    assert done.stderr.count("\n") == 1


def test_plan_writes_nothing_and_tells_what_would_run(kdsweep, tiny, tmp_path):
    done = kdsweep("plan", tiny, "--storage", tmp_path / "runs", "--json")
    plan = json.loads(done.stdout)
    assert [trial["status"] for trial in plan["trials"]] == ["pending"] * 3
    assert (plan["cost"]["teacher_passes"], plan["cost"]["live_teacher_passes"]) == (2, 4)
    assert plan["signals"][0]["mode"] == "stored"
    assert not (tmp_path / "runs").exists()
    assert "TFLOP" in kdsweep("plan", tiny).stderr


def test_a_finished_sweep_can_be_looked_at_synced_and_reported_again(kdsweep, store):
    status = json.loads(kdsweep("status", "tiny", "--storage", store.root, "--json").stdout)
    assert {kind: [row["status"] for row in rows] for kind, rows in status.items() if kind != "sweep"} == {
        "teachers": ["finished"],
        "signals": ["finished"],
        "trials": ["finished"] * 3,
    }
    assert "2/2" in kdsweep("status", "tiny", "--storage", store.root).stderr
    assert "3 trials of tiny are up to date" in kdsweep("sync", "tiny", "--storage", store.root).stderr
    page = store.sweep("tiny").report / "report.html"
    page.unlink()
    report = json.loads(kdsweep("report", "tiny", "--storage", store.root, "--json").stdout)
    assert report["report"] == str(page)
    assert page.exists()
    assert report.keys() == {"sweep", "front", "arms", "claims", "report"}


def test_a_report_may_have_other_objectives_and_stand_against_another_sweep(kdsweep, store):
    command = ["report", "tiny", "--storage", store.root, "--json"]
    done = kdsweep(*command, "--objectives", "nll,num_parameters", "--against", "tiny")
    assert done.exit_code == 0, done.output
    content = json.loads((store.sweep("tiny").report / "front.json").read_text())
    assert content["raw"]["objectives"] == {"validation/nll": "min", "num_parameters": "min"}
    assert [row["num_seeds"] for row in json.loads(done.stdout)["front"]] == [1]
    missing = kdsweep(*command, "--against", "nothing")
    assert (missing.exit_code, missing.stderr.count("\n")) == (2, 1)
    assert "no sweep named nothing" in missing.stderr


def test_a_sweep_of_other_test_images_is_nothing_to_compare_with(kdsweep, store, tiny):
    spec = read_spec(str(tiny), ["arms=[{method: classic}]", "data.test=0.3"])
    (trial,) = trials_of(spec)
    dataset = load(spec.data)
    record = store.trial(trial_key(trial.config, dataset.fingerprint))
    list(run_trial(trial.config, dataset, record))
    listed = {"key": record.key, "label": trial.label, "arm": trial.arm, "teacher": None, "seed": 0}
    objectives = {"validation/accuracy": "max"}
    store.sweep("other").write("", {"sweep": "other", "objectives": objectives, "teachers": [], "trials": [listed]})
    done = kdsweep("report", "tiny", "--storage", store.root, "--against", "other")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("kdsweep: --against: other: ")


def test_the_front_comes_from_mlflow_as_from_the_store(kdsweep, store):
    kdsweep("report", "tiny", "--storage", store.root)
    kdsweep("sync", "tiny", "--storage", store.root)
    written = json.loads(kdsweep("report", "tiny", "--storage", store.root, "--json").stdout)
    page = store.sweep("tiny").report / "report.html"
    page.unlink()
    command = ["report", "tiny", "--from-mlflow", embedded_uri(store), "--storage", store.root]
    done = kdsweep(*command, "--json")
    told = json.loads(done.stdout)
    assert told["report"] is None
    assert not page.exists()
    for kind in ("front", "arms"):
        assert [row["trials"] for row in told[kind]] == [row["trials"] for row in written[kind]]
        assert [row["front_probability"] for row in told[kind]] == [row["front_probability"] for row in written[kind]]
    assert "on front" in done.stderr
    absent = kdsweep(*command, "--experiment", "absent")
    assert (absent.exit_code, absent.stdout, absent.stderr.count("\n")) == (2, "", 1)
    assert "no experiment named absent" in absent.stderr


def test_an_unreachable_server_costs_a_report_one_sentence_and_exit_code_1(kdsweep):
    done = kdsweep("report", "tiny", "--from-mlflow", "http://127.0.0.1:9")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "does not answer" in done.stderr


def test_the_ui_shows_only_sweeps_that_mlflow_has_and_takes_no_port_twice(kdsweep, finished):
    storage = ["--storage", finished.store.root]
    absent = kdsweep("ui", "absent", *storage)
    assert (absent.exit_code, absent.stderr.count("\n")) == (2, 1)
    assert "absent: MLflow in" in absent.stderr
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = kdsweep("ui", *storage, "--port", port)
    assert (taken.exit_code, taken.stderr.count("\n")) == (2, 1)
    assert f"--port: {port}: another server uses it" in taken.stderr


def test_an_unreachable_server_costs_a_sync_one_sentence_and_exit_code_1(kdsweep, finished):
    done = kdsweep("sync", "tiny", "--storage", finished.store.root, "--tracking-uri", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "does not answer" in done.stderr
