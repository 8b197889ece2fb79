"""Checks early stopping on a real Ray: who is stopped, what is kept of them, and how others go on from there."""

import shutil

import pytest

from analysis.runs import runs_of
from analysis.snapshot import read_sweep
from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from sweeps.search.pareto_asha import Rungs
from sweeps.search.scheduler import ParetoAshaScheduler
from tests.products import members_of

ARMS = "arms=[{method: [classic, mixup], train.learning_rate: [0.003, 0.03, 0.3]}]"
LONG = (ARMS, "teachers={}", "train.epochs=4", "early_stopping=null")
RULE = "{grace_epochs: 1, reduction_factor: 2, tolerance: 0}"
STOPPING = (*LONG[:3], f"early_stopping={{pareto_asha: {RULE}}}")


@pytest.fixture(scope="module")
def stopped(sweep, kill_driver, tmp_path_factory):
    """A store with a sweep whose rule has stopped some of six trials, and whose driver was killed after the first stop.

    Only to be read. Returns also what was stopped when the driver died, and the outcome and the log of the second run.
    """
    store = Store.at(tmp_path_factory.mktemp("stopped"))
    kill_driver(store, STOPPING, lambda: list(store.local.glob("trials/*/stopped.json")))
    before = stops_of(store)
    outcome, log = sweep(store, *STOPPING)
    return store, before, outcome, log


def stops_of(store):
    """Why trials of the sweep were stopped, as their records say, by their keys."""
    return {record.key: stop for record in records_of(store) if (stop := record.state().stop)}


def records_of(store, name="tiny"):
    """The records of the trials of a sweep."""
    return [store.trial(each["key"]) for each in members_of(store.sweep(name))["trials"]]


def plan_of(tiny, store, *overrides):
    """The plan of the tiny sweep with these overrides."""
    spec = read_spec(str(tiny), overrides)
    return plan_sweep(spec, store, summarize(spec.data))


def stops_of_journals(plan):
    """Why trials are stopped, by their keys, if all is decided anew from the journals."""
    rungs = Rungs(plan.spec.early_stopping.pareto_asha, plan.spec.objectives)
    trials = [(each.product, each.trial.config.train.num_epochs) for each in plan.trials]
    for record, num_epochs in trials:
        rungs.add(record.key, record.journal().epochs, num_epochs)
    stops = {record.key: rungs.decide(record.key, record.journal().epochs, num_epochs) for record, num_epochs in trials}
    return {key: stop.reason for key, stop in stops.items() if stop}


def test_some_trials_are_stopped_and_say_their_rung(stopped, tiny):
    store, before, outcome, log = stopped
    records = records_of(store)
    stops = {record.key: record.state().stop for record in records if record.status == "stopped"}
    reused = outcome.counts["reused"]  # by the second run
    assert outcome.counts == {"finished": 6 - len(stops), "stopped": len(stops), "failed": 0, "reused": reused}, log
    assert len(before) <= reused < 6
    assert 0 < len(stops) < 6
    for record in records:
        if stop := stops.get(record.key):
            assert stop == before.get(record.key, stop)
            assert (stop.sweep, stop.epoch) == ("tiny", record.journal().num_epochs)
            assert stop.epoch == 2 ** (stop.rung - 1)
            names = [path.name for path in record.checkpoints()[:1]]  # none if the driver died before it was written
            assert names == [f"checkpoint-{stop.epoch:09d}.pt"] or (record.key in before and not names)
            assert not record.lease.taken
            assert record.key in before or stop.reason in log
    assert not [problem for record in records for problem in record.problems()]
    page = (store.sweep("tiny").report / "report.html").read_text()
    for stop in stops.values():
        assert f"rung {stop.rung}: {stop.reason}" in page
    runs = runs_of(read_sweep(store, "tiny")).set_index("trial")
    assert runs.loc[list(stops), "validation/accuracy"].isna().all()  # so they are on no front


def test_the_decisions_are_those_of_the_journals(stopped, tiny):
    store, *_ = stopped
    written = {record.key: stop.reason for record in records_of(store) if (stop := record.state().stop)}
    assert stops_of_journals(plan_of(tiny, store, *STOPPING)) == written


def test_a_scheduler_of_a_new_driver_gives_the_same_answers_and_keeps_no_state(stopped, tiny):
    store, *_ = stopped
    plan = plan_of(tiny, store, *STOPPING)
    scheduler = ParetoAshaScheduler(plan, store)
    for each in plan.trials:
        stop, config = each.state.stop, each.trial.config.model_dump(mode="json")
        reported = type(
            "Trial", (), {"config": {"step": {"kind": "trial", "key": each.product.key, "config": config}}}
        )()
        epoch = len(each.product.journal().epochs)
        for status in ({"status": "waiting"}, {"status": "again"}):
            assert scheduler.on_trial_result(None, reported, status) == scheduler.CONTINUE
        answer = scheduler.on_trial_result(None, reported, {"status": "running", "epoch": epoch})
        assert answer == (scheduler.STOP if stop else scheduler.CONTINUE)


def test_a_stopped_trial_is_done_for_the_same_sweep_and_rule_only(stopped, tiny):
    store, *_ = stopped
    assert plan_of(tiny, store, *STOPPING).up_to_date
    statuses = [each.status for each in plan_of(tiny, store, *STOPPING).trials]
    for others in (
        LONG,
        (*STOPPING, "name=other"),
        (*STOPPING, "early_stopping.pareto_asha.tolerance=0.1"),
        (*STOPPING, "objectives={validation/nll: min}"),
    ):
        plan = plan_of(tiny, store, *others)
        assert [each.status for each in plan.trials] == [s if s == "finished" else "pending" for s in statuses]


def test_a_later_grid_trains_what_was_stopped_to_the_weights_of_uninterrupted_trials(
    sweep, sweep_here, stopped, students_of, tmp_path
):
    store, _, first, _ = stopped
    halves = {record.key: len(record.journal().epochs) for record in records_of(store) if record.state().stop}
    before = {record.key: record.journal().epochs for record in records_of(store)}
    copied = Store.at(tmp_path / "runs")
    _copy(store, copied)
    outcome, log = sweep(copied, *LONG)
    assert outcome.counts == {"finished": 6, "stopped": 0, "failed": 0, "reused": first.counts["finished"]}, log
    assert not [record for record in records_of(copied) if record.state().stop]
    for record in records_of(copied):  # rows of the epochs before are not written again
        assert record.journal().epochs[: halves.get(record.key, 4)] == before[record.key]
        assert len(record.journal().epochs) == 4
    whole = Store.at(tmp_path / "whole")
    sweep_here(whole, *LONG)
    assert students_of(copied) == students_of(whole)


def test_a_damaged_stop_is_as_good_as_none_and_is_decided_again(stopped, tiny, tmp_path):
    store, *_ = stopped
    copied = Store.at(tmp_path / "runs")
    _copy(store, copied)
    record = next(record for record in records_of(copied) if record.state().stop)
    stop = record.state().stop
    (record.path / "stopped.json").write_text('{"sweep": "tiny"')
    assert "stopped.json: is damaged" in record.problems()[0]
    plan = plan_of(tiny, copied, *STOPPING)
    assert [each.product.key for each in plan.pending] == [record.key]
    assert stops_of_journals(plan)[record.key] == stop.reason


def _copy(store, copied):
    """Copy a store to a folder that does not exist yet."""
    shutil.copytree(store.local, copied.local)


def test_of_each_arm_the_first_seed_scouts_and_the_others_run_to_the_end_or_not_at_all(sweep, tiny, tmp_path):
    """What is made of it is what the journals say."""
    store = Store.at(tmp_path / "runs")
    arms = "arms=[{method: classic, train.learning_rate: [0.003, 0.1, 0.3, 0.5]}]"
    overrides = (arms, "teachers={}", "train.epochs=2", STOPPING[-1], "seeds=[4, 1]")
    outcome, _ = sweep(store, *overrides)
    plan = plan_of(tiny, store, *overrides)
    scouts, followers = plan.trials[::2], plan.trials[1::2]
    assert [each.role for each in plan.trials] == ["scout", "follower"] * 4
    assert [each.status for each in followers] == [each.status for each in scouts]
    num_stopped = sum(each.status == "stopped" for each in scouts)
    assert 0 < num_stopped < 4
    assert outcome.counts["stopped"] == 2 * num_stopped
    assert outcome.counts["failed"] == 0
    assert plan.up_to_date
    rungs = Rungs(plan.spec.early_stopping.pareto_asha, plan.spec.objectives)
    for each in scouts:
        rungs.add(each.product.key, each.product.journal().epochs, 2)
    for scout, follower in zip(scouts, followers, strict=True):
        stop = rungs.decide(scout.product.key, scout.product.journal().epochs, 2)
        assert (stop is not None) == (scout.status == "stopped")
        assert follower.state.journal.num_epochs == (0 if stop else 2)
        assert not follower.state.stop
    page = (store.sweep("tiny").report / "report.html").read_text()
    assert page.count("left out: its scout was stopped") == num_stopped
    told = "Early stopping decided on seed 4 of each arm alone; figures are of seed 1, on which nothing was decided."
    assert told in page
