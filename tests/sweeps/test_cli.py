"""The command line: how it tells a mistake, whichever command it is in."""

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
