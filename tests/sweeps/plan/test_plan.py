"""Plans: what is up to date, under which key, and what the rest costs."""

import pytest

from kd_core.data.splits import summarize
from kd_core.spec.keys import trial_key
from kd_core.store.records import Store
from sweeps.plan.cost import cost_of
from sweeps.plan.plan import plan_sweep
from sweeps.spec.reader import read_spec, shipped_specs


def finish(record):
    """Write the verdict of a product as if it had been trained."""
    record.begin({})
    record.finish({}, {"weights_sha256": "0" * 64})


def test_a_trial_has_no_record_before_its_teacher_is_finished(planned):
    plan = planned()
    assert [trial.record is None for trial in plan.trials] == [False, True, True]
    assert [trial["label"] for trial in plan.members()["trials"]] == ["classic seed 0"]
    waiting = {"arm": "kd_mixup resnet T=2", "label": "kd_mixup resnet T=2 seed 0", "teacher": "resnet", "seed": 0}
    assert plan.members()["waiting"][0] == waiting
    assert plan.members()["waiting"][1]["label"] == "kd_mixup resnet T=sigma seed 0"
    finish(plan.teachers[0].record)
    assert all(trial.record for trial in planned().trials)
    assert not planned().up_to_date


def test_a_plan_is_up_to_date_when_every_product_has_its_verdict(planned):
    finish(planned().teachers[0].record)
    for trial in planned().trials:
        finish(trial.record)
    assert planned().up_to_date
    assert not planned("arms.0.train.epochs=3").up_to_date


def test_trials_share_records_whatever_sweep_they_belong_to(planned):
    other = planned("name=other", "arms=[{method: [classic, mixup]}]", "resources.cpu=2")
    assert other.trials[0].record.key == planned().trials[0].record.key


def test_a_retrained_teacher_makes_other_trials(planned):
    config = planned().trials[1].trial.config
    keys = {trial_key(config, "data", teacher_sha256=weights) for weights in ("a" * 64, "b" * 64)}
    assert len(keys) == 2


def test_a_teacher_that_no_arm_names_is_not_made(planned):
    assert not planned("arms=[{method: classic}]").teachers


def test_members_list_the_signals_that_are_stored(planned):
    assert planned().members()["signals"] == []
    finish(planned().teachers[0].record)
    (signal,) = planned().members()["signals"]
    assert (signal["label"], signal["teacher"], signal["epochs"]) == ("resnet uniform", "resnet", 2)
    assert planned("signal=live").members()["signals"] == []


def test_members_tell_the_size_of_the_data(planned):
    data = planned().members()["data"]
    assert (data["num_train"], data["num_validation"], data["num_classes"], data["image_size"]) == (90, 30, 10, 8)
    assert data["fingerprint"] == planned().data.fingerprint


def test_the_form_of_a_student_is_known_once_a_trial_has_finished(planned):
    arms = "arms=[{method: [classic, mixup]}]"
    plan = planned(arms)
    assert plan.forms == []
    for trial in plan.trials:
        finish(trial.record)
    first, second = planned(arms).forms
    assert first == second
    assert (first["student"]["model"], first["num_classes"], first["image_size"]) == ("test_efficientnet", 10, 8)


def test_trials_of_one_signal_point_to_it_and_others_to_none(planned):
    plan = planned()
    assert plan.trials[0].signal is None
    assert plan.trials[1].signal is plan.trials[2].signal is plan.signals[0]


@pytest.mark.parametrize("name", shipped_specs())
def test_every_shipped_spec_plans(name, tmp_path, overrides_of):
    spec = read_spec(name, overrides_of(name))
    plan = plan_sweep(spec, Store.at(tmp_path), summarize(spec.data))
    assert not plan.up_to_date
    assert all(signal.stored for signal in plan.signals if len(signal.pending_epochs) > 1)
    cost = cost_of(plan)
    assert cost.live_teacher_flops >= cost.teacher_flops > 0


def test_a_sweep_keeps_the_threads_with_which_it_began(planned, empty):
    begun = planned("resources={cpu: 2, teacher_cpu: 4}")
    assert begun.threads == {"trial": 2, "teacher": 4}
    empty.sweep("tiny").write("", begun.members())
    assert planned("resources.cpu=8").threads == begun.threads
    assert planned("resources.cpu=8", "name=other").threads == {"trial": 8, "teacher": 8}
