"""Checks that Tune gets every step of a sweep once, in order, only when it asks for one, and in due time."""

import pytest

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from sweeps.plan.scouts import stopping_of
from sweeps.search.steps import StepSearcher
from tests.products import STOP, finish
from tests.sweeps.search.engines import Told

GRID = ("teachers={}", "arms=[{method: [classic, mixup]}]", "seeds=[0, 1]")
STOPPING = (*GRID, "early_stopping={pareto_asha: {grace_epochs: 1}}")
TAUGHT = ("arms=[{method: [classic, mixup]}, {method: kd, teacher: resnet, temperature: [2, 4]}]",)


@pytest.fixture
def searcher_of(tiny, tmp_path):
    """The searcher of a spec in an empty store, for a cluster with room for so many trials."""

    def make(*overrides, room=100):
        spec, store = read_spec(str(tiny), overrides), Store.at(tmp_path)
        return StepSearcher(plan_sweep(spec, store, summarize(spec.data)), store, Told(room))

    return make


def suggested(searcher, names):
    """The labels of what a searcher gives; None where it waits, FINISHED at its end."""
    labels = []
    for name in names:
        given = searcher.suggest(name)
        labels.append(label_of(searcher.engine.expected[-1]) if isinstance(given, dict) else given)
    return labels


def label_of(step):
    """The label of a trial, or the name of a teacher."""
    return step.trial.label if hasattr(step, "trial") else step.name


def test_trials_come_in_their_order_when_they_are_asked_for(searcher_of):
    searcher = searcher_of(*GRID)
    assert suggested(searcher, "1") == ["classic seed 0"]
    assert len(searcher.engine.expected) == 1
    searcher.on_trial_complete("1", {}, error=True)
    rest = ["classic seed 1", "mixup seed 0", "mixup seed 1", StepSearcher.FINISHED]
    assert suggested(searcher, "2345") == rest


def test_a_follower_waits_for_its_scout_and_is_given_up_if_that_is_stopped(searcher_of):
    searcher = searcher_of(*STOPPING)
    assert suggested(searcher, "abc") == ["classic seed 0", "mixup seed 0", None]
    stopped, finished = (planned.product for planned in searcher.engine.expected)
    stopped.write_stop(STOP.model_copy(update=stopping_of(searcher.schedule.plan.spec)))
    searcher.on_trial_complete("a")
    assert searcher.engine.given_up == [("classic seed 1", stopped.key)]
    assert suggested(searcher, "c") == [None]
    finish(finished)
    searcher.on_trial_complete("b")
    assert suggested(searcher, "cd") == ["mixup seed 1", StepSearcher.FINISHED]


def test_a_teacher_comes_first_and_trials_without_one_fill_the_room_beside_it(searcher_of):
    searcher = searcher_of(*TAUGHT, room=2)
    assert suggested(searcher, "ab") == ["resnet", None]  # which waits for room itself
    searcher.schedule.started(searcher.engine.expected[0])
    assert suggested(searcher, "bc") == ["classic seed 0", None]
    searcher.on_trial_complete("b")
    assert suggested(searcher, "c") == ["mixup seed 0"]
    finish(searcher.engine.expected[0].product)
    searcher.on_trial_complete("a")
    assert suggested(searcher, "def") == ["kd resnet T=2 seed 0", "kd resnet T=4 seed 0", StepSearcher.FINISHED]


def test_without_its_teacher_a_trial_is_given_up(searcher_of):
    searcher = searcher_of(*TAUGHT)
    assert suggested(searcher, "a") == ["resnet"]
    searcher.on_trial_complete("a", error=True)
    teacher = searcher.engine.expected[0].product.key
    assert searcher.engine.given_up == [("kd resnet T=2 seed 0", teacher), ("kd resnet T=4 seed 0", teacher)]
    assert suggested(searcher, "bcd") == ["classic seed 0", "mixup seed 0", StepSearcher.FINISHED]


def test_what_tune_keeps_of_it_is_empty(searcher_of):
    assert searcher_of(*GRID).__getstate__() == {}
