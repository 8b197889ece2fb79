import subprocess
import sys
import threading
import time
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import pytest
import torch

from kd_core.config.errors import SignalError
from kd_core.config.identity import signal_identity
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import load
from kd_core.networks.models import build_teacher
from kd_core.store.records import Store
from kd_core.store.signal_record import SignalRecord
from kd_core.stream.vicinal import VicinalStream, all_slots, render
from kd_core.teachers import labelling
from kd_core.teachers.labelling import LabelledSignal, TeacherPass, label_epochs, replay
from tests.damages import damage


class SlowPass(TeacherPass):
    """A teacher pass that is slowed down."""

    pause_s = 0.01

    def over(self, epoch, steps):
        """Yield the results of the pass, with a pause before each."""
        for answer in super().over(epoch, steps):
            time.sleep(self.pause_s)
            yield answer


def label(config: TrialConfig, root: Path, key: str, pause_s: float, labelled: Queue) -> None:
    """Run by each of the competing processes; reports which epochs are stored at the end."""

    def make() -> TeacherPass:
        """A slow pass of a teacher of random weights, the same in every process."""
        torch.manual_seed(7)
        slow = SlowPass(config, load(config.data), build_teacher(config.teacher, num_classes=10), "cpu")
        slow.pause_s = pause_s
        return slow

    torch.set_num_threads(1)
    labelled.put(list(label_epochs(Store.at(root).signal(key), range(1, 7), make)))


@pytest.fixture
def record(tmp_path) -> SignalRecord:
    """An empty signal."""
    return Store.at(tmp_path).signal("key")


@pytest.fixture
def config(trial) -> TrialConfig:
    """A trial that mixes and distils."""
    return trial("kd_mixup")


@pytest.fixture
def teacher_pass(config, digits, signal) -> TeacherPass:
    """The pass of its teacher over the digits."""
    return TeacherPass(config, digits, signal.teacher, "cpu")


def test_every_slot_of_an_epoch_has_the_answer_of_the_teacher_to_its_mixed_image(record, digits, config, teacher_pass):
    assert list(label_epochs(record, [1, 3], lambda: teacher_pass)) == [1, 3]
    for epoch in (1, 3):
        drawn = VicinalStream(config.stream_seed, len(digits.train), config.mixup, config.view).epoch(epoch)
        images, labels = torch.from_numpy(digits.train.images.copy()), torch.from_numpy(digits.train.labels)
        batch = render(images, labels, drawn, slice(0, len(labels)), config.view)
        with torch.no_grad():
            expected = teacher_pass.signal.teacher(batch.images).numpy()
        assert record.logits(epoch).shape == (len(digits.train), 10)
        np.testing.assert_allclose(record.logits(epoch), expected, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("batch_size", [2, 32, 106, 500])
def test_the_last_slot_is_labelled_whatever_is_left_over(trial, digits, signal, batch_size):
    steps = all_slots(len(digits.train), batch_size)
    config = trial("kd_mixup", train={"batch_size": batch_size})
    labelled = list(TeacherPass(config, digits, signal.teacher, "cpu").over(1, steps))
    assert sum(len(logits) for _, logits in labelled) == len(digits.train)


def test_what_is_stored_is_not_labelled_again_and_needs_no_teacher(record, teacher_pass):
    list(label_epochs(record, [1, 2], lambda: teacher_pass))
    before = {path: path.stat().st_mtime_ns for path in record.path.iterdir()}
    assert list(label_epochs(record, [2, 1], lambda: pytest.fail("the teacher was loaded"))) == [2, 1]
    assert {path: path.stat().st_mtime_ns for path in record.path.iterdir()} == before


def test_the_teacher_is_loaded_once_for_all_epochs(record, teacher_pass):
    loads = []
    list(label_epochs(record, range(1, 5), lambda: loads.append(1) or teacher_pass))
    assert loads == [1]


def test_logits_beyond_half_precision_are_refused_and_not_stored(record, config, digits):
    torch.manual_seed(7)
    teacher = build_teacher(config.teacher, 10)
    torch.nn.init.constant_(teacher.classifier.bias, 1e6)
    with pytest.raises(SignalError, match=r"epoch 1, slots 0 to 31: the teacher's logits do not fit float16"):
        list(label_epochs(record, [1], lambda: TeacherPass(config, digits, teacher, "cpu")))
    assert not record.epochs()
    assert not record.being_labelled


def test_racing_labellers_and_a_killed_one_leave_one_whole_signal(
    tmp_path, config, digits, teacher_pass, processes, wait_until
):
    """Three processes label the same epochs; one is killed in the middle of an epoch, and the others take it over."""
    record, labelled = Store.at(tmp_path).signal("raced"), processes.Queue()
    record.begin(signal_identity(config, digits.fingerprint, "0" * 64))
    victim, *others = (
        processes.Process(target=label, args=(config, tmp_path, record.key, pause_s, labelled))
        for pause_s in (0.5, 0.01, 0.01)
    )
    victim.start()
    wait_until(lambda: list(record.path.glob(".epoch-*.tmp")), victim)
    for other in others:
        other.start()
    victim.kill()
    victim.join()
    assert [sorted(labelled.get()) for _ in others] == [list(range(1, 7))] * 2
    for other in others:
        other.join()
    assert [other.exitcode for other in others] == [0, 0]
    assert {path.name for path in record.path.iterdir()} == {
        "manifest.json",
        *(f"epoch-{epoch:05d}.npy" for epoch in range(1, 7)),
    }
    for epoch in range(1, 7):
        steps = all_slots(len(digits.train), config.train.batch_size)
        alone = np.concatenate([logits for _, logits in teacher_pass.over(epoch, steps)])
        np.testing.assert_array_equal(record.logits(epoch), alone)


def test_an_epoch_in_other_hands_is_waited_for(record, teacher_pass, monkeypatch):
    monkeypatch.setattr(labelling, "WAIT_S", 0.01)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        record.lease(1).renew(pid=other.pid)
        epochs = label_epochs(record, [1, 2], lambda: teacher_pass)
        assert next(epochs) == 2
        other.kill()
        other.wait()
        assert next(epochs) == 1


def test_a_replay_of_the_same_teacher_finds_no_error(record, teacher_pass):
    list(label_epochs(record, [1, 2], lambda: teacher_pass))
    found = replay(record, teacher_pass, num_slots=100)
    assert found.num_slots >= 64
    assert set(found.epochs) <= {1, 2}
    assert (found.max_error, found.mean_error, found.argmax_flips) == (0.0, 0.0, 0)


def test_a_replay_of_another_teacher_finds_it_out(record, digits, config, teacher_pass):
    list(label_epochs(record, [1], lambda: teacher_pass))
    torch.manual_seed(8)
    other = TeacherPass(config, digits, build_teacher(config.teacher, 10), "cpu")
    found = replay(record, other, num_slots=1000)
    assert found.num_slots == len(digits.train)
    assert found.max_error >= found.mean_error > 0
    assert found.argmax_flips > 0


MANIFEST = {"made_from": {}}


def test_a_signal_waits_for_an_epoch_that_is_being_labelled(record, config, digits, teacher_pass):
    """Another thread labels two epochs, slowly; nothing is labelled twice."""
    record.begin(MANIFEST)
    signal = LabelledSignal(record, MANIFEST, lambda: pytest.fail("the teacher was loaded"))
    slow = SlowPass(config, digits, teacher_pass.signal.teacher, "cpu")
    slow.pause_s = 0.1
    thread = threading.Thread(target=lambda: list(label_epochs(record, [1, 2], lambda: slow)))
    thread.start()
    logits = signal.logits(2, slice(0, 4), torch.zeros(4, 3, 8, 8))
    thread.join()
    np.testing.assert_array_equal(logits.half().numpy(), record.logits(2)[:4])


def test_a_signal_labels_an_epoch_that_nobody_does_and_leaves_the_random_numbers_as_they_are(
    record, config, digits, teacher_pass, monkeypatch
):
    monkeypatch.setattr(labelling, "_PATIENCE_S", 0.1)
    record.begin(MANIFEST)

    def make():
        """A pass of a teacher whose weights were drawn first."""
        build_teacher(config.teacher, 10)
        return teacher_pass

    signal = LabelledSignal(record, MANIFEST, make)
    torch.manual_seed(3)
    signal.logits(1, slice(0, 4), torch.zeros(4, 3, 8, 8))
    drawn = torch.rand(3)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(3))
    assert record.epochs() == {1}


def test_a_damaged_epoch_is_no_epoch_to_come(record, teacher_pass):
    record.begin(MANIFEST)
    list(label_epochs(record, [1], lambda: teacher_pass))
    damage(record.path / "epoch-00001.npy", "flipped")
    with pytest.raises(SignalError, match="its sha256 is"):
        LabelledSignal(record, MANIFEST, lambda: pytest.fail("the teacher was loaded")).load(1)
