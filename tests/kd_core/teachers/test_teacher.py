import numpy as np
import pytest

from kd_core.config.data import DataConfig, ViewConfig
from kd_core.config.errors import TeacherError
from kd_core.config.identity import file_sha256
from kd_core.config.networks import TeacherConfig
from kd_core.config.recipe import FinetuneConfig
from kd_core.config.trial import finetuning_trial
from kd_core.evaluate.evaluation import predict
from kd_core.store.product import Product
from kd_core.store.records import Store
from kd_core.teachers.teacher import load_teacher
from kd_core.training.trial import run_trial

TEACHER = TeacherConfig(
    model="test_efficientnet", bottleneck=8, image_size=16, finetune=FinetuneConfig(epochs=1, batch_size=32), seed=3
)


@pytest.fixture
def record(tmp_path, digits) -> Product:
    """A teacher fine-tuned for one epoch."""
    record = Store.at(tmp_path).teacher("key")
    config = finetuning_trial(TEACHER, DataConfig(source="digits", limit=120), ViewConfig(padding=1, flip=False))
    list(run_trial(config, digits, record))
    return record


def test_a_loaded_teacher_is_the_network_that_was_trained(record, digits):
    teacher = load_teacher(TEACHER, record, num_classes=10)
    logits = record.predictions("test", with_logits=True).logits
    np.testing.assert_array_equal(predict(teacher, digits.test), logits)


def test_the_weights_a_teacher_started_from_are_no_longer_needed(record, digits):
    started = TEACHER.model_copy(update={"checkpoint": "gone.safetensors", "pretrained": True})
    teacher = load_teacher(started, record, num_classes=10)
    np.testing.assert_array_equal(predict(teacher, digits.test), record.predictions("test", with_logits=True).logits)


def test_changed_weights_are_refused_with_both_hashes(record):
    content = bytearray(record.weights.read_bytes())
    content[-1] ^= 1
    expected = file_sha256(record.weights)
    record.weights.write_bytes(content)
    found = file_sha256(record.weights)
    with pytest.raises(TeacherError, match=f"{found} where {expected} was written; run the sweep again to make it"):
        load_teacher(TEACHER, record, num_classes=10)
    assert record.status == "damaged"  # which makes it true


def test_a_teacher_that_is_not_finished_is_refused(tmp_path):
    with pytest.raises(TeacherError, match="holds no finished teacher"):
        load_teacher(TEACHER, Store.at(tmp_path).teacher("key"), num_classes=10)


def test_a_teacher_whose_weights_are_gone_is_refused(record):
    record.weights.unlink()
    with pytest.raises(TeacherError, match=r"weights\.safetensors: is missing or was cut; run the sweep again"):
        load_teacher(TEACHER, record, num_classes=10)
    assert record.result() is None
