"""What may start when: teachers, then labels, then the trials that need them; scouts before their followers."""

import shutil

import pytest

from sweeps.plan.schedule import Labelling, Schedule
from sweeps.plan.scouts import stopping_of
from tests.products import STOP, finish

ARMS = ("teachers={}", "arms=[{method: [classic, mixup]}]", "seeds=[3, 0, 1]")
STOPPING = (*ARMS, "early_stopping={pareto_asha: {grace_epochs: 1}}")
LABELS = [f"{arm} seed {seed}" for arm in ("classic", "mixup") for seed in (3, 0, 1)]
TWO = (
    "teachers={one: {model: test_resnet, finetune: {epochs: 1}}, other: {model: test_resnet, finetune: {epochs: 2}}}",
)
TAUGHT = (*TWO, "arms=[{method: classic}, {method: kd, teacher: [one, other], temperature: [2, 4]}]")


@pytest.fixture
def store(empty):
    """The store of the plans, empty at first."""
    return empty


@pytest.fixture
def schedule_of(store):
    """The schedule of a plan, whose signals are labelled by two workers each; and who was given up."""

    def make(plan, labelled=True):
        given_up = []

        def labellings(signal, teacher):
            return [Labelling(signal, teacher, (1, 2), part, 2) for part in range(2)] if labelled else []

        schedule = Schedule(plan, store, labellings, lambda trial, needed: given_up.append((label_of(trial), needed)))
        schedule.join(plan.trials)
        return schedule, given_up

    return make


def label_of(step):
    """What a step is, in a few words."""
    if isinstance(step, Labelling):
        return f"{step.signal.label} {step.part}"
    return step.trial.label if hasattr(step, "trial") else step.name


def ready(schedule):
    """The labels of all trials that may start now."""
    return [label_of(each) for each in iter(schedule.next_trial, None)]


def upstream(schedule):
    """The teachers and labellings that may start now."""
    return list(iter(schedule.next_upstream, None))


def by_label(plan, label):
    """A trial of a plan."""
    return next(each for each in plan.trials if each.trial.label == label)


def stop(plan, record):
    """Write that the sweep of a plan has stopped a trial."""
    record.write_stop(STOP.model_copy(update=stopping_of(plan.spec)))


def test_scouts_come_first_and_followers_once_their_own_scout_has_finished(planned, schedule_of):
    plan = planned(*STOPPING)
    schedule, given_up = schedule_of(plan)
    assert ready(schedule) == ["classic seed 3", "mixup seed 3"]
    assert not schedule.is_over
    stopped, finished = (each for each in plan.trials if each.role == "scout")
    finish(finished.product)
    schedule.ended(finished)
    assert ready(schedule) == ["mixup seed 0", "mixup seed 1"]
    stop(plan, stopped.product)
    schedule.ended(stopped)
    assert given_up == [("classic seed 0", stopped), ("classic seed 1", stopped)]
    assert schedule.is_over
    assert ready(schedule) == []


def test_followers_of_a_scout_that_failed_do_not_run_and_are_wanted_the_next_time(planned, schedule_of):
    plan = planned(*STOPPING)
    (schedule, given_up), scout = schedule_of(plan), plan.trials[0]
    scout.product.fail("no memory", "")
    schedule.ended(scout)
    assert [label for label, _ in given_up] == ["classic seed 0", "classic seed 1"]
    assert not planned(*STOPPING).up_to_date
    assert [label_of(each) for each in planned(*STOPPING).pending] == LABELS


def test_without_early_stopping_all_may_run_at_once_in_the_order_of_the_spec(planned, schedule_of):
    schedule, _ = schedule_of(planned(*ARMS))
    assert ready(schedule) == LABELS
    assert schedule.is_over


def test_followers_of_a_scout_that_had_finished_wait_for_nobody(planned, schedule_of):
    plan = planned(*STOPPING)
    stop(plan, plan.trials[0].product)
    finish(plan.trials[3].product)
    schedule, _ = schedule_of(planned(*STOPPING))
    assert ready(schedule) == ["mixup seed 0", "mixup seed 1"]


def test_a_trial_waits_for_its_own_teacher_and_until_its_labels_are_begun(planned, schedule_of):
    plan = planned(*TAUGHT)
    schedule, _ = schedule_of(plan)
    one, other = upstream(schedule)
    assert [one.name, other.name] == ["one", "other"]
    assert ready(schedule) == ["classic seed 0"]
    assert schedule.upstream_waits
    for teacher in (one, other):
        schedule.started(teacher)
    assert not schedule.upstream_waits
    finish(one.product)
    schedule.ended(one)
    first, second = upstream(schedule)
    assert [label_of(first), label_of(second)] == ["one unmixed 0", "one unmixed 1"]
    assert first.key != second.key
    assert ready(schedule) == []
    assert schedule.num_behind_upstream == 4
    schedule.started(second)
    assert ready(schedule) == ["kd one T=2 seed 0", "kd one T=4 seed 0"]
    assert schedule.has_upstream_to_come  # the labels of the other
    finish(other.product)
    schedule.ended(other)
    assert not schedule.has_upstream_to_come
    assert not schedule.is_over
    for labelling in upstream(schedule):
        schedule.ended(labelling)  # even if it has failed
    assert ready(schedule) == ["kd other T=2 seed 0", "kd other T=4 seed 0"]
    assert schedule.is_over


def test_a_trial_knows_the_weights_of_its_teacher_when_it_starts(planned, schedule_of):
    schedule, _ = schedule_of(planned(*TAUGHT), labelled=False)
    for teacher in upstream(schedule):
        finish(teacher.product)
        schedule.ended(teacher)
    trials = list(iter(schedule.next_trial, None))
    weights = {each.name: each.made_from for each in schedule.plan.teachers}
    assert [each.made_from for each in trials] == [{}, *[weights[name] for name in ("one", "one", "other", "other")]]
    assert None not in weights.values()


def test_whoever_needs_a_teacher_that_failed_is_given_up_with_its_followers(planned, schedule_of):
    plan = planned(*TAUGHT, "seeds=[0, 1]", "early_stopping={pareto_asha: {grace_epochs: 1}}")
    schedule, given_up = schedule_of(plan)
    one, other = upstream(schedule)
    one.product.fail("no memory", "")
    schedule.ended(one)
    assert {label for label, _ in given_up} == {f"kd one T={t} seed {seed}" for t in (2, 4) for seed in (0, 1)}
    assert {type(needed).__name__ for _, needed in given_up} == {"TeacherPlan"}
    finish(other.product)
    schedule.ended(other)
    for labelling in upstream(schedule):
        schedule.started(labelling)
    assert ready(schedule) == ["classic seed 0", "kd other T=2 seed 0", "kd other T=4 seed 0"]


def test_a_finished_trial_runs_again_once_its_teacher_has_other_weights_and_not_if_they_are_equal(planned, schedule_of):
    plan = planned(*TAUGHT)
    one, other = plan.teachers
    for teacher in (one, other):
        finish(teacher.product)
    done = planned(*TAUGHT)
    for each in done.trials:
        finish(each.product, made_from=each.made_from)
    assert planned(*TAUGHT).up_to_date
    for teacher in (one, other):
        shutil.rmtree(teacher.product.path)
    schedule, _ = schedule_of(planned(*TAUGHT))
    assert upstream(schedule)
    assert ready(schedule) == []
    finish(one.product)
    schedule.ended(one)
    assert (upstream(schedule), ready(schedule)) == ([], [])
    finish(other.product, weights=b"others")
    schedule.ended(other)
    labellings = upstream(schedule)
    assert {each.signal.teacher for each in labellings} == {"other"}
    schedule.started(labellings[0])
    assert ready(schedule) == ["kd other T=2 seed 0", "kd other T=4 seed 0"]
