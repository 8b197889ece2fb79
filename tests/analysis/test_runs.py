import time

import numpy as np
import pandas as pd
import pytest

from analysis.pareto import front_of
from analysis.report import write_report
from analysis.runs import (
    METRICS,
    journals_of,
    recycled_of,
    runs_of,
    runs_of_experiment,
    teachers_of,
    temperature_name,
)
from analysis.tables import front_rows
from kd_core.store.files import read_json, write_json
from kd_core.store.records import Store


def test_every_trial_is_one_row_with_its_recipe_and_its_figures(store):
    runs = runs_of(store, "demo").set_index("label")
    assert len(runs) == 8
    row = runs.loc["kd_mixup resnet T=sigma alpha=0.2 seed 1"]
    assert (row["method"], row["teacher"], row["temperature"], row["alpha"]) == ("kd_mixup", "resnet", "sigma", 0.2)
    assert (row["student"], row["seed"], row["num_parameters"]) == ("tiny", 1, 1234)
    verdict = store.trial(row["trial"]).verdict()
    assert row[METRICS].dropna().to_dict() == verdict["metrics"]
    assert row["scaling_temperature"] == verdict["temperature"]
    assert list(verdict["metrics"]) == [name for name in METRICS if not name.endswith("_standardized")]


def test_a_student_without_a_logit_scale_has_every_figure_in_three_readings(make_sweep):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": "sigma"}]
    store = make_sweep(arms=arms, seeds=(0,))
    runs = runs_of(store, "demo").set_index("arm")
    verdict = store.trial(runs.loc["kd resnet T=sigma", "trial"]).verdict()
    assert runs.loc["kd resnet T=sigma", METRICS].to_dict() == verdict["metrics"]
    assert runs.loc["classic", [name for name in METRICS if name.endswith("_standardized")]].isna().all()


def test_a_record_of_before_a_figure_was_known_lacks_that_figure_only(make_sweep):
    store = make_sweep(arms=[{"method": "classic"}], teachers=(), seeds=(0,))
    path = store.trial("trial-0-0").path / "result.json"
    verdict = read_json(path)
    known = {name: value for name, value in verdict["metrics"].items() if "aurc" not in name and "mce" not in name}
    write_json(path, verdict | {"metrics": known})
    row = runs_of(store, "demo").iloc[0]
    assert row[METRICS].dropna().to_dict() == known
    (point,) = front_rows(front_of(runs_of(store, "demo")))
    assert (point["aurc"], point["ece"]) == (None, known["test/ece"])
    assert "trial-0-0" in write_report(store, "demo").path.read_text(encoding="utf-8")


def test_an_unfinished_trial_keeps_its_status_and_error_and_has_no_figures(store):
    row = runs_of(store, "demo").set_index("label").loc["mixup seed 1"]
    assert (row["status"], row["error"]) == ("failed", "FloatingPointError: the loss is nan at epoch 2")
    assert row[["wall_s", *METRICS]].isna().all()


def test_a_trial_that_never_started_is_pending_and_a_teacherless_one_has_no_temperature(tmp_path):
    store = Store.at(tmp_path)
    trial = {"key": "k", "label": "classic seed 0", "arm": "classic", "teacher": None, "seed": 0}
    store.sweep("s").write("", {"sweep": "s", "objectives": {}, "teachers": [], "trials": [trial]})
    (row,) = runs_of(store, "s").to_dict("records")
    assert (row["status"], row["method"], row["teacher"], row["temperature"]) == ("pending", "", "", "")
    assert np.isnan(row["alpha"])
    assert teachers_of(store, "s").empty
    assert journals_of(store, "s").empty


def test_a_sweep_that_was_never_run_is_named(store):
    with pytest.raises(FileNotFoundError, match="no sweep named absent"):
        runs_of(store, "absent")


def test_teachers_are_rows_with_the_figures_of_their_cards(store):
    (row,) = teachers_of(store, "demo").to_dict("records")
    assert (row["teacher"], row["key"], row["model"], row["status"]) == (
        "resnet",
        "teacher-resnet",
        "resnet18",
        "finished",
    )
    assert row["test/accuracy"] == store.teacher("teacher-resnet").verdict()["metrics"]["test/accuracy"]


def test_journals_are_one_row_an_epoch_of_every_trial_that_trained(store):
    journals = journals_of(store, "demo")
    assert len(journals) == 7 * 3
    assert journals.groupby(["arm", "seed"])["epoch"].agg(list).map(lambda epochs: epochs == [1, 2, 3]).all()


@pytest.mark.parametrize(
    ("temperature", "name"), [(2.0, "2"), ("4.0", "4"), (0.5, "0.5"), ("sigma", "sigma"), (None, ""), ("None", "")]
)
def test_a_temperature_has_one_name_wherever_it_comes_from(temperature, name):
    assert temperature_name(temperature) == name


def flattened(value, prefix=""):
    """A nested config under dotted names, as the tracking side logs it."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        key: leaf
        for name, each in value.items()
        for key, leaf in flattened(each, f"{prefix}.{name}" if prefix else name).items()
    }


def test_an_mlflow_experiment_tells_the_same_table_as_the_store(store, tmp_path):
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(uri)
    experiment = client.create_experiment("demo", artifact_location=str(tmp_path))
    client.create_run(experiment, run_name="demo", start_time=0)  # the parent run, which is no trial
    expected = runs_of(store, "demo")
    for number, row in enumerate(expected.to_dict("records"), start=1):
        record, now = store.trial(row["trial"]), int(time.time() * 1000)
        tags = {
            f"kdsweep.{name}": str(row[name])
            for name in ("trial", "label", "arm", "teacher", "seed", "status", "error")
        }
        figures = {name: row[name] for name in ("scaling_temperature", "num_parameters", "wall_s", *METRICS)}
        figures = {"train/loss": 1.0} | {name: value for name, value in figures.items() if not np.isnan(value)}
        client.log_batch(
            client.create_run(experiment, start_time=number).info.run_id,
            metrics=[Metric(name, value, now, 0) for name, value in figures.items()],
            params=[Param(name, str(value)) for name, value in flattened(record.config()).items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
    pd.testing.assert_frame_equal(runs_of_experiment(uri, "demo"), expected)
    with pytest.raises(ValueError, match="no experiment named absent; there are Default, demo"):
        runs_of_experiment(uri, "absent")


def test_recycled_epochs_are_told_where_a_trial_saw_one_twice(make_sweep):
    store = make_sweep(arms=[{"method": "classic"}], teachers=(), seeds=(0, 1))
    assert recycled_of(store, "demo") == []
    config = store.trial("trial-0-0").config()
    for recycle, told in ((config["train"]["epochs"], []), (1, [1])):
        write_json(store.trial("trial-0-0").path / "config.json", config | {"recycle": recycle})
        assert recycled_of(store, "demo") == told
    assert "used over and over" in write_report(store, "demo").path.read_text(encoding="utf-8")
