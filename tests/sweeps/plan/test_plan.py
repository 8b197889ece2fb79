"""Plans: what is up to date, under which key, and what the rest costs."""

import pytest

from kd_core.data.survey import summarize
from kd_core.store.manifest import File
from kd_core.store.records import Store
from sweeps.config.reader import read_spec, shipped_specs
from sweeps.plan.cost import cost_of
from sweeps.plan.plan import plan_sweep
from sweeps.plan.upkeep import to_make_again
from tests import products


def finish(planned, weights=b"weights"):
    """Finish a trial or teacher as if it had been trained, from a teacher with these weights."""
    has_teacher = getattr(planned, "trial", None) and planned.trial.teacher
    made_from = {"teacher": File.of(weights).sha256} if has_teacher else {}
    products.finish(planned.product, weights=weights, made_from=made_from)


def test_all_products_of_a_sweep_have_their_keys_before_anything_runs(planned):
    plan = planned()
    index = plan.index()
    assert [trial.label for trial in index.trials] == [each.trial.label for each in plan.trials]
    assert [trial.made_from is not None for trial in plan.trials] == [True, False, False]
    finish(plan.teachers[0])
    assert planned().index() == index
    assert all(trial.made_from is not None for trial in planned().trials)
    assert not planned().up_to_date


def test_what_was_trained_from_other_weights_of_its_teacher_is_stale(planned):
    plan = planned()
    finish(plan.teachers[0])
    for trial in plan.trials:
        finish(trial)
    assert planned().up_to_date
    finish(plan.teachers[0], b"other weights")
    again = planned()
    assert [trial.status for trial in again.trials] == ["finished", "stale", "stale"]
    assert again.pending == list(again.trials[1:])
    (sentence, _) = [each for each in to_make_again(again) if "weights" in each]
    assert (
        sentence
        == f"{again.trials[1].product.path}: its teacher, resnet, has other weights now than it was trained with"
    )


def test_a_plan_is_up_to_date_when_every_product_has_its_manifest(planned):
    finish(planned().teachers[0])
    for trial in planned().trials:
        finish(trial)
    assert planned().up_to_date
    assert not planned("arms.0.train.epochs=3").up_to_date


def test_trials_share_records_whatever_sweep_they_belong_to(planned):
    other = planned("name=other", "arms=[{method: [classic, mixup]}]", "resources.cpu=2")
    assert other.trials[0].product.key == planned().trials[0].product.key


def test_another_recipe_of_a_teacher_makes_other_trials(planned):
    one, other = planned(), planned("teachers.resnet.finetune.epochs=7")
    assert [a.product.key == b.product.key for a, b in zip(one.trials, other.trials, strict=True)] == [
        True,
        False,
        False,
    ]


def test_a_teacher_that_no_arm_names_is_not_made(planned):
    assert not planned("arms=[{method: classic}]").teachers


def test_the_index_lists_the_signals_that_are_stored(planned):
    index = planned().index()
    (signal,) = index.signals
    assert [trial.signal for trial in index.trials] == [None, signal.key, signal.key]
    assert (signal.label, signal.teacher, signal.epochs) == ("resnet uniform", "resnet", 2)
    assert planned("signal=live").index().signals == ()


def test_the_index_tells_the_size_of_the_data(planned):
    data = planned().index().data
    assert (data.num_train, data.num_validation, data.num_classes, data.image_size) == (90, 30, 10, 8)
    assert data.fingerprint == planned().data.fingerprint


def test_trials_of_one_signal_point_to_it_and_others_to_none(planned):
    plan = planned()
    assert plan.trials[0].signals == ()
    assert plan.trials[1].signals[0] is plan.trials[2].signals[0] is plan.signals[0]


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
    empty.sweep("tiny").write("", begun.index())
    assert planned("resources.cpu=8").threads == begun.threads
    assert planned("resources.cpu=8", "name=other").threads == {"trial": 8, "teacher": 8}
