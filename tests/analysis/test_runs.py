import shutil
import time

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from analysis.findings import findings_of
from analysis.pareto import front_of
from analysis.report import write_report
from analysis.runs import (
    FIGURES,
    METRICS,
    journals_of,
    objectives_of_experiment,
    recycled_of,
    runs_of,
    runs_of_experiment,
    teachers_of,
    temperature_name,
)
from analysis.snapshot import read_sweep
from kd_core.evaluate.latency import form_of
from kd_core.measure.calibration import expected_calibration_error
from kd_core.store.records import Store
from kd_core.store.writer import ProductWriter
from tests.damages import damage
from tests.products import DATA, STOP, edit, members_of, write_members


def test_every_trial_is_one_row_with_its_recipe_and_its_figures(store):
    runs = runs_of(read_sweep(store, "demo")).set_index("label")
    assert len(runs) == 8
    row = runs.loc["kd_mixup resnet T=sigma alpha=0.2 seed 1"]
    assert (row["method"], row["teacher"], row["temperature"], row["alpha"]) == ("kd_mixup", "resnet", "sigma", 0.2)
    assert (row["student"], row["seed"], row["num_parameters"]) == ("tiny", 1, 1234)
    assert row["settings"] == {"mixup.distribution": "uniform"}  # the only other key in which trials differ
    result = store.trial(row["trial"]).result()
    assert row[METRICS].dropna().to_dict() == result.metrics
    assert row["scaling_temperature"] == result.temperature
    assert list(result.metrics) == [name for name in METRICS if not name.endswith("_standardized")]


def test_a_student_without_a_logit_scale_has_every_figure_in_three_readings(make_sweep):
    arms = [{"method": "classic"}, {"method": "kd", "teacher": "resnet", "temperature": "sigma"}]
    store = make_sweep(arms=arms, seeds=(0,))
    runs = runs_of(read_sweep(store, "demo")).set_index("arm")
    result = store.trial(runs.loc["kd resnet T=sigma", "trial"]).result()
    assert runs.loc["kd resnet T=sigma", METRICS].to_dict() == result.metrics
    assert runs.loc["classic", [name for name in METRICS if name.endswith("_standardized")]].isna().all()


@pytest.mark.usefixtures("sketches")
def test_a_record_of_before_a_figure_was_known_lacks_that_figure_only(make_sweep):
    store = make_sweep(arms=[{"method": "classic"}], teachers=(), seeds=(0,))
    product = store.trial("trial-0-0")
    metrics = product.result().metrics
    known = {name: value for name, value in metrics.items() if "aurc" not in name and "mce" not in name}
    edit(product, result={"metrics": known})
    row = runs_of(read_sweep(store, "demo")).iloc[0]
    assert row[METRICS].dropna().to_dict() == known
    point = front_of(runs_of(read_sweep(store, "demo"))).members.iloc[0]
    assert np.isnan(point["test/aurc"])
    assert point["test/ece"] == known["test/ece"]
    assert "trial-0-0" in write_report(read_sweep(store, "demo")).path.read_text(encoding="utf-8")


def test_the_size_of_a_gap_is_a_figure_of_each_trial(store):
    runs = runs_of(read_sweep(store, "demo"))
    for gap in ("validation/gap", "validation/gap_scaled", "test/gap", "test/gap_scaled"):
        assert runs[gap].min() < 0
        pd.testing.assert_series_equal(runs[gap.replace("gap", "abs_gap")], runs[gap].abs(), check_names=False)


def measure(store, **choices):
    """Keep a latency of the sweep's student, on data whose size the sweep tells."""
    sweep, data = store.sweep("demo"), DATA.model_copy(update={"num_classes": 5}).model_dump()
    write_members(sweep, "", members_of(sweep) | {"data": data})
    form = form_of(store.trial("trial-0-0").state().config["student"], num_classes=5, image_size=8)
    store.keep_latency({"form": form, "device": "abacus", "ms_1": 3.0, "ms_64": 0.25, "measured_at": 1.0} | choices)


def test_the_latency_of_a_student_is_that_of_its_form_and_only_finished_trials_have_it(make_sweep):
    store = make_sweep(unfinished=("mixup seed 1",))
    figures = ["latency_ms_1", "latency_ms_64"]
    assert runs_of(read_sweep(store, "demo"))[figures].isna().all(axis=None)
    measure(store)
    runs = runs_of(read_sweep(store, "demo")).set_index("label")
    finished = runs.drop(index="mixup seed 1")
    assert (finished[figures] == [3.0, 0.25]).all(axis=None)
    assert (finished["latency_device"] == "abacus").all()
    assert runs.loc["mixup seed 1", figures].isna().all()
    assert runs.loc["mixup seed 1", "latency_device"] == ""
    measure(store, form={"student": "another"}, ms_1=9.0)
    again = runs_of(read_sweep(store, "demo")).set_index("label")
    assert (again.loc[finished.index, figures] == [3.0, 0.25]).all(axis=None)


def test_an_unfinished_trial_keeps_its_status_and_error_and_has_no_figures(store):
    row = runs_of(read_sweep(store, "demo")).set_index("label").loc["mixup seed 1"]
    assert (row["status"], row["error"]) == ("failed", "FloatingPointError: the loss is nan at epoch 2")
    assert row[["wall_s", *METRICS]].isna().all()


@pytest.mark.usefixtures("sketches")
@pytest.mark.parametrize("name", ["manifest.json", "predictions-validation.npz", "predictions-test.npz"])
@pytest.mark.parametrize("kind", ["cut", "flipped"])
def test_a_trial_whose_manifest_or_predictions_are_damaged_has_no_figures_and_says_why(make_sweep, name, kind):
    store = make_sweep()
    path = store.trial("trial-0-0").path / name
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes(content[:middle] if kind == "cut" else flipped)
    page = write_report(read_sweep(store, "demo")).path.read_text(encoding="utf-8")
    assert f"{path.name}: is " in page
    runs = runs_of(read_sweep(store, "demo")).set_index("trial")
    row = runs.loc["trial-0-0"]
    assert row["status"] == "damaged"
    assert row["error"].startswith(f"{path}: is ")
    assert row[METRICS].isna().all()
    assert (runs.drop(index="trial-0-0")["status"] == "finished").all()
    assert store.trial("trial-0-0").status == "damaged"  # so the next run makes it again


def test_a_trial_that_never_started_is_pending_and_a_teacherless_one_has_no_temperature(tmp_path):
    store = Store.at(tmp_path)
    trial = {"key": "k", "label": "classic seed 0", "arm": "classic", "teacher": None, "seed": 0}
    write_members(store.sweep("s"), "", {"sweep": "s", "objectives": {}, "teachers": [], "trials": [trial]})
    (row,) = runs_of(read_sweep(store, "s")).to_dict("records")
    assert (row["status"], row["method"], row["teacher"], row["temperature"]) == ("pending", "", "", "")
    assert np.isnan(row["alpha"])
    assert teachers_of(read_sweep(store, "s")).empty
    assert journals_of(read_sweep(store, "s")).empty


def test_a_sweep_that_was_never_run_is_named(store):
    with pytest.raises(FileNotFoundError, match="no sweep named absent"):
        runs_of(read_sweep(store, "absent"))


def test_teachers_are_rows_with_the_figures_of_their_cards(store):
    (row,) = teachers_of(read_sweep(store, "demo")).to_dict("records")
    assert (row["teacher"], row["key"], row["model"], row["status"]) == (
        "resnet",
        "teacher-resnet",
        "resnet18",
        "finished",
    )
    assert row["test/accuracy"] == store.teacher("teacher-resnet").result().metrics["test/accuracy"]


def test_a_fused_teacher_is_a_row_with_the_figures_of_the_average_of_its_members(make_sweep):
    store = make_sweep(teachers=("resnet", "vit"), fused={"members": ("vit", "resnet"), "rule": "mean"})
    snapshot = read_sweep(store, "demo")
    *_, row = teachers_of(snapshot).to_dict("records")
    assert (row["teacher"], row["key"], row["status"]) == ("both", "teachers-both", "finished")
    assert row["model"] == "mean of vit, resnet"
    members = [each.predictions("test", with_logits=True) for each in snapshot.teachers]
    probabilities = np.mean([softmax(each.logits.astype(np.float64), axis=1) for each in members], axis=0)
    correct, confidence = probabilities.argmax(axis=1) == members[0].label, probabilities.max(axis=1)
    assert row["test/accuracy"] == pytest.approx(correct.mean())
    assert row["test/confidence"] == pytest.approx(confidence.mean(), rel=1e-6)
    assert row["test/ece"] == pytest.approx(expected_calibration_error(confidence, correct), rel=1e-5)
    assert row["num_parameters"] == sum(each.result.num_parameters for each in snapshot.teachers)
    evidence = findings_of(snapshot).teacher_test
    assert evidence is not None
    assert evidence.arms == ["resnet", "vit", "both"]


@pytest.mark.parametrize("rule", ["mean", "confidence", "entropy"])
def test_a_fused_teacher_of_one_member_has_its_figures(make_sweep, rule):
    member, fused = teachers_of(read_sweep(make_sweep(fused={"members": ("resnet",), "rule": rule}), "demo")).to_dict(
        "records"
    )
    for name in ("accuracy", "ece", "nll", "ece_scaled", "classwise_ece"):
        assert fused[f"test/{name}"] == pytest.approx(member[f"test/{name}"], rel=1e-5), name


def test_a_fused_teacher_of_a_member_that_failed_or_is_damaged_says_so(make_sweep):
    store = make_sweep(teachers=("resnet", "vit"), fused={"members": ("vit", "resnet"), "rule": "mean"})
    product = store.teacher("teacher-vit")
    damage(product.path / "predictions-test.npz", "flipped")
    table = findings_of(read_sweep(store, "demo")).teachers
    assert table["status"].tolist() == ["finished", "damaged", "damaged"]
    assert table["error"].iloc[-1] == "its member, vit, is damaged"
    (product.path / "manifest.json").unlink()
    product.fail("ValueError: no teacher", "")
    assert teachers_of(read_sweep(store, "demo"))["status"].tolist() == ["finished", "failed", "failed"]


def test_journals_are_one_row_an_epoch_of_every_trial_that_trained(store):
    journals = journals_of(read_sweep(store, "demo"))
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


@pytest.fixture
def experiment(make_sweep, database, tmp_path):
    """A sweep with latencies and a failed trial, and an experiment that shows it: its client and identifier.

    Child runs began in the opposite order of the spec; the last one is of a trial that the sweep has dropped.
    """
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    store = make_sweep(unfinished=("mixup seed 1",))
    measure(store)
    client = MlflowClient(f"sqlite:///{shutil.copy(database, tmp_path)}")
    identifier = client.create_experiment("demo", artifact_location=str(tmp_path))
    client.create_run(
        identifier, run_name="demo", start_time=0, tags={"kdsweep.objectives": '{"validation/ece": "min"}'}
    )
    rows = list(enumerate(runs_of(read_sweep(store, "demo")).to_dict("records")))
    for place, row in [(-1, {**rows[0][1], "trial": "dropped"}), *reversed(rows)]:
        now = int(time.time() * 1000)
        names = ("trial", "label", "arm", "teacher", "seed", "status", "error", "latency_device")
        tags = {f"kdsweep.{name}": str(row[name]) for name in names} | {"kdsweep.place": str(place)}
        figures = {"train/loss": 1.0} | {name: row[name] for name in (*FIGURES, *METRICS) if not np.isnan(row[name])}
        config = store.trial(rows[0][1]["trial"] if place < 0 else row["trial"]).state().config
        client.log_batch(
            client.create_run(identifier, start_time=100 - place).info.run_id,
            metrics=[Metric(name, value, now, 0) for name, value in figures.items()],
            params=[Param(name, str(value)) for name, value in flattened(config).items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
    return store, client, identifier


def test_an_mlflow_experiment_tells_the_same_table_as_the_store(experiment):
    store, client, _ = experiment
    shown, known = runs_of_experiment(client.tracking_uri, "demo"), runs_of(read_sweep(store, "demo"))
    pd.testing.assert_frame_equal(shown.drop(columns="settings"), known.drop(columns="settings"))
    assert objectives_of_experiment(client.tracking_uri, "demo") == {"validation/ece": "min"}
    for read in (runs_of_experiment, objectives_of_experiment):
        with pytest.raises(ValueError, match="no experiment named absent; there are Default, demo"):
            read(client.tracking_uri, "absent")


def test_an_mlflow_experiment_tells_what_the_report_said_of_its_runs(experiment):
    _, client, identifier = experiment
    run = client.search_runs([identifier], "tags.`kdsweep.label` = 'classic seed 1'")[0].info.run_id
    client.set_tag(run, "plausible", "true")
    client.log_metric(run, "front_probability", 0.75)
    client.log_metric(run, "test/ece_low", 0.01)
    runs = runs_of_experiment(client.tracking_uri, "demo").set_index("label")
    assert runs.loc["classic seed 1", ["front_probability", "plausible", "test/ece_low"]].tolist() == [0.75, True, 0.01]
    assert runs["plausible"].sum() == 1
    assert runs["front_probability"].count() == 1


def test_an_experiment_without_a_report_has_no_objectives_of_its_own(experiment):
    _, client, identifier = experiment
    parent = client.search_runs([identifier], "tags.`kdsweep.objectives` != ''")[0].info.run_id
    client.delete_tag(parent, "kdsweep.objectives")
    assert objectives_of_experiment(client.tracking_uri, "demo") is None


@pytest.mark.usefixtures("sketches")
def test_recycled_epochs_are_told_where_a_trial_saw_one_twice(make_sweep):
    store = make_sweep(arms=[{"method": "classic"}], teachers=(), seeds=(0, 1))
    assert recycled_of(read_sweep(store, "demo")) == []
    config = store.trial("trial-0-0").state().config
    for recycle, told in ((config["train"]["epochs"], []), (1, [1])):
        edit(store.trial("trial-0-0"), begun={"recipe": config | {"recycle": recycle}})
        assert recycled_of(read_sweep(store, "demo")) == told
    assert "Recycled epochs" in write_report(read_sweep(store, "demo")).path.read_text(encoding="utf-8")


def test_who_is_left_out_is_stopped_and_says_why_and_roles_are_told(make_sweep):
    store = make_sweep(unfinished=("classic seed 0", "classic seed 1"))
    sweep = store.sweep("demo")
    trials = [each | {"role": "follower" if each["seed"] else "scout"} for each in members_of(sweep)["trials"]]
    write_members(sweep, "", members_of(sweep) | {"trials": trials})
    scout = store.trial(trials[0]["key"])
    ProductWriter(scout, scout.state().config)
    scout.write_stop(STOP)
    runs = runs_of(read_sweep(store, "demo"))
    assert runs["role"].tolist() == ["scout", "follower"] * 4
    assert runs["status"].tolist()[:3] == ["stopped", "stopped", "finished"]
    assert runs["error"].tolist()[:2] == ["rung 1: behind", "left out: its scout was stopped"]
