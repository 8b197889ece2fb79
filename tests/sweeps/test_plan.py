"""Plans: what is up to date, under which key, and what the rest costs."""

import pytest

from kd_core.data import fingerprint_of, summarize
from kd_core.keys import trial_key
from kd_core.records import Store
from sweeps.plan import cost_of, plan_sweep
from sweeps.spec import read_spec, shipped_specs


@pytest.fixture
def planned(tiny, tmp_path):
    def plan(*overrides, store=None):
        spec = read_spec(str(tiny), overrides)
        return plan_sweep(spec, store or Store.at(tmp_path / "runs"), fingerprint_of(spec.data))

    return plan


def finish(record):
    record.begin({})
    record.finish({}, {"weights_sha256": "0" * 64})


def test_a_trial_has_no_record_before_its_teacher_is_finished(planned):
    plan = planned()
    assert [trial.record is None for trial in plan.trials] == [False, True, True]
    assert [trial["label"] for trial in plan.members()["trials"]] == ["classic seed 0"]
    assert plan.members()["waiting"] == ["kd_mixup resnet T=2 seed 0", "kd_mixup resnet T=sigma seed 0"]
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


def test_the_cost_is_what_is_left_and_linear_in_epochs(planned, tiny):
    data = summarize(read_spec(str(tiny)).data)
    once, twice = cost_of(planned(), data), cost_of(planned("train.epochs=4"), data)
    assert (2 * once.student_flops, 2 * once.teacher_flops) == (twice.student_flops, twice.teacher_flops)
    assert once.finetuning_flops == twice.finetuning_flops
    assert (once.teacher_passes, twice.teacher_passes) == (4, 8)
    finish(planned().trials[0].record)
    assert cost_of(planned(), data).student_flops == once.student_flops * 2 // 3


@pytest.mark.parametrize("name", shipped_specs())
def test_every_shipped_spec_plans(name, tmp_path, overrides_of):
    spec = read_spec(name, overrides_of(name))
    plan = plan_sweep(spec, Store.at(tmp_path), fingerprint_of(spec.data))
    assert not plan.up_to_date
    assert cost_of(plan, summarize(spec.data)).teacher_flops > 0
