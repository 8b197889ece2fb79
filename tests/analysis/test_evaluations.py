from analysis.evaluations import evaluated_of
from analysis.snapshot import read_sweep
from kd_core.reliability.registry import EVALUATORS
from kd_core.store.evaluation import ARRAYS
from tests.answers import write_answers


def test_what_was_not_evaluated_has_no_answers(make_sweep):
    assert evaluated_of(read_sweep(make_sweep(), "demo")) == []


def test_every_answer_of_a_sweep_is_read_with_who_it_is_about(make_sweep):
    store = make_sweep(unfinished=("mixup seed 1",))
    write_answers(store)
    models = evaluated_of(read_sweep(store, "demo"))
    assert [each.label for each in models[:3]] == ["teacher resnet", "classic seed 0", "classic seed 1"]
    assert "mixup seed 1" not in [each.label for each in models]
    teacher, *trials = models
    assert (teacher.arm, teacher.teacher) == ("", "resnet")
    last = trials[-1]
    assert (last.arm, last.teacher, last.method, last.temperature) == (
        *("kd_mixup resnet T=sigma alpha=0.2", "resnet", "kd_mixup", "sigma"),
    )
    for each in models:
        assert set(each.arrays) == set(EVALUATORS)
        assert ("linearity/gain" in each.metrics) == (each.teacher != "" and each.arm != "")
        assert each.array("corruption", "correct").shape == (6, 5, 40)
        assert each.array("corruption", "nothing") is each.array("nobody", "correct") is None


def test_a_damaged_answer_is_left_out(make_sweep):
    store = make_sweep()
    write_answers(store)
    path = store.evaluation("linearity-teacher-resnet").path / ARRAYS
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    teacher, *_ = evaluated_of(read_sweep(store, "demo"))
    assert teacher.arrays["linearity"] == {}
    assert teacher.arrays["corruption"]
