"""What MLflow shows of one trial."""

import json

import numpy as np
from mlflow.entities import Metric

from analysis.snapshot import read_sweep
from sweeps.tracking.trial_run import (
    arm_metrics,
    changed_metrics,
    datasets_of,
    end_of,
    ended_at,
    metrics_of,
    standing_of,
    started_at,
    training_s,
    write_diagram,
)
from tests.products import DATA


def trial_of(trained, arm):
    """An arm's trial."""
    store, _ = trained
    return next(trial for trial in read_sweep(store, "tiny").trials if trial.entry.arm == arm)


def test_a_finished_trial_has_ended_and_another_goes_on(trained):
    finished, begun = trial_of(trained, "classic"), trial_of(trained, "mixup")
    assert end_of(finished).endswith("+00:00")
    assert end_of(begun) == ""
    assert started_at(finished) < ended_at(finished)
    assert training_s(finished) == finished.result.wall_s


def test_metrics_are_those_of_the_epochs_that_are_new_and_of_the_result_once(trained):
    finished, begun = trial_of(trained, "classic"), trial_of(trained, "mixup")
    assert {metric.step for metric in metrics_of(begun, 0)} == {1}
    assert metrics_of(begun, 1) == []
    named = [(metric.key, metric.step, metric.value) for metric in metrics_of(finished, 0)]
    assert len(named) == len(set(named))
    assert {"test/ece", "num_parameters", "scaling_temperature"} <= {name for name, *_ in named}


def test_the_diagram_is_a_figure_with_a_size(trained, tmp_path):
    assert write_diagram(trial_of(trained, "classic"), tmp_path)
    assert 'width="' in (tmp_path / "reliability.svg").read_text().partition(">")[0]
    assert not write_diagram(trial_of(trained, "mixup"), tmp_path)


def test_a_data_set_is_told_by_name_fingerprint_source_and_context(trained):
    child = trial_of(trained, "classic")
    inputs = datasets_of(child.config, DATA)
    assert [each.dataset.name for each in inputs] == ["digits train", "digits validation"]
    assert {each.dataset.digest for each in inputs} == {"0123456789abcdef"}
    assert [tag.value for each in inputs for tag in each.tags] == ["train", "validation"]
    assert json.loads(inputs[0].dataset.source)["source"] == "digits"
    assert json.loads(inputs[1].dataset.profile)["num_rows"] == 30
    assert datasets_of({}, DATA) == []


def test_standings_are_in_order(trained):
    child = trial_of(trained, "classic")
    rows = [{"on_front": True, "plausible": True}, {"on_front": False, "plausible": True}]
    standings = [standing_of(child, row) for row in [*rows, {"on_front": False, "plausible": False}, {}]]
    standings += [standing_of(trial_of(trained, "mixup"), {}), standing_of(None, {})]
    assert standings == sorted(set(standings))


def test_a_judgement_is_told_in_numbers_and_only_where_it_changed():
    judged = arm_metrics({"front_probability": 0.5, "ece_interval": [0.1, 0.2], "ece_estimate": 0.15})
    assert judged == {"front_probability": 0.5, "test/ece_low": 0.1, "test/ece_high": 0.2, "test/ece_estimate": 0.15}
    points = changed_metrics({"front_probability": 0.5, "test/ece_low": 0.0}, judged, 7.0)
    assert {point.key for point in points} == set(judged) - {"front_probability"}
    assert all(isinstance(point, Metric) for point in points)
    times = {point.key: point.timestamp for point in points}
    assert times["test/ece_high"] == 7000 < times["test/ece_low"]
    assert np.isclose(sum(point.value for point in points), 0.45)
