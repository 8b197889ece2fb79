"""A sweep that is killed, damaged, given other resources or run twice at once still ends with the same results."""

import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import pytest

from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from tests.benchmarks.kills import Ordeal

pytestmark = pytest.mark.system


def test_a_sweep_outlives_kills_of_driver_workers_and_server_and_damaged_files_bit_for_bit(train_here):
    """The short form of `make bench`, compared with a plain loop; the folder's path is short, as Ray's sockets need."""
    of_one_teacher = "arms=[{method: mixup}, {method: kd_mixup, teacher: one, temperature: 2}]"
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="kd") as folder:
        ordeal = Ordeal(Path(folder), num_kills=3, num_epochs=12, seed=0, edits=(of_one_teacher,))
        train_here(read_spec(str(ordeal.spec), ordeal.overrides), ordeal.whole)
        assert ordeal.undergo() == []
    assert ordeal.killed == {"driver": 1, "worker": 1, "server": 1}
    assert len(ordeal.damaged) >= 3


def test_neither_other_resources_nor_what_was_there_before_change_a_key_or_a_weight(
    sweep, sweep_here, both_cores, tmp_path, students_of
):
    """One store is made in a plain loop; the other one begins with one of two teachers, and gets more cores then."""
    second = "{model: test_resnet, stem_stride: 1, image_size: 8, seed: 1, finetune: {epochs: 2, batch_size: 32}}"
    edits = [f"teachers.second={second}", "arms.1={method: kd_mixup, teacher: [resnet, second]}"]
    begun, whole = Store.at(tmp_path / "begun"), Store.at(tmp_path / "whole")
    sweep_here(begun, *edits, "arms.1.teacher=resnet")
    shutil.rmtree(begun.local / "trials")

    outcome, log = sweep(begun, *edits, "resources={cpu: 2, teacher_cpu: 1.5}")
    assert outcome.ok
    assert "fine-tuning second" in log
    assert "the sweep began with other threads, and keeps them: 1 a trial and 1 a teacher" in log
    sweep_here(whole, *edits)
    assert students_of(begun) == students_of(whole)
    assert teachers_of(begun) == teachers_of(whole)
    assert len(teachers_of(begun)) == 2


def teachers_of(store):
    """The hash of every teacher of a store, and the number of its threads, by its key."""
    cards = {path.name: store.teacher(path.name).state().manifest for path in store.local.glob("teachers/*")}
    return {key: (card.weights_sha256, card.begun.threads) for key, card in cards.items()}


def test_two_runs_of_one_spec_at_once_train_every_product_once(
    start_driver, both_cores, tiny_store, tmp_path, students_of
):
    """Two shells; whoever trains a product writes its journal, and the other one waits."""
    store = Store.at(tmp_path / "runs")
    drivers, written = [start_driver(store) for _ in range(2)], defaultdict(set)
    while any(driver.poll() is None for driver in drivers):
        for name in ("journal.jsonl", "manifest.json"):  # the journal is begun once, and appended to
            for path in store.local.glob(f"t*/*/{name}"):
                written[path.parent.name, name].add(path.stat().st_ino)
        time.sleep(0.02)
    for driver in drivers:
        _, log = driver.communicate()
        assert driver.returncode == 0, log
        assert "3 finished, 0 stopped, 0 failed" in log
    assert list(map(len, written.values())) == [1] * 8
    assert students_of(store) == students_of(tiny_store)
