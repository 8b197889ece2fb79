"""The status of each product: a teacher, a signal and a trial, at every stage."""

import json

from analysis.snapshot import read_sweep
from kd_core.store.records import Store
from kd_core.store.writer import ProductWriter
from sweeps.terminal.board import Board
from sweeps.terminal.follower import Follower
from sweeps.terminal.status import status_of
from tests.products import STOP, finish, members_of, write_members


def test_what_a_failed_teacher_keeps_from_running_says_so(planned, kdsweep):
    store, plan = planned
    plan.teachers[0].product.fail("ValueError: no teacher", "")
    shown = json.loads(kdsweep("status", "tiny", "--storage", store.root, "--json").stdout)
    assert [(row["label"], row["status"], row["error"]) for row in shown["teachers"]] == [
        ("teacher resnet", "failed", "ValueError: no teacher")
    ]
    assert [row["status"] for row in shown["trials"]] == ["pending"] * 3
    assert [row["error"] for row in shown["trials"]] == [None] + ["its teacher, resnet, failed"] * 2
    assert "T=sigma seed 0" in kdsweep("status", "tiny", "--storage", store.root).stderr


def test_a_fused_teacher_has_the_status_of_its_members_and_keeps_its_trials_from_running(planned):
    store, plan = planned
    sweep, content = store.sweep("tiny"), members_of(store.sweep("tiny"))
    fused = {"name": "both", "key": "key", "members": ["resnet"], "rule": "mean"}
    trials = [trial | {"teacher": "both" if trial["teacher"] else None} for trial in content["trials"]]
    write_members(sweep, "", content | {"fused": [fused], "trials": trials})
    row = {"label": "teacher both", "key": "key", "status": "pending", "epoch": None, "epochs": None, "error": None}
    assert status_of(read_sweep(store, "tiny"))["teachers"][-1] == row
    plan.teachers[0].product.fail("ValueError: no teacher", "")
    told = status_of(read_sweep(store, "tiny"))
    assert told["teachers"][-1] == row | {"status": "failed", "error": "its member, resnet, is failed"}
    assert [trial["error"] for trial in told["trials"]] == [None] + ["its teacher, both, failed"] * 2
    news = Follower(store, sweep, Board()).refresh()
    assert [reason for *_, reason in news] == ["ValueError: no teacher"] + ["its teacher, both, failed"] * 2


def test_a_trial_is_pending_then_running_then_finished(planned):
    store, plan = planned
    record, config = plan.trials[0].product, plan.trials[0].trial.config.model_dump(mode="json")

    def row():
        """The current status of the first trial."""
        first = status_of(read_sweep(store, "tiny"))["trials"][0]
        return {key: first[key] for key in ("status", "epoch", "epochs")}

    assert row() == {"status": "pending", "epoch": 0, "epochs": None}
    with record.lease.held():
        writer = ProductWriter(record, config)
        writer.append({"epoch": 1})
        assert row() == {"status": "running", "epoch": 1, "epochs": 2}
    writer.append({"epoch": 2})
    finish(record, writer=writer)
    assert row() == {"status": "finished", "epoch": 2, "epochs": 2}


def test_a_signal_is_pending_while_nobody_labels_it_and_finished_when_it_is_whole(planned):
    store, _ = planned
    signal, sweep = store.signal("key"), store.sweep("tiny")
    listed = [{"key": "key", "label": "resnet uniform", "teacher": "resnet", "epochs": 2}]
    write_members(sweep, "", members_of(sweep) | {"signals": listed})
    signal.begin({"key": "key"})

    def row():
        """The current status of the signal."""
        (only,) = status_of(read_sweep(store, "tiny"))["signals"]
        return only["label"], only["status"], only["epoch"], only["epochs"]

    for epoch in (1, 2):
        assert row() == ("signal resnet uniform", "pending", epoch - 1, 2)
        with signal.lease(epoch).held():
            assert row()[1] == "running"
            with signal.writing(epoch, 4, 2) as logits:
                logits[:] = 0
    assert row() == ("signal resnet uniform", "finished", 2, 2)


def test_roles_are_told_and_who_is_left_out_says_why(planned, kdsweep):
    store, plan = planned
    sweep, record = store.sweep("tiny"), plan.trials[0].product
    first = members_of(sweep)["trials"][0]
    roles = [("scout", record.key, 0), ("follower", "other", 1)]
    trials = [first | {"role": role, "key": key, "label": f"classic seed {seed}"} for role, key, seed in roles]
    write_members(sweep, "", members_of(sweep) | {"trials": trials})
    assert [row["status"] for row in status_of(read_sweep(store, "tiny"))["trials"]] == ["pending", "pending"]
    record.write_stop(STOP)
    rows = [(row["role"], row["status"], row["error"]) for row in status_of(read_sweep(store, "tiny"))["trials"]]
    assert rows == [
        ("scout", "stopped", "stopped at epoch 1 (rung 1)"),
        ("follower", "stopped", "left out: its scout was stopped"),
    ]
    assert "follower  stopped" in kdsweep("status", "tiny", "--storage", store.root).stderr
    follower = Follower(store, sweep, Board())
    told = [("classic seed 0", "stopped", "stopped at epoch 1 (rung 1)"), ("classic seed 1", "stopped", rows[1][2])]
    assert follower.refresh() == told
    assert follower.refresh() == []
    assert follower.ended


def test_a_finished_trial_costs_two_requests_and_one_that_has_not_begun_none(tiny_store, requests, tmp_path):
    store = Store.at(f"memory://{tmp_path.name}")
    store.root.fs.put(str(tiny_store.local), store.root.path, recursive=True)
    first, *others = read_sweep(store, "tiny").trials
    store.root.fs.rm(first.product.path.path, recursive=True)
    requests.clear()
    rows = status_of(read_sweep(store, "tiny"))["trials"]
    assert [row["status"] for row in rows] == ["pending", "finished", "finished"]
    assert sum(count for path, count in requests.items() if "/trials/" in path) == 2 * len(others)
