"""The command line: what it prints where, and its exit codes."""

import json
import subprocess
import sys

import pytest


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


def test_an_unreachable_server_costs_a_sync_one_sentence_and_exit_code_1(kdsweep, finished):
    done = kdsweep("sync", "tiny", "--storage", finished.store.root, "--tracking-uri", "http://127.0.0.1:9")
    assert done.exit_code == 1
    assert "does not answer" in done.stderr
