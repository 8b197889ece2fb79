"""The reliability suite on two products that were really trained, without Ray."""

import numpy as np
import pytest

from kd_core.config.errors import DamagedError
from kd_core.config.evaluation import EvaluateConfig
from kd_core.config.identity import digest
from kd_core.config.networks import StudentConfig
from kd_core.evaluate.evaluated import EvaluatedModel, FusedModel, Job, Question
from kd_core.evaluate.inputs import SETS, Source
from kd_core.evaluate.suite import answer, make_outputs, model_of
from kd_core.measure.fusion import fused_log_probabilities
from kd_core.networks.models import build_student
from kd_core.networks.weights import weights_bytes
from kd_core.reliability.evaluator import Evaluator
from kd_core.store.evaluation import ARRAYS
from kd_core.store.records import Store
from tests.products import finish

NETWORK = StudentConfig(model="test_efficientnet", stem_stride=1, image_size=8)
CONFIG = EvaluateConfig(images=6, pairs=4, lambdas=3)


def share(model, teacher, config):
    """The share of images whose class a model says, one figure of an array, and what is no number."""
    clean = model.outputs["clean"]
    correct = clean.logits.argmax(axis=1) == clean.labels
    yield "share/correct", float(correct.mean())
    yield "share/undefined", float("nan")
    yield "correct", correct
    yield "share/agreeing", float(teacher is not None)


SHARE = Evaluator("share", "nobody 2026", ("clean",), share)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.at(tmp_path / "runs")


def model(store: Store, name: str) -> EvaluatedModel:
    """A finished network and the jobs of its outputs."""
    product = store.trial(name)
    finish(product, weights=weights_bytes(build_student(NETWORK, 10)))
    jobs = {each: Job(store.outputs(digest([name, each])), {"model": name, "set": each}) for each in SETS}
    return EvaluatedModel(name, product, NETWORK, 10, 1234, 1.0, jobs)


def test_outputs_are_made_once_and_read_back(store, digits):
    models, inputs = [model(store, name) for name in ("one", "two")], SETS["clean"](Source(digits, CONFIG))
    make_outputs(inputs, models)
    times = [each.outputs["clean"].record.manifest().finished_at for each in models]
    make_outputs(inputs, models)
    assert [each.outputs["clean"].record.manifest().finished_at for each in models] == times
    said = model_of(models[0], ["clean"], digits.class_names).outputs["clean"]
    assert said.logits.shape == (6, 10)
    np.testing.assert_array_equal(said.labels, inputs.labels)


def test_a_model_in_other_hands_is_left_to_them(store, digits, monkeypatch):
    first, second = (model(store, name) for name in ("one", "two"))
    assert first.outputs["clean"].record.lease.take()
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    make_outputs(SETS["clean"](Source(digits, CONFIG)), [first, second])
    assert (first.outputs["clean"].done, second.outputs["clean"].done) == (False, True)


def test_a_damaged_model_is_told_when_the_others_are_done(store, digits):
    models = [model(store, name) for name in ("one", "two")]
    weights = models[0].product.weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(ValueError, match=r"student\.safetensors: is damaged"):
        make_outputs(SETS["clean"](Source(digits, CONFIG)), models)
    assert [each.outputs["clean"].done for each in models] == [False, True]


def test_numbers_become_metrics_and_arrays_are_kept(store, digits):
    asked = model(store, "one")
    make_outputs(SETS["clean"](Source(digits, CONFIG)), [asked])
    question = Question(SHARE, asked, None, Job(store.evaluation("0123456789abcdef"), {"evaluation": "share"}))
    answer(question, CONFIG, digits.class_names)
    manifest, arrays = question.job.record.manifest(), question.job.record.arrays()
    assert manifest.metrics == {"share/correct": arrays["correct"].mean(), "share/agreeing": 0.0}
    beside = Question(SHARE, asked, asked, Job(store.evaluation("fedcba9876543210"), {"evaluation": "share"}))
    answer(beside, CONFIG, digits.class_names)
    assert beside.job.record.manifest().metrics["share/agreeing"] == 1.0


def test_damaged_outputs_answer_nothing_and_are_put_aside(store, digits):
    asked = model(store, "one")
    make_outputs(SETS["clean"](Source(digits, CONFIG)), [asked])
    path = asked.outputs["clean"].record.path / ARRAYS
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    question = Question(SHARE, asked, None, Job(store.evaluation("0123456789abcdef"), {}))
    with pytest.raises(DamagedError, match="is damaged"):
        answer(question, CONFIG, digits.class_names)
    assert not question.job.done
    assert not asked.outputs["clean"].done


@pytest.mark.parametrize("rule", ["mean", "confidence", "entropy"])
def test_a_fused_teacher_says_what_its_members_average_to(store, digits, rule):
    members = tuple(model(store, name) for name in ("one", "two"))
    make_outputs(SETS["near"](Source(digits, CONFIG)), members)
    said = [model_of(each, ["near"], digits.class_names).outputs["near"].logits for each in members]
    fused = model_of(FusedModel(members, rule), ["near"], digits.class_names)
    expected = fused_log_probabilities(np.stack([each.reshape(-1, 10) for each in said]), rule).reshape(said[0].shape)
    np.testing.assert_allclose(fused.outputs["near"].logits, expected, rtol=1e-5)
    assert (fused.temperature, fused.outputs["near"].axes) == (1.0, {"draw": (0, 1, 2, 3)})
