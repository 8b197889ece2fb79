"""Times from trials of the same form: the median of their epochs, and unknown where there is none."""

import json

import pytest

from kd_core.store.records import Store
from sweeps.plan.eta import Paces, Work, duration_text, form_in_plan, paces_in, time_of
from tests.products import edit


def seconds_an_epoch(record):
    """The mean of a journal of two epochs, which is their median."""
    return sum(row["epoch_s"] for row in record.journal().epochs) / 2


def test_a_pace_is_the_median_of_the_trials_medians_so_that_a_slow_first_epoch_counts_little():
    paces = Paces()
    for trial, epochs in (("a", [90, 1, 1]), ("b", [90, 2, 2]), ("c", [90, 3, 3])):
        paces.add("form", trial, epochs)
    assert paces.seconds("form") == 2
    assert paces.seconds("other") is None


def test_time_is_divided_by_what_runs_at_once_but_is_never_less_than_that_of_the_longest_trial():
    paces = Paces()
    paces.add("form", "a", [2.0])
    assert paces.time_left([Work("form", 5)] * 4, at_once=2).seconds == 20
    assert paces.time_left([Work("form", 5)] * 4, at_once=8).seconds == 10
    assert paces.time_left([]).seconds == 0


def test_what_no_trial_tells_is_unknown_and_not_guessed():
    paces = Paces()
    assert str(paces.time_left([Work("form", 5)])) == "unknown (no trial of this form has finished an epoch)"
    assert paces.time_left([Work("", 5)]).seconds is None
    paces.add("form", "a", [2.0])
    left = paces.time_left([Work("form", 5), Work("other", 5)])
    assert (left.seconds, left.num_trials, left.num_unknown) == (10, 1, 1)
    assert str(left) == "at least 10 s (from 1 trial of the same form; unknown for 1 of another form)"


def test_trials_that_a_search_has_yet_to_propose_take_the_mean_of_those_that_have_run():
    paces = Paces()
    paces.add("small", "a", [1.0])
    paces.add("large", "b", [3.0])
    assert paces.time_left([Work("", 10)]).seconds == 20


def test_a_plan_takes_its_time_from_finished_trials_of_the_same_form(planned, store):
    plan = planned("train.epochs=4", store=store)
    assert {trial.status for trial in plan.trials} == {"pending"}
    classic, *mixed = [seconds_an_epoch(each.product) for each in planned(store=store).trials]
    assert time_of(plan, store).seconds == pytest.approx(4 * classic + 4 * sum(mixed))
    assert time_of(plan, store).num_unknown == 0
    assert time_of(planned(store=store), store).seconds == 0


@pytest.mark.parametrize("other", ["train.batch_size=16", "student.image_size=16", "data.limit=100", "resources.cpu=2"])
def test_trials_of_another_form_tell_no_time(planned, store, other):
    plan = planned("name=another", "arms=[{method: classic}]", "seeds=[7]", other, store=store)
    assert time_of(plan, store).seconds is None


def test_a_teacher_in_every_trial_is_another_form_than_a_stored_signal(planned, store):
    stored, live = (
        form_in_plan(planned(f"signal={mode}", store=store).trials[1], planned(f"signal={mode}", store=store))
        for mode in ("stored", "live")
    )
    assert json.loads(stored)["teacher"] == "stored"
    assert json.loads(live)["teacher"]["model"] == "test_resnet"


def test_of_one_form_only_trials_of_one_device_count(planned, store):
    plan = planned(store=store)
    _, mixed, other = plan.trials
    form = form_in_plan(mixed, plan)
    assert form_in_plan(other, plan) == form
    assert paces_in(store, {form}, first="tiny").num_trials(form) == 2
    edit(other.product, machine={"device": "an abacus"})
    assert paces_in(store, {form}, first="tiny").num_trials(form) == 1


def test_an_unfinished_trial_of_another_sweep_tells_no_time(planned, store):
    plan = planned(store=store)
    form = form_in_plan(plan.trials[0], plan)
    assert paces_in(store, {form}, first="tiny").num_trials(form) == 1
    (plan.trials[0].product.path / "manifest.json").unlink()
    assert paces_in(store, {form}, first="tiny").num_trials(form) == 0


def test_the_plan_prints_its_time_and_has_it_as_json(tiny, kdsweep, store, tmp_path):
    more = ("plan", tiny, "--set", "train.epochs=4", "--storage")
    assert json.loads(kdsweep(*more, store.root, "--json").stdout)["time"]["seconds"] > 0
    assert "time to train, one after another: about" in kdsweep(*more, store.root).stderr
    nothing = json.loads(kdsweep(*more, tmp_path / "new", "--json").stdout)["time"]
    assert nothing == {"seconds": None, "num_trials": 0, "num_unknown": 4}
    assert "one after another: unknown (" in kdsweep(*more, Store.at(tmp_path / "new").root).stderr


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (3900, "1 h 5 min"), (90000, "1 d 1 h")]
)
def test_a_duration_is_told_in_two_units_at_most(seconds, text):
    assert duration_text(seconds) == text
