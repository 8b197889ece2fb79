"""Checks that Tune gets every trial of a grid once, in order, only when it asks for one, and followers in due time."""

import pytest

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from sweeps.plan.scouts import stopping_of
from sweeps.search.grid import GridSearcher
from tests.products import STOP, finish

GRID = ("teachers={}", "arms=[{method: [classic, mixup]}]", "seeds=[0, 1]")
STOPPING = (*GRID, "early_stopping={pareto_asha: {grace_epochs: 1}}")


@pytest.fixture
def searcher_of(tiny, tmp_path):
    """The searcher of a spec in an empty store, and the labels of those that it expects and gives up."""

    def make(*overrides):
        spec = read_spec(str(tiny), overrides)
        expected, given_up = [], []
        searcher = GridSearcher(
            plan_sweep(spec, Store.at(tmp_path), summarize(spec.data)),
            lambda planned: expected.append(planned) or planned.trial.label,
            lambda planned, scout: given_up.append((planned.trial.label, scout.trial.label)),
        )
        return searcher, expected, given_up

    return make


def test_trials_come_in_their_order_when_they_are_asked_for(searcher_of):
    searcher, expected, _ = searcher_of(*GRID)
    assert searcher.suggest("1") == {"trial": "classic seed 0"}
    assert len(expected) == 1
    searcher.on_trial_complete("1", {}, error=True)
    assert [searcher.suggest(number) for number in "2345"] == [
        {"trial": "classic seed 1"},
        {"trial": "mixup seed 0"},
        {"trial": "mixup seed 1"},
        GridSearcher.FINISHED,
    ]


def test_a_follower_waits_for_its_scout_and_is_given_up_if_that_is_stopped(searcher_of):
    searcher, expected, given_up = searcher_of(*STOPPING)
    assert [searcher.suggest(number) for number in "ab"] == [{"trial": "classic seed 0"}, {"trial": "mixup seed 0"}]
    assert searcher.suggest("c") is None
    stopped, finished = (planned.product for planned in expected)
    stopped.write_stop(STOP.model_copy(update=stopping_of(searcher.plan.spec)))
    searcher.on_trial_complete("a")
    assert given_up == [("classic seed 1", "classic seed 0")]
    assert searcher.suggest("c") is None
    finish(finished)
    searcher.on_trial_complete("b")
    assert [searcher.suggest(number) for number in "cd"] == [{"trial": "mixup seed 1"}, GridSearcher.FINISHED]


def test_what_tune_keeps_of_it_is_empty(searcher_of):
    assert searcher_of(*GRID)[0].__getstate__() == {}
