"""Checks what a search wants of the store before its first trial, and how it finds its own proposals again."""

import pytest

from sweeps.config.errors import SpecError
from sweeps.config.reader import read_spec
from sweeps.plan.wanted import trials_wanted

SEARCH = "search={sampler: random, trials: 5}"
RANGE = "arms=[{method: [kd, kd_mixup], teacher: resnet, temperature: {low: 1, high: 8}, train.epochs: [1, 2, 3]}]"
MIXED = (
    "arms=[{method: kd_mixup, teacher: resnet, mixup: {distribution: beta}, mixup.concentration: {low: 1, high: 2}}]"
)


def test_a_search_knows_its_signals_and_cost_before_the_first_trial(planned):
    plan = planned(SEARCH, RANGE)
    assert plan.trials == ()
    assert plan.num_unproposed == 5
    assert {each.label for each in plan.signals} == {"resnet unmixed", "resnet uniform"}
    assert all(each.stored and each.num_epochs == 3 for each in plan.signals)
    assert plan.teachers[0].num_trials >= 5
    assert not plan.up_to_date


def test_a_range_that_would_make_a_signal_a_trial_has_a_live_teacher(planned):
    plan = planned(SEARCH, MIXED)
    assert not any(each.stored or each.foreseen for each in plan.signals)
    assert plan.as_json()["signals"] == []
    with pytest.raises(SpecError, match=r"signal\.mode: stored: a range of the arms makes a signal for every trial"):
        planned(SEARCH, MIXED, "signal=stored")


def test_proposals_are_found_again_as_long_as_they_lie_in_the_space(planned, empty, tiny):
    point = trials_wanted(read_spec(str(tiny), [SEARCH, RANGE]), empty).unproposed[0]
    planned(SEARCH, RANGE).with_trials([point], empty).write(empty)

    again = planned(SEARCH, RANGE)
    assert [each.trial for each in again.trials] == [point]
    assert again.num_unproposed == 4
    assert again.trials[0].trial.settings == point.settings
    more = planned("search={sampler: random, trials: 9}", RANGE)
    assert (len(more.trials), more.num_unproposed) == (1, 8)
    elsewhere = planned(SEARCH, RANGE.replace("low: 1, high: 8", "low: 30, high: 40"))
    assert (len(elsewhere.trials), elsewhere.num_unproposed) == (0, 5)


def test_a_space_of_few_points_ends_the_search_when_all_are_proposed(planned, empty):
    arms = "arms=[{method: [classic, mixup]}]"
    plan = planned(SEARCH, arms)
    assert plan.num_unproposed == 2
    by_method = {each.trial.config.method: each.trial for each in plan.unproposed}
    for trial in by_method.values():
        plan = plan.with_trials([trial], empty)
    plan.write(empty)
    assert planned(SEARCH, arms).num_unproposed == 2 - len(by_method)


def test_a_warm_start_from_itself_or_an_unknown_sweep_is_refused(planned):
    with pytest.raises(SpecError, match=r"search\.warm_start: tiny: is the search itself; it goes on from its own"):
        planned("search={sampler: random, trials: 5, warm_start: [tiny]}")
    with pytest.raises(SpecError, match=r"search\.warm_start: nowhere: no sweep named nowhere in"):
        planned("search={sampler: random, trials: 5, warm_start: [nowhere]}")
