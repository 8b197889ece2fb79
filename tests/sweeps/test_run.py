"""Whole sweeps on a real local Ray: they finish, extend, repeat no work, and survive failures."""

import json
import re
import shutil
import subprocess
import sys

import pytest

from analysis.runs import runs_of, runs_of_experiment
from analysis.snapshot import read_sweep
from kd_core.store.records import Store
from sweeps.config.errors import SpecError
from sweeps.tracking.sync import embedded_uri


@pytest.fixture
def store(finished, tmp_path):
    """A copy of the finished store, without its view in MLflow."""
    shutil.copytree(finished.store.local, tmp_path / "runs", ignore=shutil.ignore_patterns("mlflow.db", "mlartifacts"))
    return Store.at(tmp_path / "runs")


def contents(store):
    """Every file of the store's products and the time at which it was written."""
    files = [path for kind in ("teachers", "trials") for path in (store.local / kind).rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files}


def test_stdout_is_the_json_of_the_design_and_nothing_else(finished):
    printed = json.loads(finished.stdout)
    assert printed.keys() == {"sweep", "trials", "front", "arms", "claims", "report"}
    assert printed["trials"] == {"finished": 3, "stopped": 0, "failed": 0, "reused": 0}
    intervals = {"accuracy_interval", "ece_interval", "ece_scaled_interval"}
    told = {"trial", "label", "accuracy", "ece", "front_probability", "plausible"} | intervals
    assert len(printed["arms"]) == 3
    for row in printed["front"] + printed["arms"]:
        assert told <= row.keys()
        for low, high in (row[name] for name in intervals):
            assert low <= high
    assert {"claim", "verdict", "estimate", "interval", "trials"} <= printed["claims"][0].keys()


def test_a_shell_sees_what_happens_where_the_report_is_and_how_to_look_at_the_runs(finished):
    store, said = finished.store, finished.stderr
    assert "finished  teacher resnet" in said
    assert "teachers.resnet.classes" in said  # two epochs leave it at chance
    assert "finished  signal resnet uniform  2 epochs" in said
    assert "3/3  finished" in said
    assert "3 finished, 0 stopped, 0 failed" in said
    assert "30 validation images may hide an ECE difference of 0.02" in said
    assert said.count("latency of test_efficientnet: ") == 1
    assert f"report: {store.sweep('tiny').report / 'report.html'}" in said
    assert f"kdsweep ui --storage {store.root}" in said
    assert "Traceback" not in said
    assert not list(store.local.rglob("*.tmp"))
    products = {"teachers", "signals", "trials", "latency", "sweeps"}
    assert {path.name for path in store.local.iterdir()} == products | {"mlflow.db", "mlartifacts", ".mlflow.lock"}
    assert (store.sweep("tiny").report / "report.html").read_text().count("kd_mixup")


def test_mlflow_shows_what_the_report_says_and_the_latencies_once_a_run_has_ended(finished):
    shown = runs_of_experiment(embedded_uri(finished.store), "tiny").set_index("trial")
    for row in json.loads(finished.stdout)["arms"]:
        for trial in row["trials"]:
            assert shown.loc[trial, "front_probability"] == row["front_probability"]
            assert shown.loc[trial, "plausible"] == row["plausible"]
    assert shown["latency_ms_64"].tolist() == runs_of(read_sweep(finished.store, "tiny"))["latency_ms_64"].tolist()
    assert shown["latency_ms_64"].min() > 0


def test_ray_changes_no_bit_of_what_a_plain_loop_trains(finished, tiny_store, students_of):
    assert students_of(finished.store) == students_of(tiny_store)


def test_running_again_does_nothing(sweep, store):
    before = contents(store)
    again, log = sweep(store)
    assert again.counts == {"finished": 3, "stopped": 0, "failed": 0, "reused": 3}
    assert "up to date" in log
    assert contents(store) == before


def test_a_latency_is_measured_where_it_is_missing_and_never_again(sweep, store):
    products, (known,) = contents(store), store.latencies()
    (path,) = (store.local / "latency").iterdir()
    written = path.stat().st_mtime_ns
    assert "latency of" not in sweep(store)[1]
    assert path.stat().st_mtime_ns == written
    path.unlink()
    outcome, log = sweep(store)
    assert log.count("latency of test_efficientnet: ") == 1
    (again,) = store.latencies()
    assert (again["form"], again["device"]) == (known["form"], known["device"])
    assert contents(store) == products
    assert (runs_of(read_sweep(store, "tiny"))["latency_ms_1"] == again["ms_1"]).all()
    assert outcome.ok


def test_a_latency_that_cannot_be_measured_is_a_note(sweep, store):
    shutil.rmtree(store.local / "latency")
    (store.local / "latency").touch()  # so that none can be written
    outcome, log = sweep(store)
    assert outcome.ok
    assert log.count("latency of test_efficientnet: not measured: ") == 1
    assert runs_of(read_sweep(store, "tiny"))["latency_ms_1"].isna().all()


HEAVY = ["torch", "torchvision", "timm", "ray", "mlflow", "matplotlib"]
LOADED = """
import atexit, sys
from sweeps.cli import main
atexit.register(lambda: print(sorted(set(sys.modules) & set(sys.argv.pop().split())), file=sys.stderr))
main(sys.argv[1:-1])
"""


@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_is_up_to_date_says_the_same_again_and_loads_nothing_heavy(finished, tiny, command):
    """In a real process: the output equals that of the first run, without loading what trains and draws."""
    arguments = [command, str(tiny), f"--storage={finished.store.root}", "--json", " ".join(HEAVY)]
    done = subprocess.run([sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
    printed, first = json.loads(done.stdout), json.loads(finished.stdout)
    if command == "run":
        assert printed == first | {"trials": first["trials"] | {"reused": 3}}
    else:
        assert not any(printed["cost"].values())


def test_a_longer_list_of_arms_and_seeds_trains_only_what_is_new(sweep, store):
    before = contents(store)
    outcome, log = sweep(store, "arms.0.method=[classic, mixup]", "arms.1.temperature=[2, 4]", "seeds=[0, 1]")
    assert outcome.counts == {"finished": 8, "stopped": 0, "failed": 0, "reused": 2}
    assert "labelling" not in log
    assert before.items() <= contents(store).items()


def test_what_fails_takes_nothing_else_with_it(kdsweep, tiny, tmp_path, ray_cluster):
    """A teacher fails and its trials with it, and so does one trial by itself; the last one finishes."""
    arms = "arms.0={method: classic, train.learning_rate: [1.0e+30, 0.001]}"
    edits = ["teachers.resnet.finetune.learning_rate=1.0e+30", arms]
    done = kdsweep("run", tiny, "--storage", tmp_path, *(f"--set={edit}" for edit in edits))
    assert done.exit_code == 1
    assert "1 finished, 0 stopped, 3 failed" in done.stderr
    assert "failed  teacher resnet  NonFiniteLossError" in done.stderr
    assert "the loss is nan; lower the learning rate" in done.stderr
    assert "NonFiniteLossError" in (Store.at(tmp_path).sweep("tiny").report / "report.html").read_text()


@pytest.mark.parametrize("override", ["resources.gpu=1", "resources.cpu=64"])
def test_resources_that_no_node_has_are_refused_at_once(sweep, tmp_path, override):
    with pytest.raises(SpecError, match=r"no node of the Ray cluster has more than"):
        sweep(Store.at(tmp_path), override)


def test_resources_auto_measures_a_trial_before_all_run_and_changes_no_number(sweep, finished, tmp_path, students_of):
    store = Store.at(tmp_path)
    outcome, log = sweep(store, "resources=auto", "arms=[{method: classic}]")
    assert outcome.ok
    line = r"resources: a trial takes \d+ MiB of memory; \d at a time with a margin of 25 %: cpu 1, gpu 0"
    assert re.search(line, log)
    assert students_of(store).items() <= students_of(finished.store).items()
    assert "resources: " not in finished.stderr
