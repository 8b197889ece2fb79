"""A sweep that is killed, interrupted and loses a worker still ends with the same results."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time

from mlflow import MlflowClient

from kd_core.store.records import Store
from sweeps.tracking import embedded_uri, sync

EPOCHS = 100  # some seconds: a kill comes in between


def training_workers(driver):
    """The ids of the processes that train trials for one driver, a process id, and no other one."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines() if len(line.split(None, 2)) == 3]
    family = {str(driver)}
    for _ in range(3):  # driver → raylet → worker
        family |= {pid for pid, parent, _ in processes if parent in family}
    return [
        int(pid)
        for pid, _, command in processes
        if pid in family and command.startswith("ray::") and ".train" in command
    ]


def trials_of(store):
    """The records of the trials that have begun."""
    return [store.trial(path.name) for path in store.local.glob("trials/*")]


def test_a_sweep_outlives_a_kill_an_interrupt_and_a_dead_worker_and_nothing_is_lost_or_doubled(
    sweep, tiny, tmp_path, students_of, wait_until
):
    edits = ["arms=[{method: [classic, mixup]}]", f"train.epochs={EPOCHS}", "resources.cpu=1"]
    hurt, whole = Store.at(tmp_path / "hurt"), Store.at(tmp_path / "whole")
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), f"--storage={hurt.root}"]
    command += [f"--set={edit}" for edit in edits]

    def start():
        """Start the sweep from a shell, in its own session."""
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)

    with start() as driver:
        wait_until(lambda: any(len(record.journal()) > 3 for record in trials_of(hurt)), driver)
        os.killpg(driver.pid, signal.SIGKILL)

    with start() as driver:
        wait_until(lambda: training_workers(driver.pid), driver)
        driver.send_signal(signal.SIGINT)
        _, said = driver.communicate()
    assert driver.returncode == 130
    assert shlex.split(said.splitlines()[-1].split("To resume: ")[1]) == ["kdsweep", *command[3:]]
    assert "Traceback" not in said

    def kill_a_worker():
        """Kill the first worker of this process's Ray that trains."""
        while not (workers := training_workers(os.getpid())):
            time.sleep(0.02)
        os.kill(workers[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_a_worker, daemon=True)
    killer.start()
    outcome, log = sweep(hurt, *edits)
    killer.join()
    assert outcome.counts == {"finished": 2, "stopped": 0, "failed": 0, "reused": 0}, log

    sweep(whole, *edits)
    assert students_of(hurt) == students_of(whole)
    for key in students_of(hurt):
        assert [row["epoch"] for row in hurt.trial(key).journal()] == list(range(1, EPOCHS + 1))
    sync(hurt, "tiny", embedded_uri(hurt))
    client = MlflowClient(embedded_uri(hurt))
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert len(runs) == 3
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "train/loss")
        assert len(history) == (EPOCHS if "kdsweep.trial" in run.data.tags else 0)


def test_neither_other_resources_nor_a_kill_between_two_teachers_change_a_key_or_a_weight(
    sweep, tiny, tmp_path, students_of, wait_until
):
    """One sweep trains its teachers side by side, the other one by one; it is killed between them, and given cores."""
    second = "{model: test_resnet, stem_stride: 1, image_size: 8, seed: 1, finetune: {epochs: 2, batch_size: 32}}"
    edits = [f"teachers.second={second}", "arms.1={method: kd_mixup, teacher: [resnet, second]}"]
    hurt, whole = Store.at(tmp_path / "hurt"), Store.at(tmp_path / "whole")
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), f"--storage={hurt.root}"]
    command += [f"--set={edit}" for edit in [*edits, "arms.1.teacher=resnet"]]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as driver:
        wait_until(lambda: list(hurt.local.glob("teachers/*/card.json")), driver)
        os.killpg(driver.pid, signal.SIGKILL)

    outcome, log = sweep(hurt, *edits, "resources={cpu: 2, teacher_cpu: 1.5}")
    assert outcome.ok
    assert "fine-tuning second" in log
    assert "the sweep began with other threads, and keeps them: 1 a trial and 1 a teacher" in log
    sweep(whole, *edits)
    assert students_of(hurt) == students_of(whole)
    assert teachers_of(hurt) == teachers_of(whole)
    assert len(teachers_of(hurt)) == 2


def teachers_of(store):
    """The hash of every teacher of a store, and the number of its threads, by its key."""
    cards = {path.name: store.teacher(path.name).verdict() for path in store.local.glob("teachers/*")}
    return {key: (card["weights_sha256"], card["threads"]) for key, card in cards.items()}


def test_two_runs_of_one_spec_at_once_train_every_product_once(finished, tiny, tmp_path, students_of):
    """Two shells, each with its own Ray; whoever trains a product writes its config, and the other one waits."""
    store = Store.at(tmp_path / "runs")
    command = [sys.executable, "-m", "sweeps.cli", "run", str(tiny), f"--storage={store.root}", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    drivers, begun = [subprocess.Popen(command, **pipes) for _ in range(2)], {}
    while any(driver.poll() is None for driver in drivers):
        for path in store.local.glob("t*/*/config.json"):
            begun.setdefault(path.parent.name, set()).add(path.stat().st_mtime_ns)
        time.sleep(0.005)
    for driver in drivers:
        said, log = driver.communicate()
        assert driver.returncode == 0, log
        assert json.loads(said)["trials"]["finished"] == 3
    assert sorted(map(len, begun.values())) == [1, 1, 1, 1]
    assert students_of(store) == students_of(finished.store)
