"""One parent and a nested child a trial, by epoch, idempotent, judged as the report judges; in a real MLflow store."""

import json
from pathlib import Path

import pandas as pd
import pytest

from analysis.objectives import OBJECTIVES, scaled
from analysis.pareto import front_of
from analysis.report import write_report
from analysis.runs import runs_of, runs_of_experiment
from analysis.snapshot import read_sweep
from kd_core.evaluate.latency import form_of
from kd_core.store.files import read_json, write_json
from kd_core.training.trial import run_trial
from sweeps.tracking.sync import embedded_uri, sync
from tests.products import DATA, STOP, members_of, write_members
from tests.sweeps.tracking.support import config_in, view_of


def test_a_sweep_is_one_parent_with_a_nested_child_a_trial(trained):
    store, _ = trained
    sync(store, "tiny", embedded_uri(store))
    client, runs, view = view_of(embedded_uri(store))
    parent = next(run for run in runs if run.info.run_name == "tiny")
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.info.run_name for run in children) == ["classic seed 0", "mixup seed 0"]
    status, params, tags, metrics = view["classic seed 0"]
    assert status == "FINISHED"
    assert params == {"method": "classic", "alpha": "1", "student": "test_efficientnet", "seed": "0"}
    assert tags["kdsweep.arm"] == "classic"
    assert sorted(step for name, step, *_ in metrics if name == "validation/ece") == [1, 2]
    assert {"test/ece", "test/ece_scaled", "scaling_temperature"} <= {name for name, *_ in metrics}
    assert "report.html" in {file.path for file in client.list_artifacts(parent.info.run_id)}


def test_syncing_again_changes_nothing_and_later_adds_only_what_is_new(trained):
    store, dataset = trained
    uri = embedded_uri(store)
    sync(store, "tiny", uri)
    before = view_of(uri)[2]
    sync(store, "tiny", uri)
    assert view_of(uri)[2] == before
    assert before["mixup seed 0"][0] == "RUNNING"
    trial = next(each for each in members_of(store.sweep("tiny"))["trials"] if each["arm"] == "mixup")
    record = store.trial(trial["key"])
    list(run_trial(config_in(record), dataset, record))
    sync(store, "tiny", uri)
    after = view_of(uri)[2]
    assert after["classic seed 0"] == before["classic seed 0"]
    assert after["mixup seed 0"][0] == "FINISHED"
    assert before["mixup seed 0"][3] < after["mixup seed 0"][3]
    assert after["tiny"][0] == "FINISHED"


def fronts(store):
    """The front by the store and by MLflow, which front.json confirms, and the plausible arms by the last two."""
    runs = runs_of(read_sweep(store, "tiny")), runs_of_experiment(embedded_uri(store), "tiny")
    content = read_json(store.sweep("tiny").report / "front.json")
    told = [
        front_of(each, scaled(OBJECTIVES)).members[["arm", "trials", "validation/ece", "test/nll"]].to_dict("records")
        for each in runs
    ]
    filed = [{"arm": row["arm"], "trials": row["trials"]} for row in content["temperature_scaled"]["front"]]
    assert [{"arm": row["arm"], "trials": row["trials"]} for row in told[0]] == filed
    plausible = runs[1].loc[runs[1]["plausible"], "arm"].drop_duplicates().tolist()
    return told, (plausible, [row["arm"] for row in content["arms"] if row["plausible"]])


def test_the_front_is_the_same_from_the_store_from_mlflow_and_from_its_file(shown):
    (store, mlflow), (plausible, filed) = fronts(shown)
    assert store == mlflow
    assert plausible == filed
    assert "classic train.epochs=3" not in {row["arm"] for row in store} | set(plausible)


@pytest.mark.usefixtures("sketches")
def test_the_front_is_that_of_the_arms_that_another_spec_of_the_same_name_has(judged):
    sweep, best = judged.sweep("tiny"), fronts(judged)[0][0][0]["arm"]
    content = members_of(sweep)
    write_members(
        sweep, "", content | {"trials": [trial for trial in reversed(content["trials"]) if trial["arm"] != best]}
    )
    write_report(read_sweep(judged, "tiny"))
    sync(judged, "tiny", embedded_uri(judged))
    (store, mlflow), (shown, filed) = fronts(judged)
    assert store == mlflow
    assert shown == filed
    assert best not in {row["arm"] for row in mlflow}


def test_every_run_shows_what_the_report_says_of_its_arm(shown):
    rows = read_json(shown.sweep("tiny").report / "front.json")["arms"]
    _, _, view = view_of(embedded_uri(shown))
    labels = {trial["key"]: trial["label"] for trial in members_of(shown.sweep("tiny"))["trials"]}
    for row in rows:
        for trial in row["trials"]:
            _, _, tags, metrics = view[labels[trial]]
            values = {name: value for name, _, _, value in metrics}
            assert values["front_probability"] == row["front_probability"]
            assert [values["test/ece_low"], values["test/ece_high"]] == row["ece_interval"]
            assert [values["test/accuracy_low"], values["test/accuracy_high"]] == row["accuracy_interval"]
            assert [values["test/ece_scaled_low"], values["test/ece_scaled_high"]] == row["ece_scaled_interval"]
            assert tags["on_front"] == ("true" if row["on_front"] else "false")
            assert tags["plausible"] == ("true" if row["plausible"] else "false")
    _, _, tags, metrics = view["mixup train.learning_rate=0.01 seed 0"]  # it failed
    assert (tags["on_front"], tags["plausible"]) == ("false", "false")
    assert "front_probability" not in {name for name, *_ in metrics}


def test_a_run_that_has_ended_follows_the_report_and_nothing_else_changes(judged):
    uri, path = embedded_uri(judged), judged.sweep("tiny").report / "front.json"
    before = view_of(uri)[2]
    sync(judged, "tiny", uri)
    assert view_of(uri)[2] == before
    content = read_json(path)
    row = max(content["arms"], key=lambda each: each["front_probability"])
    row |= {"front_probability": 0.001, "plausible": False, "on_front": False}
    write_json(path, content)
    sync(judged, "tiny", uri)
    runs = runs_of_experiment(uri, "tiny").set_index("trial")
    assert (runs.loc[row["trials"], "front_probability"] == 0.001).all()
    assert not runs.loc[row["trials"], "plausible"].any()
    after, members = view_of(uri)[2], members_of(judged.sweep("tiny"))["trials"]
    untouched = [trial["label"] for trial in members if trial["key"] not in row["trials"]]
    assert {label: after[label] for label in untouched} == {label: before[label] for label in untouched}


def test_a_latency_is_shown_once_it_is_measured(judged):
    uri, sweep = embedded_uri(judged), judged.sweep("tiny")
    assert runs_of_experiment(uri, "tiny")["latency_ms_1"].isna().all()
    data = DATA.model_dump()
    write_members(sweep, "", members_of(sweep) | {"data": data})
    form = form_of(
        judged.trial(members_of(sweep)["trials"][0]["key"]).state().config["student"], num_classes=10, image_size=8
    )
    judged.keep_latency({"form": form, "device": "abacus", "ms_1": 3.0, "ms_64": 0.25, "measured_at": 1.0})
    sync(judged, "tiny", uri)
    shown, columns = runs_of_experiment(uri, "tiny"), ["trial", "latency_ms_1", "latency_ms_64", "latency_device"]
    pd.testing.assert_frame_equal(shown[columns], runs_of(read_sweep(judged, "tiny"))[columns])
    assert set(shown["latency_device"]) == {"abacus", ""}


def artifacts_of(client, run):
    """The names of a run's artifacts."""
    return {file.path for file in client.list_artifacts(run.info.run_id)}


def test_a_child_brings_its_config_its_diagram_or_its_traceback_and_its_machine(shown):
    client, runs, _ = view_of(embedded_uri(shown))
    by_name = {run.info.run_name: run for run in runs}
    failed, finished = (
        by_name["mixup train.learning_rate=0.01 seed 0"],
        by_name["mixup train.learning_rate=0.01 seed 1"],
    )
    assert artifacts_of(client, failed) == {"config.json", "failure.txt"}
    assert artifacts_of(client, finished) == {"config.json", "reliability.svg"}
    assert artifacts_of(client, by_name["tiny"]) >= {"spec.yaml", "report.html", "front.svg"}
    assert "Traceback" in Path(client.download_artifacts(failed.info.run_id, "failure.txt")).read_text()
    record = shown.trial(finished.data.tags["kdsweep.trial"])
    config = json.loads(Path(client.download_artifacts(finished.info.run_id, "config.json")).read_text())
    assert config == record.state().config
    manifest = record.state().manifest
    assert finished.data.tags["kdsweep.node"] == manifest.machine["node"]
    assert finished.data.tags["kdsweep.device"] == manifest.machine["device"]
    commit = manifest.versions.get("commit", "")
    assert finished.data.tags.get("mlflow.source.git.commit", "") == commit.removesuffix("-dirty")


def test_runs_are_sorted_by_their_standing_the_sweep_first(shown):
    _, runs, view = view_of(embedded_uri(shown))
    content = read_json(shown.sweep("tiny").report / "front.json")
    standing = {run.data.tags.get("kdsweep.trial"): run.data.tags["standing"] for run in runs}
    assert view["tiny"][2]["standing"] == min(standing.values())
    on_front = {trial for row in content["arms"] if row["on_front"] for trial in row["trials"]}
    assert {trial for trial, each in standing.items() if each == "1 on the front"} == on_front
    assert view["mixup train.learning_rate=0.01 seed 0"][2]["standing"] == "5 failed"


def test_a_trial_that_the_spec_has_dropped_says_so(judged):
    uri, sweep = embedded_uri(judged), judged.sweep("tiny")
    content = members_of(sweep)
    write_members(sweep, "", content | {"trials": content["trials"][1:]})
    sync(judged, "tiny", uri)
    dropped = view_of(uri)[2][content["trials"][0]["label"]][2]
    assert (dropped["kdsweep.in_spec"], dropped["kdsweep.place"]) == ("false", "-1")
    assert dropped["standing"] == "6 not in spec"
    write_members(sweep, "", content)
    sync(judged, "tiny", uri)
    assert view_of(uri)[2][content["trials"][0]["label"]][2]["kdsweep.in_spec"] == "true"
    (store, mlflow), _ = fronts(judged)
    assert store == mlflow


def test_what_a_later_spec_varies_is_added_to_the_runs_there_are(several, copied):
    store = copied(several)
    uri, sweep = embedded_uri(store), store.sweep("tiny")
    content = members_of(sweep)
    alike = [trial for trial in content["trials"] if "0.01" not in trial["label"] and "epochs" not in trial["label"]]
    write_members(sweep, "", content | {"trials": alike})
    sync(store, "tiny", uri)
    assert all("train.learning_rate" not in params for _, params, _, _ in view_of(uri)[2].values())
    write_members(sweep, "", content)
    sync(store, "tiny", uri)
    view = view_of(uri)[2]
    rates = {view[trial["label"]][1]["train.learning_rate"] for trial in content["trials"]}
    assert rates == {"0.002", "0.01"}
    columns = view_of(uri)[0].get_experiment_by_name("tiny").tags["mlflow.sharedViewState.kdsweep"]
    assert "params.`train.learning_rate`" in columns
    assert "params.`student`" not in columns  # the same in all


def test_a_stop_shows_its_rung_and_its_reason_until_the_trial_goes_on(trained):
    store, dataset = trained
    uri = embedded_uri(store)
    trial = next(each for each in members_of(store.sweep("tiny"))["trials"] if each["arm"] == "mixup")
    record = store.trial(trial["key"])
    record.write_stop(STOP.model_copy(update={"reason": "behind the rung's front", "time": 1.7e9}))
    sync(store, "tiny", uri)
    status, _, tags, metrics = view_of(uri)[2]["mixup seed 0"]
    assert (status, tags["stop_reason"], tags["rung"]) == ("KILLED", "behind the rung's front", "1")
    assert ("rung", 1, 1_700_000_000_000, 1.0) in metrics
    list(run_trial(config_in(record), dataset, record))
    sync(store, "tiny", uri)
    status, _, tags, _ = view_of(uri)[2]["mixup seed 0"]
    assert (status, tags["stop_reason"], tags["kdsweep.status"]) == ("FINISHED", "", "finished")


def test_a_follower_that_is_left_out_keeps_no_sweep_open_and_roles_are_tags(trained):
    store, _ = trained
    uri, sweep = embedded_uri(store), store.sweep("tiny")
    scout, follower = ({"role": role} for role in ("scout", "follower"))
    trials = [each | scout for each in members_of(sweep)["trials"]]
    trials.append(trials[1] | {"key": "none", "seed": 1, "label": "mixup seed 1"} | follower)
    write_members(sweep, "", members_of(sweep) | {"trials": trials})
    sync(store, "tiny", uri)
    assert view_of(uri)[2]["tiny"][0] == "RUNNING"
    store.trial(trials[1]["key"]).write_stop(STOP)
    sync(store, "tiny", uri)
    view = view_of(uri)[2]
    assert (view["tiny"][0], view["tiny"][2]["kdsweep.stopped"]) == ("FINISHED", "2")
    assert view["mixup seed 0"][2]["kdsweep.role"] == "scout"
