"""Arms: what lists, dotted keys and seeds expand to."""

import pytest

from kd_core.config.errors import SpecError
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec


def labels(spec):
    """The labels of a spec's trials, in order."""
    return [trial.label for trial in trials_of(spec)]


def test_lists_in_an_arm_make_a_grid_and_seeds_replicate_it(tiny):
    spec = read_spec(str(tiny), ["arms.1.alpha=[0, 0.2]", "seeds=[0, 1]"])
    assert len(labels(spec)) == 2 + 2 * 2 * 2
    assert "kd_mixup resnet T=sigma alpha=0.2 seed 1" in labels(spec)
    assert len({trial.arm for trial in trials_of(spec)}) == 5


def test_an_arm_may_set_any_trial_key_dotted(tiny):
    override = "arms=[{method: classic, student.model: [test_resnet, test_byobnet], train.learning_rate: 0.1}]"
    trials = trials_of(read_spec(str(tiny), [override, "student.stem_stride=null"]))
    assert [trial.config.student.model for trial in trials] == ["test_resnet", "test_byobnet"]
    assert {trial.config.train.learning_rate for trial in trials} == {0.1}


def test_a_config_named_by_two_arms_is_one_trial(tiny):
    spec = read_spec(str(tiny), ["arms=[{method: mixup}, {method: [classic, mixup]}]"])
    assert labels(spec) == ["mixup seed 0", "classic seed 0"]


def test_the_paper_spec_is_table_1_in_full(cifar100):
    spec = read_spec("paper-cifar100", [f"data.path={cifar100}"])
    arms = [(t.config.method, t.teacher, t.config.temperature) for t in trials_of(spec)]
    assert len(arms) == len(set(arms)) == 2 + 4 + 4 * 6
    assert {arm[2] for arm in arms if arm[0] == "kd_mixup"} == {2, 4, 6, 8, 10, "sigma"}


def test_recycling_is_for_arms_with_a_teacher_and_an_arm_may_choose_its_own(tiny):
    spec = read_spec(str(tiny), ["signal.recycle=2", "arms.1.recycle=[null, 1]", "arms.1.temperature=2"])
    assert [trial.config.recycle for trial in trials_of(spec)] == [None, None, 1]
    spec = read_spec(str(tiny), ["signal.recycle=2"])
    assert [trial.config.recycle for trial in trials_of(spec)] == [None, 2, 2]


def test_a_teacher_whose_name_looks_like_a_number_is_found_by_it(tiny):
    edits = ['teachers={"1": {model: test_resnet, finetune: {epochs: 1}}}', "arms.1.teacher=1"]
    assert [trial.teacher for trial in trials_of(read_spec(str(tiny), edits))] == [None, "1", "1"]
    assert "kd_mixup 1 T=2 seed 0" in labels(read_spec(str(tiny), edits))


def test_parts_of_a_whole_are_set_after_it_wherever_they_stand(tiny):
    whole = "student: {model: test_resnet, stem_stride: null}"
    for arm in (
        f"method: mixup, student.model: test_byobnet, {whole}",
        f"method: mixup, {whole}, student.model: test_byobnet",
    ):
        [trial] = trials_of(read_spec(str(tiny), [f"arms=[{{{arm}}}]"]))
        assert trial.config.student.model == "test_byobnet"
    for arm in ("teacher.precision: bfloat16, teacher: resnet", "teacher: resnet, teacher.precision: bfloat16"):
        with pytest.raises(SpecError, match=r"teacher\.precision: teacher has no keys of its own; remove precision"):
            trials_of(read_spec(str(tiny), [f"arms=[{{method: kd, temperature: 2, {arm}}}]"]))


def test_a_fused_teacher_is_named_like_any_other_and_its_trial_knows_its_members(tiny):
    teachers = ["teachers.vit={model: vit, pretrained: true}", "teachers.both={fuse: [vit, resnet], rule: entropy}"]
    spec = read_spec(str(tiny), [*teachers, "arms=[{method: kd_mixup, teacher: [resnet, both]}]"])
    alone, together = trials_of(spec)
    assert (alone.teacher, alone.members) == ("resnet", ("resnet",))
    assert (together.teacher, together.members) == ("both", ("vit", "resnet"))
    assert together.arm == "kd_mixup both T=2"
    assert together.config.teachers == (spec.teachers["vit"], spec.teachers["resnet"])
    assert together.config.teacher.rule == "entropy"
