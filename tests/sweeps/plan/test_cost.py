"""The remaining computation: linear in epochs, reduced by finished trials and by shared signals."""

from dataclasses import replace

from kd_core.networks.execution import has_bfloat16_instructions
from sweeps.plan.cost import bfloat16_gains, bfloat16_hints, cost_of
from tests.products import finish


def test_the_cost_is_linear_in_epochs(planned):
    once, twice = cost_of(planned()), cost_of(planned("train.epochs=4"))
    assert (2 * once.student_flops, 2 * once.teacher_flops) == (twice.student_flops, twice.teacher_flops)
    assert once.finetuning_flops == twice.finetuning_flops > 0
    assert once.total_flops == once.student_flops + once.teacher_flops + once.finetuning_flops


def test_unlabelled_images_cost_distilled_students_and_their_teacher_alone(planned):
    plan = planned()
    twice = replace(plan, data=plan.data.model_copy(update={"num_unlabelled": plan.data.num_train}))
    once, more = cost_of(plan), cost_of(twice)
    assert more.finetuning_flops == once.finetuning_flops
    assert more.teacher_flops == 2 * once.teacher_flops
    assert more.student_flops == once.student_flops * 5 // 3


def test_a_stored_signal_costs_one_pass_an_epoch_and_a_live_one_that_of_every_trial(planned):
    stored, live = cost_of(planned("signal=stored")), cost_of(planned("signal=live"))
    assert (stored.teacher_passes, live.teacher_passes) == (2, 4)
    assert stored.live_teacher_passes == live.live_teacher_passes == 4
    assert 2 * stored.teacher_flops == live.teacher_flops == live.live_teacher_flops
    assert stored.student_flops == live.student_flops


def test_recycled_epochs_are_labelled_once(planned):
    assert cost_of(planned("train.epochs=6", "signal.recycle=2")).teacher_passes == 2
    assert cost_of(planned("train.epochs=6", "signal={mode: live, recycle: 2}")).teacher_passes == 12


def test_what_is_finished_costs_nothing(planned):
    whole = cost_of(planned())
    finish(planned().trials[0].product)
    assert cost_of(planned()).student_flops == whole.student_flops * 2 // 3


def test_a_gain_of_bfloat16_is_measured_where_there_are_images_to_label(planned):
    large = ["teachers.resnet={model: convnext_tiny, image_size: 32, finetune: {epochs: 1}}"]
    assert set(bfloat16_gains(planned(*large))) == ({"resnet"} if has_bfloat16_instructions() else set())
    assert bfloat16_gains(planned(*large, "teachers.resnet.precision=bfloat16")) == {}
    assert bfloat16_gains(planned("arms=[{method: classic}]")) == {}


def test_a_run_hints_at_bfloat16_where_labelling_takes_long_and_is_not_on_gpus(planned, monkeypatch):
    monkeypatch.setattr("kd_core.networks.execution.bfloat16_gain", lambda *network: 1.7)
    large = ["teachers.resnet={model: convnext_tiny, image_size: 32, finetune: {epochs: 1}}", "train.epochs=1000"]
    said = "measured here: resnet would label 1.7 times faster with --set teachers.resnet.precision=bfloat16"
    assert bfloat16_hints(planned(*large)) == [said]
    assert bfloat16_hints(planned(*large, "resources={gpu: 1}")) == []
    assert bfloat16_hints(planned(large[0])) == []
    monkeypatch.setattr("kd_core.networks.execution.bfloat16_gain", lambda *network: 1.4)
    assert bfloat16_hints(planned(*large)) == []
