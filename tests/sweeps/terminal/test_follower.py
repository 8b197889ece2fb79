"""Following a sweep by its files: each change is told once, and what is finished is not read again."""

import io
import subprocess
import sys
import threading
import time

from kd_core.store.writer import ProductWriter
from sweeps.terminal.board import Board
from sweeps.terminal.follower import Follower, watch
from sweeps.terminal.progress import SweepProgress
from tests.products import STOP, finish, members_of, write_members


def follower_of(store):
    """A follower of the tiny sweep, after its first look."""
    follower = Follower(store, store.sweep("tiny"), Board())
    follower.refresh()
    return follower


def test_a_trial_is_told_once_as_running_stopped_running_failed_and_finished(planned):
    store, plan = planned
    follower, record = follower_of(store), plan.trials[0].product
    label, config = plan.trials[0].trial.label, plan.trials[0].trial.config.model_dump(mode="json")
    metrics = {"validation/accuracy": 0.5, "validation/ece": 0.25, "validation/ece_scaled": 0.125}
    assert follower.board.count_text() == "3 pending"
    with record.lease.held():
        ProductWriter(record, config).append({"epoch": 1, "epoch_s": 2.0} | metrics)
        assert follower.refresh() == [(label, "running", "")]
        assert follower.refresh() == []
        shown = follower.board.trials[label]
        assert (shown.epoch, shown.num_epochs, shown.note) == (1, 2, "accuracy 0.500  ECE 0.250")
        assert follower.board.paces.seconds(shown.form) == 2
    record.write_stop(STOP)
    assert follower.refresh() == [(label, "stopped", "stopped at epoch 1 (rung 1)")]
    with record.lease.held():
        ProductWriter(record, config)
        assert follower.refresh() == [(label, "running", "")]
    record.fail("ValueError: no", "")
    assert follower.refresh() == [(label, "failed", "ValueError: no")]
    writer = ProductWriter(record, config)
    writer.append({"epoch": 2, "epoch_s": 4.0} | metrics)
    finish(record, writer=writer, metrics=metrics)
    assert follower.refresh() == [(label, "finished", "accuracy 0.500  ECE 0.250")]
    assert follower.board.paces.seconds(shown.form) == 3
    assert follower.board.front() == [(plan.trials[0].trial.arm, [0.5, 0.125])]
    assert follower.refresh() == []


def test_what_is_finished_is_not_read_again(store):
    follower = follower_of(store)
    for member in members_of(store.sweep("tiny"))["trials"]:
        (store.trial(member["key"]).path / "manifest.json").unlink()
    assert follower.refresh() == []
    assert follower.ended


def test_trials_that_appear_later_and_those_no_longer_listed_are_followed(planned):
    store, plan = planned
    sweep, members = store.sweep("tiny"), plan.index().model_dump(mode="json")
    follower = follower_of(store)
    added = {"key": "new", "label": "proposed seed 0", "arm": "proposed", "teacher": None, "seed": 0}
    write_members(sweep, "", members | {"trials": [*members["trials"], added]})
    store.trial("new").fail("ValueError: no", "")
    assert follower.refresh() == [("proposed seed 0", "failed", "ValueError: no")]
    assert follower.board.count_text() == "1 failed, 3 pending"


def test_trials_whose_teacher_has_failed_are_not_waited_for(planned):
    store, plan = planned
    plan.teachers[0].product.fail("ValueError: no teacher", "")
    plan.trials[0].product.fail("ValueError: no", "")
    follower = Follower(store, store.sweep("tiny"), Board())
    news = follower.refresh()
    assert [(label, state) for label, state, _ in news][:2] == [
        ("teacher resnet", "failed"),
        (plan.trials[0].trial.label, "failed"),
    ]
    assert [reason for *_, reason in news[2:]] == ["its teacher, resnet, failed"] * 2
    assert follower.ended


def test_a_sweep_that_was_finished_has_its_front_and_its_paces(store):
    follower = follower_of(store)
    assert len(follower.board.front()) >= 1
    assert all(follower.board.paces.seconds(each.form) for each in follower.board.trials.values())


def test_a_log_gets_a_line_for_what_changes_and_ends_with_the_sweep(planned, monkeypatch):
    store, plan = planned
    monkeypatch.setattr("sweeps.terminal.follower._INTERVAL_S", 0.05)
    stream = io.StringIO()
    thread = threading.Thread(target=watch, args=[store, store.sweep("tiny"), SweepProgress(stream)])
    thread.start()
    plan.teachers[0].product.fail("ValueError: no teacher", "")
    while "its teacher" not in stream.getvalue():
        time.sleep(0.02)
    plan.trials[0].product.fail("ValueError: no", "")
    thread.join(timeout=60)
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert f"failed  {plan.trials[0].trial.label}  ValueError: no" in lines
    assert sum("no teacher" in line for line in lines) == 1
    assert lines[-1] == "3 failed"


def test_watch_prints_no_json_and_is_over_at_once_if_nothing_is_left(store, kdsweep):
    refused = kdsweep("status", "tiny", "--watch", "--json", "--storage", store.root)
    assert (refused.exit_code, "--watch" in refused.stderr) == (2, True)
    shown = kdsweep("status", "tiny", "--watch", "--storage", store.root)
    assert (shown.exit_code, shown.stderr.splitlines()[-1].split(" ", 1)[1]) == (0, "3 finished")
    assert kdsweep("status", "none", "--watch", "--storage", store.root).exit_code == 2


def test_ctrl_c_ends_the_watch_and_is_no_failure(planned):
    import signal

    store, _ = planned
    command = [sys.executable, "-m", "sweeps", "status", "tiny", "--watch", "--storage", str(store.root)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "3 pending" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert (process.wait(timeout=60), process.stderr.read()) == (0, "")
