import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from kd_core.config.errors import SignalError
from kd_core.config.identity import digest, signal_identity
from kd_core.config.networks import TeacherConfig
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset
from kd_core.networks.models import Network, build_teacher
from kd_core.store.records import Store
from kd_core.teachers.labelling import TeacherPass, label_epochs
from kd_core.teachers.signal import FusedSignal, LiveSignal, StoredSignal
from kd_core.training.loop import train

TEACHER = {"model": "test_efficientnet", "image_size": 16}
IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def teacher() -> Network:
    """A fresh teacher of five classes, left in training mode."""
    torch.manual_seed(0)
    return build_teacher(TeacherConfig(model="test_efficientnet", bottleneck=8), 5).train()


def test_a_live_signal_is_the_teachers_logits_rounded_to_half_precision(teacher):
    before = teacher.eval()(IMAGES).detach()
    logits = LiveSignal(teacher).logits(1, slice(0, 4), IMAGES)
    exact = teacher(IMAGES).detach()  # with its normalisation folded
    torch.testing.assert_close(exact, before, rtol=1e-4, atol=1e-4)
    assert logits.dtype == torch.float32
    assert torch.equal(logits, exact.half().float())
    assert not torch.equal(logits, exact)


def test_a_teacher_gives_the_same_answer_twice_and_learns_nothing(teacher):
    signal = LiveSignal(teacher)
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    first, second = (signal.logits(epoch, slice(0, 4), IMAGES) for epoch in (1, 2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def stored(config: TrialConfig, dataset: Dataset, live: LiveSignal, root) -> StoredSignal:
    """The stored logits of the same teacher, for the epochs that the trial needs."""
    record = Store.at(root).signal(digest(signal_identity(config, dataset.fingerprint, "teacher")))
    record.begin(manifest(config, dataset.fingerprint))
    make = lambda: TeacherPass(config, dataset, live.teacher, "cpu")  # noqa: E731
    assert list(label_epochs(record, range(1, config.num_stream_epochs + 1), make))
    return StoredSignal(record, manifest(config, dataset.fingerprint))


def manifest(config: TrialConfig, data: str, weights_sha256: str = "0" * 64) -> dict[str, Any]:
    """The manifest of the signal of a trial, whose teacher has these weights."""
    return signal_identity(config, data, "teacher") | {"made_from": {"teacher": weights_sha256}}


def weights(config: TrialConfig, dataset: Dataset, signal, checkpoint=None) -> bytes:
    """The trained student, as bytes."""
    *_, last = train(config, dataset, signal, checkpoint=checkpoint)
    return save({name: tensor.contiguous() for name, tensor in last.network.state_dict().items()})


TRIALS = {
    "kd": ("kd", {}),
    "kd_mixup": ("kd_mixup", {"temperature": 4, "alpha": 0.2}),
    "sigma": ("kd_mixup", {"temperature": "sigma"}),
    "cud": ("cud", {}),
    "dist": ("dist", {}),
    "head epochs": ("kd_mixup", {"train": {"epochs": 2, "head_epochs": 1}}),
    "recycled": ("kd_mixup", {"recycle": 2}),
    "odd batch": ("kd_mixup", {"train": {"batch_size": 106}}),
}


@pytest.mark.parametrize("name", TRIALS)
def test_stored_and_live_logits_make_the_same_student_bit_for_bit(trial, digits, signal, tmp_path, name):
    method, edits = TRIALS[name]
    config = trial(method, **edits)
    from_store = stored(config, digits, signal, tmp_path)
    assert weights(config, digits, from_store) == weights(config, digits, signal)


@pytest.mark.parametrize("name", ["kd_mixup", "dist", "head epochs", "odd batch"])
def test_stored_and_live_logits_agree_where_images_have_no_label(trial, half_labelled, signal, tmp_path, name):
    method, edits = TRIALS[name]
    config = trial(method, **edits)
    from_store = stored(config, half_labelled, signal, tmp_path)
    assert from_store.record.logits(1).shape == (107, 10)
    assert weights(config, half_labelled, from_store) == weights(config, half_labelled, signal)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_teacher_labels_in_its_own_precision_whatever_the_students_is(trial, digits, signal, tmp_path, precision):
    teacher, student = {"teacher": {**TEACHER, "precision": "bfloat16"}}, {"train": {"precision": precision}}
    config, live = trial("kd_mixup", **teacher, **student), LiveSignal(copy.deepcopy(signal.teacher), "bfloat16")
    from_store = stored(config, digits, live, tmp_path)
    in_float32 = stored(trial("kd_mixup"), digits, signal, tmp_path)
    assert from_store.record.key != in_float32.record.key
    assert weights(config, digits, from_store) == weights(config, digits, live)
    there, exact = (each.record.logits(1).astype(np.float32) for each in (from_store, in_float32))
    assert 0 < np.abs(there - exact).max() < 0.05 * np.abs(exact).max()


def test_a_trial_that_is_resumed_on_stored_logits_ends_as_the_live_one_does(trial, digits, signal, tmp_path):
    config = trial("kd_mixup", temperature=3)
    first = next(train(config, digits, signal))
    buffer = io.BytesIO()
    torch.save(first.checkpoint(), buffer)
    buffer.seek(0)
    checkpoint = torch.load(buffer, weights_only=True)
    resumed = weights(config, digits, stored(config, digits, signal, tmp_path), checkpoint)
    assert resumed == weights(config, digits, signal)


def test_all_that_share_a_signal_read_it_and_none_of_them_asks_a_teacher(trial, digits, signal, tmp_path):
    config = trial("kd_mixup")
    from_store = stored(config, digits, signal, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in from_store.record.path.iterdir()}
    for other in (trial("kd_mixup", seed=5, alpha=0.5), trial("dkd"), trial("zscore", train={"batch_size": 18})):
        list(train(other, digits, StoredSignal(from_store.record, manifest(other, digits.fingerprint))))
    assert {path: path.stat().st_mtime_ns for path in from_store.record.path.iterdir()} == before


def test_logits_come_back_by_slot_as_float32(trial, digits, signal, tmp_path):
    from_store = stored(trial("kd_mixup"), digits, signal, tmp_path)
    logits = from_store.logits(2, slice(32, 64), torch.empty(0))
    assert logits.dtype == torch.float32
    np.testing.assert_array_equal(logits.numpy(), from_store.record.logits(2)[32:64].astype(np.float32))


@pytest.mark.parametrize(
    ("edits", "weights_sha256", "data", "said"),
    [
        ({"view": {"padding": 1}}, "0" * 64, None, "view.padding is 4 where 1 is needed"),
        ({"view": {"crop": "resized"}}, "0" * 64, None, "view.crop is padded where resized is needed"),
        ({"stream_seed": 3}, "0" * 64, None, "stream_seed is 0 where 3 is needed"),
        ({}, "1" * 64, None, "made_from.teacher is 0{64} where 1{64} is needed"),
        ({}, "0" * 64, "other data", r"data is \w+ where other data is needed"),
    ],
    ids=["padding", "crop", "stream", "weights", "data"],
)
def test_a_signal_of_something_else_is_refused_in_one_sentence(
    trial, digits, signal, tmp_path, edits, weights_sha256, data, said
):
    record = stored(trial("kd_mixup"), digits, signal, tmp_path).record
    with pytest.raises(SignalError, match=said):
        StoredSignal(record, manifest(trial("kd_mixup", **edits), data or digits.fingerprint, weights_sha256))


def test_a_trial_stops_at_a_damaged_epoch_with_a_sentence(trial, digits, signal, tmp_path):
    config = trial("kd_mixup")
    from_store = stored(config, digits, signal, tmp_path)
    path = from_store.record.path / "epoch-00002.npy"
    content = bytearray(path.read_bytes())
    content[500] ^= 4
    path.write_bytes(content)
    epochs = train(config, digits, from_store)
    assert next(epochs).epoch == 1
    with pytest.raises(SignalError, match=r"epoch-00002\.npy: its sha256 is"):
        next(epochs)


OTHER = {"model": "test_resnet", "image_size": 16}


@pytest.fixture(scope="module")
def other_signal() -> LiveSignal:
    """Another teacher of random weights."""
    torch.manual_seed(8)
    return LiveSignal(build_teacher(TeacherConfig.model_validate(OTHER), num_classes=10))


FUSED = {
    "kd": ("kd", "mean", {}),
    "kd_mixup": ("kd_mixup", "confidence", {"temperature": 4, "alpha": 0.2}),
    "sigma": ("kd_mixup", "entropy", {"temperature": "sigma"}),
    "zscore": ("zscore", "mean", {}),
    "dkd": ("dkd", "entropy", {}),
}


@pytest.mark.parametrize("name", FUSED)
def test_stored_and_live_members_make_the_same_student_bit_for_bit(trial, digits, signal, other_signal, tmp_path, name):
    method, rule, edits = FUSED[name]
    config = trial(method, teacher={"fuse": [TEACHER, OTHER], "rule": rule}, **edits)
    live = [signal, other_signal]
    from_store = [
        stored(config.taught_by(teacher), digits, own, tmp_path / teacher.model)
        for teacher, own in zip(config.teachers, live, strict=True)
    ]
    students = [
        weights(config, digits, FusedSignal(members)) for members in (live, from_store, [live[0], from_store[1]])
    ]
    assert len(set(students)) == 1
    assert weights(trial(method, **edits), digits, signal) != students[0]


@pytest.mark.parametrize("name", FUSED)
def test_the_fusion_of_one_teacher_makes_the_student_of_that_teacher_bit_for_bit(trial, digits, signal, name):
    method, rule, edits = FUSED[name]
    config = trial(method, teacher={"fuse": [TEACHER], "rule": rule}, **edits)
    assert weights(config, digits, FusedSignal([signal])) == weights(trial(method, **edits), digits, signal)
