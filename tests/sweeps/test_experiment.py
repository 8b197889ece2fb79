"""The front that MLflow shows is the one that the report wrote."""

import shutil

import pytest
from mlflow import MlflowClient

from analysis.report import write_report
from analysis.snapshot import read_sweep
from sweeps.experiment import rows_of_experiment
from sweeps.tracking.sync import embedded_uri, sync


@pytest.fixture
def shown(store, database, sketches):
    """The finished sweep's store, its report, and the URI of MLflow, which shows both."""
    report = write_report(read_sweep(store, "tiny"))
    shutil.copy(database, store.local)
    sync(store, "tiny", embedded_uri(store))
    return store, report, embedded_uri(store)


def test_the_rows_of_an_experiment_are_those_of_the_report(shown):
    _, report, uri = shown
    rows = rows_of_experiment(uri, "tiny")
    assert rows["front"] == report.front
    assert rows["arms"] == report.arms
    assert len(rows["arms"]) == 3


def test_the_objectives_are_those_of_the_report_that_is_shown(shown):
    store, _, uri = shown
    other = write_report(read_sweep(store, "tiny"), {"validation/nll": "min"})
    sync(store, "tiny", uri)
    rows = rows_of_experiment(uri, "tiny")
    assert rows["front"] == other.front
    assert len(rows["front"]) == 1


def test_probabilities_are_not_known_for_other_objectives(shown):
    _, _, uri = shown
    rows = rows_of_experiment(uri, "tiny", {"validation/nll": "min"})
    assert len(rows["front"]) == 1
    assert {(row["front_probability"], row["plausible"]) for row in rows["arms"]} == {(None, None)}
    assert all(row["ece_interval"] for row in rows["arms"])


def test_a_row_that_nobody_can_have_measured_is_flagged(shown):
    _, report, uri = shown
    client, trial = MlflowClient(uri), report.arms[0]["trial"]
    experiment = client.get_experiment_by_name("tiny").experiment_id
    (run,) = client.search_runs([experiment], f"tags.`kdsweep.trial` = '{trial}'")
    client.log_metric(run.info.run_id, "test/ece", 1.9, step=100)
    rows = rows_of_experiment(uri, "tiny")["arms"]
    assert rows[0]["impossible"].startswith("ECE ")
    assert not [row for row in rows[1:] if "impossible" in row]


def test_an_experiment_that_does_not_exist_is_named(shown):
    with pytest.raises(ValueError, match="no experiment named absent"):
        rows_of_experiment(shown[2], "absent")
