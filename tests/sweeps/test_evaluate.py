"""A spec that asks for evaluations gets them with its sweep; what is damaged or killed is made again."""

import pytest

from analysis.snapshot import read_sweep
from kd_core.store.records import Store

FEW = "evaluate={images: 20, pairs: 10, lambdas: 3, draws: 1, resamples: 50}"


@pytest.mark.system
def test_an_evaluation_that_cannot_be_made_is_said_and_leaves_the_sweep_as_it_is(sweep, tmp_path):
    (tmp_path / "empty").mkdir()
    store = Store.at(tmp_path / "runs")
    asked = f"evaluate={{images: 20, corruptions: {tmp_path / 'empty'}}}"
    outcome, log = sweep(store, "teachers={}", "arms=[{method: classic}]", asked)
    assert outcome.ok
    assert "not evaluated: " in log
    assert outcome.report.path.exists()


@pytest.mark.system
def test_a_spec_may_ask_for_evaluations_of_what_may_be_on_the_front(sweep, tmp_path):
    store = Store.at(tmp_path / "runs")
    outcome, log = sweep(store, "teachers={}", "arms=[{method: [classic, mixup]}]", FEW)
    assert outcome.ok
    assert "evaluating: " in log
    snapshot = read_sweep(store, "tiny")
    assert set(snapshot.evaluations) == {each.key for each in snapshot.trials}  # without a teacher: all of them
    _, again = sweep(store, "teachers={}", "arms=[{method: [classic, mixup]}]", FEW)
    assert "evaluating" not in again
    key = next(iter(snapshot.evaluations))
    (store.evaluation(snapshot.evaluations[key]["corruption"].key).path / "manifest.json").unlink()
    _, mended = sweep(store, "teachers={}", "arms=[{method: [classic, mixup]}]", FEW)
    assert "evaluating: 1 of " in mended
    assert read_sweep(store, "tiny").evaluations[key]["corruption"] is not None
