"""The teachers of a plan: who is needed, alone or fused, and what trials say of them."""

import pytest

from kd_core.store.manifest import File
from tests import products

TEACHERS = (
    "teachers.vit={model: test_vit, image_size: 16, finetune: {epochs: 1}}",
    "teachers.idle={model: test_vit, pretrained: true}",
    "teachers.both={fuse: [vit, resnet], rule: entropy}",
    "teachers.alone={fuse: [vit]}",
)
ARMS = "arms=[{method: classic}, {method: kd_mixup, teacher: [resnet, both]}, {method: kd, teacher: resnet}]"


def finish(teacher, weights):
    """Finish a teacher as if it had been trained to these weights."""
    products.finish(teacher.product, weights=weights)
    return File.of(weights).sha256


@pytest.fixture
def fused(planned):
    """Returns the plan of the tiny spec with two teachers and their fusion."""
    return lambda *overrides: planned(*TEACHERS, ARMS, *overrides)


def test_a_fused_teacher_needs_its_members_and_nobody_is_made_for_nothing(fused):
    plan = fused()
    assert [(each.name, each.num_trials) for each in plan.teachers] == [("resnet", 3), ("vit", 1)]
    assert [(each.name, each.num_trials, each.status) for each in plan.fused] == [("both", 1, "pending")]
    told = [{"name": "resnet", "status": "pending", "trials": 3}, {"name": "vit", "status": "pending", "trials": 1}]
    both = {"name": "both", "status": "pending", "trials": 1, "fuse": ["vit", "resnet"], "rule": "entropy"}
    assert plan.as_json()["teachers"] == [*told, both]


def test_a_trial_can_run_once_all_that_it_learns_from_are_finished(fused):
    plan = fused()
    resnet = finish(plan.teachers[0], b"resnet")
    assert [trial.made_from is not None for trial in fused().trials] == [True, True, False, True]
    vit = finish(plan.teachers[1], b"vit")
    alone, together = fused().trials[1:3]
    assert alone.made_from == {"teacher": resnet}
    assert together.made_from == {"teacher": vit, "teacher_2": resnet}
    assert fused().fused[0].status == "finished"
    products.finish(together.product, made_from=together.made_from)
    assert fused().trials[2].status == "finished"
    finish(plan.teachers[1], b"other weights")
    assert fused().trials[2].status == "stale"


def test_keys_tell_the_members_their_order_and_the_rule(fused):
    edits = ["teachers.both.rule=mean", "teachers.both.fuse=[resnet, vit]", "teachers.both.fuse=[vit]"]
    plans = [fused(), *(fused(edit) for edit in edits)]
    assert len({plan.trials[2].product.key for plan in plans}) == len(plans)
    assert len({plan.index().fused[0].key for plan in plans}) == len(plans)
    assert {plan.trials[1].product.key for plan in plans} == {fused().trials[1].product.key}


def test_members_share_the_signals_of_unfused_trials(fused):
    plan = fused()
    alone, together = plan.trials[1:3]
    assert together.signals[1] is alone.signals[0]
    assert [signal.teacher for signal in together.signals] == ["vit", "resnet"]
    labels = {signal.label: (signal.num_trials, signal.stored) for signal in plan.signals}
    assert labels == {"resnet uniform": (2, True), "vit uniform": (1, False), "resnet unmixed": (1, False)}
    assert (alone.stored, together.stored) == (True, False)
    assert [entry.signal is not None for entry in plan.index().trials] == [False, True, False, False]
    stored = fused("signal=stored")
    assert stored.trials[2].stored
    assert stored.index().trials[2].signal == stored.trials[2].signals[0].record.key


def test_the_index_knows_whom_a_trial_waits_for(fused):
    index = fused().index()
    assert index.members_of("both") == ("vit", "resnet")
    assert index.members_of("resnet") == ("resnet",)
    assert index.members_of(None) == ()


def test_a_search_foresees_the_signals_of_members(planned):
    arms = "arms=[{method: kd_mixup, teacher: [resnet, both], temperature: {low: 1, high: 8}}]"
    plan = planned(*TEACHERS, arms, "search={sampler: random, trials: 3}")
    assert {signal.label: signal.foreseen for signal in plan.signals} == {"resnet uniform": True, "vit uniform": True}
    assert all(signal.stored for signal in plan.signals)
    assert sorted(each.name for each in plan.teachers) == ["resnet", "vit"]
