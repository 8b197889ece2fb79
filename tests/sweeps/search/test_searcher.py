"""Checks searches on a real Ray: they finish, go on after a kill and when extended, and repeat nothing."""

import shutil
from statistics import fmean

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from sweeps.plan.scouts import stopping_of
from sweeps.search.searcher import PointSearcher
from tests.products import STOP, edit, members_of
from tests.sweeps.search.engines import Told

ARMS = (
    "arms=[{method: kd_mixup, teacher: resnet, temperature: {low: 1, high: 8}, alpha: {low: 0.1, high: 0.9}}, "
    "{method: [classic, mixup], train.learning_rate: {low: 0.001, high: 0.1, log: true}}]"
)
NUM_TRIALS = 7
OBJECTIVES = ("validation/accuracy", "validation/ece")


def search(sampler, num_trials=NUM_TRIALS, **more):
    """The override that asks for a search."""
    rest = "".join(f", {key}: {value}" for key, value in more.items())
    return f"search={{sampler: {sampler}, trials: {num_trials}{rest}}}"


@pytest.fixture
def searcher_of(tiny):
    """What a new process makes of the records of a search; and what it tells its engine."""

    def searcher(store, *overrides):
        spec, engine = read_spec(str(tiny), overrides), Told(room=1)
        return PointSearcher(plan_sweep(spec, store, summarize(spec.data)), store, engine), engine

    return searcher


def points_of(store):
    """The settings of each point of the tiny search, and the records of its trials."""
    found = {}
    for member in members_of(store.sweep("tiny"))["trials"]:
        found.setdefault(str(member["settings"]), (member["settings"], []))[1].append(store.trial(member["key"]))
    return list(found.values())


@pytest.mark.parametrize("sampler", ["nsga2"])
def test_a_killed_search_goes_on_and_its_study_agrees_with_its_records(
    sampler, sweep, kill_driver, tmp_path, searcher_of
):
    store, overrides = Store.at(tmp_path), [ARMS, search(sampler)]
    kill_driver(store, overrides, lambda: len(list(store.local.glob("trials/*/manifest.json"))) >= 2)
    before = {record.key: record.state().manifest for _, records in points_of(store) for record in records}
    assert 2 <= sum(manifest is not None for manifest in before.values()) < NUM_TRIALS

    outcome, log = sweep(store, *overrides)
    assert outcome.counts["finished"] == NUM_TRIALS, log
    points = points_of(store)
    assert len(points) == NUM_TRIALS
    after = {record.key: record.state().manifest for _, records in points for record in records}
    assert all(after[key] == manifest for key, manifest in before.items() if manifest)  # with the time when it ended

    searcher, _ = searcher_of(store, *overrides)
    known = searcher.study.trials
    assert [each.state for each in known] == [TrialState.COMPLETE] * NUM_TRIALS
    for trial, (settings, records) in zip(known, points, strict=True):
        assert trial.values == [fmean(each.result().metrics[name] for each in records) for name in OBJECTIVES]
        for key in ("temperature", "alpha", "train.learning_rate"):
            assert trial.params.get(key) == settings.get(key)
    assert searcher.suggest("next") == Searcher.FINISHED

    longer, _ = searcher_of(store, ARMS, search(sampler, NUM_TRIALS + 2))
    longer.engine.room = 100
    keys = [longer.suggest(name)["step"]["key"] for name in ("one", "other")]
    assert longer.suggest("third") == Searcher.FINISHED
    assert not after.keys() & set(keys)


def test_a_search_begins_with_the_trials_of_another_sweep(store, searcher_of):
    arms = "arms=[{method: kd_mixup, teacher: resnet, temperature: {low: 1, high: 4}}, {method: classic}]"
    overrides = ("name=other", arms, search("tpe", warm_start="[tiny]"))
    searcher, engine = searcher_of(store, *overrides)
    assert engine.notes == ["search.warm_start: 2 of 3 finished trials of tiny lie in the space"]  # not that of Tsigma
    records = {each["label"]: store.trial(each["key"]) for each in members_of(store.sweep("tiny"))["trials"]}
    labels = ["classic seed 0", "kd_mixup resnet T=2 seed 0"]
    metrics = [records[label].result().metrics for label in labels]
    assert [each.values for each in searcher.study.trials] == [
        [figures[name] for name in OBJECTIVES] for figures in metrics
    ]
    assert [each.params.get("temperature") for each in searcher.study.trials] == [None, 2]


def test_a_proposal_that_is_finished_is_answered_from_the_store(store, sweep, searcher_of):
    """All points of this small space but one were trained by the sweep before."""
    overrides = (
        "name=other",
        "arms=[{method: kd_mixup, teacher: resnet, temperature: [2, 3, sigma]}]",
        search("random", 9),
    )
    outcome, log = sweep(store, *overrides)
    assert outcome.counts["finished"] == 3
    assert "started  kd_mixup resnet T=3 seed 0" in log
    assert log.count("started  ") == 1
    searcher, _ = searcher_of(store, *overrides)
    assert searcher.schedule.plan.up_to_date
    assert len({str(each.params) for each in searcher.study.trials}) == 3


def test_a_search_for_a_small_gap_is_told_its_size(store, searcher_of):
    arms = "arms=[{method: kd_mixup, teacher: resnet, temperature: {low: 1, high: 4}}, {method: classic}]"
    objectives = "objectives={validation/abs_gap: min}"
    searcher, _ = searcher_of(store, "name=other", arms, objectives, search("tpe", warm_start="[tiny]"))
    results = [store.trial(each["key"]).result() for each in members_of(store.sweep("tiny"))["trials"][:2]]
    assert [each.values for each in searcher.study.trials] == [
        [abs(each.metrics["validation/gap"])] for each in results
    ]


def test_parallel_proposals_do_not_repeat_each_other(tmp_path, searcher_of):
    store = Store.at(tmp_path)
    overrides = ("teachers={}", "arms=[{method: [classic, mixup], train.epochs: {low: 1, high: 8}}]", search("tpe", 16))
    searcher, _ = searcher_of(store, *overrides)
    searcher.engine.room = 100
    configs = [searcher.suggest(str(number)) for number in range(17)]
    assert configs.pop() == Searcher.FINISHED
    assert len({config["step"]["key"] for config in configs}) == 16
    limited, _ = searcher_of(store, *overrides)
    assert [limited.suggest(str(number)) is not None for number in range(4)] == [True, True, False, False]


MIXUP = ("teachers={}", "arms=[{method: mixup, train.learning_rate: {low: 0.1, high: 1}}]", "seeds=[0, 1, 2]")
RULE = "early_stopping={pareto_asha: {grace_epochs: 1}}"


def test_of_a_point_the_scout_comes_first_and_its_followers_are_what_the_study_is_told(store, searcher_of):
    """Three points of three seeds: one is stopped, one fails, and of one all three seeds finish."""
    finished, (searcher, engine) = finished_trials(store), searcher_of(store, *MIXUP, RULE, search("tpe", 3))
    searcher.engine.room = 100
    scouts = [store.trial(searcher.suggest(str(number))["step"]["key"]) for number in range(3)]
    assert searcher.suggest("3") is None
    scouts[0].write_stop(STOP.model_copy(update=stopping_of(searcher.schedule.plan.spec)))
    scouts[1].fail("no memory", "")
    finish_like(scouts[2], finished[0])
    for number in range(3):
        searcher.on_trial_complete(str(number))
    assert [needed for _, needed in engine.given_up] == [scouts[0].key] * 2 + [scouts[1].key] * 2
    followers = [store.trial(searcher.suggest(str(number))["step"]["key"]) for number in (3, 4)]
    assert searcher.suggest("5") == Searcher.FINISHED
    assert [each.state for each in searcher.study.trials] == [TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING]
    for number, (record, other) in enumerate(zip(followers, finished[1:], strict=True)):
        finish_like(record, other)
        searcher.on_trial_complete(str(3 + number))
    measured = [fmean(each.result().metrics[name] for each in followers) for name in OBJECTIVES]
    assert searcher.study.trials[2].values == measured
    again, _ = searcher_of(store, *MIXUP, RULE, search("tpe", 3))
    assert [each.state for each in again.study.trials] == [TrialState.PRUNED, TrialState.RUNNING, TrialState.COMPLETE]
    assert again.study.trials[2].values == measured
    assert [again.suggest(name) for name in "ab"] == [{"step": {"key": scouts[1].key}}, None]
    without, _ = searcher_of(store, *MIXUP, search("tpe", 3))  # all that was stopped or left out is to run
    assert len([each for each in without.schedule.plan.trials if not each.done]) == 6


def test_failed_trials_of_a_point_are_left_out_of_its_mean(store, searcher_of):
    overrides = (*MIXUP[:2], "seeds=[0, 1]", search("tpe", 2))
    searcher, _ = searcher_of(store, *overrides)
    searcher.engine.room = 100
    records = [store.trial(searcher.suggest(str(number))["step"]["key"]) for number in range(4)]
    for number, record in enumerate(records):
        if number == 3:
            finish_like(record, finished_trials(store)[0])
        else:
            record.fail("no memory", "")
        searcher.on_trial_complete(str(number))
    assert [each.state for each in searcher.study.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    again, _ = searcher_of(store, *overrides)
    assert [each.state for each in again.study.trials] == [TrialState.RUNNING, TrialState.RUNNING]


def finished_trials(store):
    """The records of the trials that are finished."""
    return [store.trial(path.parent.name) for path in sorted(store.local.glob("trials/*/manifest.json"))]


def finish_like(record, other):
    """Give a record the files of a finished one, as those of a trial without a teacher."""
    shutil.copytree(other.path, record.path, dirs_exist_ok=True)
    begun = other.state().begun.model_copy(update={"made_from": {}})
    edit(record, begun=begun.model_dump(mode="json"))


def test_what_another_process_proposed_counts(store, searcher_of):
    overrides = ("teachers={}", "arms=[{method: mixup, train.learning_rate: {low: 0.1, high: 1}}]", search("random", 3))
    first, _ = searcher_of(store, *overrides)
    second, _ = searcher_of(store, *overrides)
    first.engine.room = second.engine.room = 100
    keys = [first.suggest("a")["step"]["key"], first.suggest("b")["step"]["key"]]
    taken = [second.suggest(name)["step"]["key"] for name in "cde"]
    assert taken[:2] == keys
    assert taken[2] not in keys
    assert second.suggest("f") == Searcher.FINISHED
    assert first.suggest("g")["step"]["key"] == taken[2]
