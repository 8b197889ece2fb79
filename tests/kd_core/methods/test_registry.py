"""What is in the registry, and what every method in it keeps to."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kd_core.methods.registry import METHODS
from tests.kd_core.methods.samples import CLASSES, NUM, batch, logits, loss_of, swapped

DISTILLING = [name for name, method in METHODS.items() if not method.teacherless]
CHANGES_THE_TEACHER = {"wttm", "cud"}  # before it compares it with the student
NOVEL = '''
from kd_core.fields import Config, Fraction
from kd_core.methods.method import Method

class NovelConfig(Config):
    """The weight of method: novel."""

    weight: Fraction = 0.5

NOVEL = Method("novel", "nobody 2026", lambda student, *_: student.mean(), NovelConfig, temperature=3.0, beta=7.0)
'''
USED = """
import kd_core.methods, sys
kd_core.methods.__path__.append(sys.argv[1])
from kd_core.config.trial import TrialConfig
from kd_core.methods.registry import METHODS
content = {"data": {"source": "digits"}, "teacher": {"model": "a"}, "student": {"model": "b"}, "train": {"epochs": 1}}
trial = TrialConfig.model_validate(content | {"method": "novel", "novel": {"weight": 0.25}})
assert (trial.options.weight, trial.temperature, trial.alpha, trial.beta) == (0.25, 3, 0, 7)
assert TrialConfig.model_validate(content | {"method": "kd"}).novel is None
fields = TrialConfig.model_fields
assert fields["novel"].description == "the weight of method: novel"
assert all("novel" in fields[name].description for name in ("method", "temperature", "beta"))
assert list(METHODS)[-1] == "novel"
"""


def test_methods_are_listed_from_the_plainest_on():
    assert list(METHODS) == ["classic", "mixup", "kd", "kd_mixup", "zscore", "dkd", "dist", "wttm", "cud"]


def test_a_method_is_bound_to_the_opposite_of_its_twin():
    kinds = {(method.mixup, METHODS[method.twin].mixup) for method in METHODS.values() if method.twin is not None}
    assert kinds == {("never", "always"), ("always", "never")}


def test_a_new_method_is_one_new_file_and_no_more(tmp_path):
    (tmp_path / "novel.py").write_text(NOVEL)
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", USED, tmp_path], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("method", [name for name in DISTILLING if name not in CHANGES_THE_TEACHER])
def test_a_student_equal_to_its_teacher_has_no_loss(method):
    assert float(loss_of(method, logits(0), logits(0))) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("method", DISTILLING)
@given(seed=st.integers(0, 200), shift=st.floats(-50, 50))
def test_a_shift_of_all_logits_changes_nothing(method, seed, shift):
    student, teacher = logits(seed), logits(seed + 1)
    before, after = (loss_of(method, student + s, teacher - s) for s in (0, shift))
    assert float(after) == pytest.approx(float(before), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", ["huge", "one-hot", "constant", "equal"])
@pytest.mark.parametrize("method", DISTILLING)
def test_extreme_logits_give_a_finite_loss_and_gradient(method, kind):
    one_hot = torch.nn.functional.one_hot(batch().labels, CLASSES).float()
    teacher = {
        "huge": 1e4 * torch.sign(logits(1)).float(),
        "one-hot": 1e4 * (2 * one_hot - 1),
        "constant": torch.zeros(NUM, CLASSES),
        "equal": logits(0).float(),
    }[kind]
    student = (1e4 * torch.sign(logits(0)).float() if kind == "huge" else teacher.clone()).requires_grad_()
    loss = loss_of(method, student, teacher)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("method", DISTILLING)
def test_the_order_of_a_pair_does_not_matter(method):
    student, teacher = logits(0), logits(1)
    first, second = (float(loss_of(method, student, teacher, images=each)) for each in (batch(), swapped(batch())))
    assert first == pytest.approx(second, rel=1e-9)
