import os
import platform
import shutil
import signal as signals
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from kd_core.config.errors import NonFiniteLossError
from kd_core.config.identity import digest, file_sha256
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import load
from kd_core.evaluate.evaluation import evaluate
from kd_core.evaluate.latency import processor_name
from kd_core.measure.predictions import summary_of
from kd_core.methods.registry import METHODS
from kd_core.networks.models import build_teacher
from kd_core.store.product import Product
from kd_core.store.records import Store
from kd_core.teachers.signal import LiveSignal
from kd_core.training import trial as trial_module
from kd_core.training.loop import train
from kd_core.training.trial import run_trial
from tests.damages import DAMAGES, damage


def train_slowly(config: TrialConfig, root: str | Path, key: str) -> None:
    """Run by a process that will be killed: train, with a checkpoint and a pause at every epoch."""
    torch.set_num_threads(1)
    trial_module.CHECKPOINT_INTERVAL_S = 0
    signal = None
    if config.teacher is not None:
        torch.manual_seed(7)
        signal = LiveSignal(build_teacher(config.teacher, num_classes=10))
    for _ in run_trial(config, load(config.data), Store.at(root).trial(key), signal=signal):
        time.sleep(0.05)


@pytest.fixture
def store(tmp_path) -> Store:
    return Store.at(tmp_path)


@pytest.fixture(scope="module")
def whole(digits, signal, tmp_path_factory) -> Callable[[TrialConfig], Product]:
    """The record of a trial that nothing has happened to, trained once for all tests of its config; only to be read."""
    store = Store.at(tmp_path_factory.mktemp("whole"))

    def record_of(config: TrialConfig) -> Product:
        """Train it, unless it is finished."""
        record = store.trial(digest(config.model_dump(mode="json")))
        return finished(config, digits, record, signal if config.teacher is not None else None)

    return record_of


def copied(record: Product, to: Product) -> Product:
    """A copy of a record."""
    shutil.copytree(record.path, to.path)
    return to


def contents(record: Product) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in Path(record.path).iterdir()}


def finished(config: TrialConfig, dataset, record: Product, signal=None) -> Product:
    list(run_trial(config, dataset, record, signal=signal))
    return record


def test_a_trial_leaves_a_whole_record_with_its_manifest_last(trial, digits, store, signal):
    config = trial("kd_mixup", alpha=0.2)
    record = store.trial("key")
    for result in run_trial(config, digits, record, signal=signal):
        assert record.status == "running"
        assert record.journal().epochs[-1]["epoch"] == result.epoch
    assert record.status == "finished"
    begun = record.state().begun
    assert begun.model_dump() == {"recipe": config.model_dump(mode="json"), "threads": 1, "made_from": {}}
    files = contents(record)
    assert set(files) == {
        *("journal.jsonl", "student.safetensors", "manifest.json"),
        *("predictions-validation.npz", "predictions-test.npz"),
    }
    assert max(files, key=lambda name: files[name][0]) == "manifest.json"


def test_a_manifest_holds_what_the_network_does(trial, digits, store):
    config, record = trial("mixup"), store.trial("key")
    finished(config, digits, record)
    *_, last = train(config, digits)
    splits = evaluate(last.network, digits)
    manifest = record.state().manifest
    result = manifest.result
    assert result.metrics == summary_of(splits)
    assert result.temperature == splits["test"].temperature
    assert result.num_parameters == sum(parameter.numel() for parameter in last.network.parameters())
    assert result.epochs == 3
    assert result.wall_s > 0
    assert manifest.weights_sha256 == file_sha256(record.weights)
    assert manifest.machine == {"node": platform.node(), "device": processor_name()}
    weights = load_file(record.weights)
    assert all(np.array_equal(weights[name], value) for name, value in last.network.state_dict().items())
    np.testing.assert_array_equal(record.predictions("test", with_logits=True).logits, splits["test"].logits)
    last_row = record.journal().epochs[-1]
    assert last_row["validation/ece"] == result.metrics["validation/ece"]


def test_running_a_finished_trial_again_does_nothing(trial, digits, store):
    record = finished(trial(), digits, store.trial("key"))
    before = contents(record)
    assert list(run_trial(trial(), digits, record)) == []
    assert contents(record) == before


@pytest.mark.parametrize("interval_s", [0, 1000], ids=["with checkpoints", "without"])
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_trial_that_was_left_goes_on_to_the_same_result(
    trial, digits, store, whole, monkeypatch, interval_s, stop_after
):
    monkeypatch.setattr(trial_module, "CHECKPOINT_INTERVAL_S", interval_s)
    config, record = trial("mixup"), store.trial("left")
    running = run_trial(config, digits, record)
    for _ in range(stop_after):
        next(running)
    running.close()
    assert record.status not in ("finished", "failed")
    remaining = [result.epoch for result in run_trial(config, digits, record)]
    assert remaining == list(range(stop_after + 1, 4))  # a trial that is closed writes a checkpoint
    assert [row["epoch"] for row in record.journal().epochs] == [1, 2, 3]
    assert record.weights.read_bytes() == whole(config).weights.read_bytes()
    assert record.result().metrics == whole(config).result().metrics


def test_a_trial_that_is_closed_keeps_its_last_epoch_and_lets_its_record_go(trial, digits, store):
    record, epochs = store.trial("closed"), run_trial(trial("classic"), digits, store.trial("closed"))
    assert next(epochs).epoch == 1
    epochs.close()
    assert [path.name for path in record.checkpoints()] == ["checkpoint-000000001.pt"]
    assert not record.lease.taken
    assert record.state().failure is None


@pytest.mark.parametrize(("at", "method"), [*enumerate(METHODS, start=1)][::3])
def test_a_trial_that_was_killed_goes_on_to_the_same_result(
    trial, digits, signal, store, whole, tmp_path, processes, wait_until, at, method
):
    """SIGKILL once the journal has `at` epochs, dropout active, each method at another epoch (all: test_loop.py)."""
    config, record = trial(method, train={"epochs": 12}), store.trial("killed")
    signal = None if config.teacher is None else signal
    process = processes.Process(target=train_slowly, args=(config, tmp_path, record.key))
    process.start()
    wait_until(lambda: len(record.journal().epochs) >= at, process)
    process.kill()
    process.join()
    assert process.exitcode == -signals.SIGKILL
    done = len(record.journal().epochs)
    assert at <= done < 12
    assert record.result() is None

    resumed = [result.epoch for result in run_trial(config, digits, record, signal=signal)]
    assert resumed[0] in (done, done + 1)
    assert resumed[-1] == 12
    assert [row["epoch"] for row in record.journal().epochs] == list(range(1, 13))
    assert record.weights.read_bytes() == whole(config).weights.read_bytes()
    assert record.result().metrics == whole(config).result().metrics


def train_slowly_with(environment: dict[str, str], *arguments: Any) -> None:
    """Run by a process that began before these variables were set."""
    os.environ.update(environment)
    train_slowly(*arguments)


def test_a_trial_on_an_object_store_that_was_killed_goes_on_to_the_same_result(
    trial, digits, s3, s3_settings, whole, processes, wait_until
):
    config, record = trial("mixup", train={"epochs": 12}), Store.at(s3).trial("killed")
    process = processes.Process(target=train_slowly_with, args=(s3_settings, config, str(s3), record.key))
    process.start()
    wait_until(lambda: len(record.journal().epochs) >= 3, process)
    process.kill()
    process.join()
    resumed = [result.epoch for result in run_trial(config, digits, record)]
    assert 3 <= resumed[0] <= resumed[-1] == 12
    assert [row["epoch"] for row in record.journal().epochs] == list(range(1, 13))
    assert record.weights.read_bytes() == whole(config).weights.read_bytes()


def train_on_one_core(config: TrialConfig, root: Path, key: str, num_threads: int) -> None:
    """Train a trial on one core of this machine, on any number of threads."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    list(run_trial(config, load(config.data), Store.at(root).trial(key), num_threads=num_threads))


def test_a_trial_goes_on_with_the_threads_with_which_it_began_whatever_the_cores(
    trial, digits, store, tmp_path, processes
):
    config, record, one_core = trial("mixup"), store.trial("left"), store.trial("one core")
    try:
        running = run_trial(config, digits, record, num_threads=2)
        next(running)
        running.close()
        list(run_trial(config, digits, record, num_threads=1))
        assert record.state().begun.threads == torch.get_num_threads() == 2
        process = processes.Process(target=train_on_one_core, args=(config, tmp_path, one_core.key, 2))
        process.start()
        process.join()
        assert record.weights.read_bytes() == one_core.weights.read_bytes()
        list(run_trial(config, digits, store.trial("other"), num_threads=1))  # in the process that had two
        assert store.trial("other").state().begun.threads == 1
    finally:
        torch.set_num_threads(1)


def test_a_failure_is_written_down_and_forgotten_at_the_next_try(trial, digits, store):
    record = store.trial("key")
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, step \d"):
        finished(trial(train={"learning_rate": 1e30}), digits, record)
    assert record.status == "failed"
    assert record.result() is None
    failure = record.state().failure
    assert failure.error.startswith("NonFiniteLossError: classic test_efficientnet seed 0: epoch 1, step ")
    assert "epoch 1, step" in failure.error
    assert "Traceback" in failure.traceback
    finished(trial(), digits, record)
    assert record.status == "finished"
    assert record.state().failure is None


def test_a_trial_without_epochs_is_evaluated_as_it_is(trial, digits, store):
    record = finished(trial(train={"epochs": 0}), digits, store.trial("key"))
    assert record.status == "finished"
    assert record.journal().epochs == []
    assert record.result().metrics["test/accuracy"] < 0.5


def test_two_processes_on_one_record_train_it_once(trial, digits, store, tmp_path, processes, wait_until):
    config, record = trial("classic", train={"epochs": 8}), store.trial("shared")
    first = processes.Process(target=train_slowly, args=(config, tmp_path, record.key))
    first.start()
    wait_until(lambda: record.journal().epochs, first)
    assert list(run_trial(config, digits, record)) == []
    assert record.status == "finished"
    first.join()
    assert first.exitcode == 0
    assert [row["epoch"] for row in record.journal().epochs] == list(range(1, 9))


def equals(record: Product, whole: Product) -> bool:
    """Whether two records hold the same weights, figures and epochs."""
    assert record.status == whole.status == "finished"
    assert record.problems() == []
    journals = [
        [{**row, "time": 0, "epoch_s": 0, "train/images_per_s": 0} for row in each.journal().epochs]
        for each in (record, whole)
    ]
    return (
        record.weights.read_bytes() == whole.weights.read_bytes()
        and record.result().metrics == whole.result().metrics
        and (record.path / "predictions-test.npz").read_bytes() == (whole.path / "predictions-test.npz").read_bytes()
        and journals[0] == journals[1]
    )


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(
    ("names", "resumed"),
    [
        (["checkpoint-000000003.pt"], 3),
        (["checkpoint-000000002.pt"], 4),
        (["checkpoint-000000002.pt", "checkpoint-000000003.pt"], 1),
        (["journal.jsonl"], None),
        (["lease.json", "student.safetensors"], 4),
    ],
    ids=["newest", "one before", "both", "journal", "others"],
)
def test_a_half_trained_trial_survives_damage_and_ends_in_the_same_bits(
    trial, digits, store, whole, monkeypatch, names, resumed, kind
):
    monkeypatch.setattr(trial_module, "CHECKPOINT_INTERVAL_S", -1)
    config, record = trial("mixup", train={"epochs": 5}), store.trial("hurt")
    running = run_trial(config, digits, record)
    for _ in range(3):
        next(running)
    running.close()
    record.lease.renew()
    record.weights.write_bytes(b"half of another trial's weights")
    for name in names:
        damage(Path(record.path / name), kind)
    going_on = [result.epoch for result in run_trial(config, digits, record)]
    assert going_on == list(range(resumed or going_on[0], 6))
    assert going_on[0] <= 4
    assert equals(record, whole(config))


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize(
    ("names", "trains"),
    [
        (["manifest.json"], False),
        (["predictions-test.npz", "predictions-validation.npz"], False),
        (["journal.jsonl"], True),
        (["student.safetensors"], True),
        (["manifest.json", "journal.jsonl"], True),
    ],
    ids=["manifest", "predictions", "journal", "weights", "manifest and journal"],
)
def test_a_finished_trial_that_was_damaged_is_made_again_from_what_is_whole(
    trial, digits, store, whole, names, trains, kind
):
    config = trial("mixup")
    record = copied(whole(config), store.trial("hurt"))
    for name in names:
        damage(Path(record.path / name), kind)
    record.problems()
    assert record.status in ("damaged", "pending")
    assert bool(list(run_trial(config, digits, record))) == trains
    assert equals(record, whole(config))


def test_a_trained_student_needs_no_longer_the_weights_that_it_started_from(trial, digits, store, tmp_path):
    weights = tmp_path / "start.safetensors"
    weights.write_bytes(finished(trial(seed=7), digits, store.trial("start")).weights.read_bytes())
    config = trial(student=trial().student.model_copy(update={"checkpoint": str(weights)}))
    record = finished(config, digits, store.trial("hurt"))
    metrics = record.result().metrics
    weights.unlink()
    (record.path / "manifest.json").unlink()
    assert finished(config, digits, record).result().metrics == metrics


def test_a_journal_that_is_made_again_leaves_whole_weights_alone(trial, digits, store):
    """On a GPU, training again may give other weights, and a teacher's are part of its students' keys."""
    record = finished(trial("mixup"), digits, store.trial("hurt"))
    (record.path / "journal.jsonl").unlink()
    before = record.weights.read_bytes()
    finished(trial("mixup", seed=1), digits, record)  # trains to other weights
    assert record.weights.read_bytes() == before
    assert len(record.journal().epochs) == 3
