"""What `kdsweep report` prints and writes; `plan/test_upkeep.py` tests `verify` and `signal prune`."""

import json
import shutil

from kd_core.config.identity import trial_key
from kd_core.data.dataset import load
from kd_core.training.trial import run_trial
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec
from sweeps.tracking.sync import embedded_uri
from tests.products import write_members


def test_a_report_is_written_again(kdsweep, store):
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
    write_members(store.sweep("other"), "", {"sweep": "other", "objectives": objectives, "trials": [listed]})
    done = kdsweep("report", "tiny", "--storage", store.root, "--against", "other")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("kdsweep: --against: other: ")


def test_the_front_comes_from_mlflow_as_from_the_store(kdsweep, store, database, sketches):
    shutil.copy(database, store.local)
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
