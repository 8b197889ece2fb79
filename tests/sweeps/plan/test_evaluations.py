import pytest

from analysis.report import update_report
from analysis.snapshot import read_sweep
from kd_core.config.errors import SpecError
from kd_core.config.evaluation import EvaluateConfig
from kd_core.reliability.registry import EVALUATORS
from sweeps.plan.evaluations import check_evaluators, evaluated_trials, plan_evaluations

CONFIG = EvaluateConfig(images=20, pairs=10, lambdas=3, draws=1, resamples=50)


@pytest.fixture
def snapshot(tiny_store):
    return read_sweep(tiny_store, "tiny")


def keys(snapshot) -> list[str]:
    return [each.key for each in snapshot.trials]


def test_trials_and_their_teachers_are_asked_by_every_evaluator_whose_inputs_there_are(snapshot):
    plan = plan_evaluations(snapshot, keys(snapshot), CONFIG, {})
    names = {name for name, each in EVALUATORS.items() if "outside" not in each.inputs}
    asked = {(each.model.label, each.evaluator.name) for each in plan.questions}
    labels = ["teacher resnet", *(each.entry.label for each in snapshot.trials)]
    assert asked == {(label, name) for label in labels for name in names}
    for each in plan.questions:
        assert (each.teacher is not None) == each.model.label.startswith("kd_mixup")
    assert plan.missing == list(plan.questions)


def test_equal_questions_have_equal_keys_and_other_options_only_change_those_who_read_them(snapshot):
    def answers(config, given=None):
        plan = plan_evaluations(snapshot, keys(snapshot), config, given or {})
        return {(each.model.label, each.evaluator.name): each.job.record.key for each in plan.questions}

    plain = answers(CONFIG)
    assert answers(CONFIG) == plain
    changed = answers(CONFIG.model_copy(update={"pairs": 11}))
    readers = {name for name, each in EVALUATORS.items() if "mixed" in each.inputs}
    assert {name for (label, name), key in changed.items() if plain[label, name] != key} == readers
    changed = answers(CONFIG, {"corrupted": "other files"})
    readers = {name for name, each in EVALUATORS.items() if "corrupted" in each.inputs}
    assert {name for (label, name), key in changed.items() if plain[label, name] != key} == readers


def test_one_evaluator_of_one_trial(snapshot):
    first = snapshot.trials[0]
    plan = plan_evaluations(snapshot, [first.key], CONFIG, {}, only=["linearity"])
    assert [(each.model.label, each.evaluator.name) for each in plan.questions] == [(first.entry.label, "linearity")]


def test_answers_of_before_stay_in_the_index_unless_the_options_changed(snapshot):
    first = plan_evaluations(snapshot, keys(snapshot)[:1], CONFIG, {}).index(None)
    second = plan_evaluations(snapshot, keys(snapshot)[1:2], CONFIG, {}).index(first)
    assert set(first.answers) < set(second.answers)
    other = plan_evaluations(snapshot, keys(snapshot)[1:2], CONFIG.model_copy(update={"seed": 1}), {}).index(first)
    assert not set(first.answers) & set(other.answers)


def test_trials_are_found_by_word_key_label_and_arm(snapshot):
    content = update_report(snapshot).content
    assert evaluated_trials(snapshot, content, "all") == keys(snapshot)
    assert snapshot.trials[0].key in evaluated_trials(snapshot, content, "front")  # classic, the baseline
    for trial in snapshot.trials:
        assert evaluated_trials(snapshot, content, trial.key) == [trial.key]
        assert evaluated_trials(snapshot, content, trial.entry.label) == [trial.key]
    with pytest.raises(SpecError, match="--trial: nothing: tiny has no such finished trial"):
        evaluated_trials(snapshot, content, "nothing")


def test_evaluators_that_there_are_not_are_refused():
    with pytest.raises(SpecError, match=r"--only: linear: no such evaluator; there are .*linearity"):
        check_evaluators(["linear"], CONFIG)
    with pytest.raises(SpecError, match=r"--only: ood: has no images; give evaluate\.ood"):
        check_evaluators(["ood"], CONFIG)
    check_evaluators(["ood", "linearity"], EvaluateConfig.model_validate({"ood": {"source": "digits"}}))
