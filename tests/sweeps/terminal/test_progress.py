"""Progress: plain lines in a log."""

import io

from kd_core.data.survey import summarize
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from sweeps.terminal.progress import SweepProgress, figures_line


def know(progress, *labels):
    """Let a progress know trials, as it does from a plan."""
    for label in labels:
        progress.board.update_trial(label, "pending")


def test_a_log_gets_one_plain_line_an_end_and_none_an_epoch():
    stream = io.StringIO()
    with SweepProgress(stream) as progress:
        progress.note("fine-tuning [resnet]")
        know(progress, "kd seed 0", "kd seed 1")
        progress.expect(2)
        progress.epoch("kd seed 0", 1, 2, {"validation/accuracy": 0.5, "validation/ece": 0.1})
        progress.done("kd seed 0", "finished", figures_line({"validation/accuracy": 0.5, "validation/ece": 0.125}))
        progress.done("kd seed 1", "failed", "NonFiniteLossError: the loss is nan")
        progress.done("outputs clean of 2 models", "finished")
        assert list(progress.board.trials) == ["kd seed 0", "kd seed 1"]
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "fine-tuning [resnet]",
        "1/2  finished  kd seed 0  accuracy 0.500  ECE 0.125",
        "2/2  failed  kd seed 1  NonFiniteLossError: the loss is nan",
        "finished  outputs clean of 2 models",
    ]


def test_a_log_says_once_for_whom_something_waits_and_keeps_what_failed():
    stream = io.StringIO()
    with SweepProgress(stream) as progress:
        for holder in ("process 1 on here", "process 1 on here", "process 2 on there"):
            progress.waits("teacher resnet", holder)
        progress.again("kd seed 0", "out of memory")
        progress.done("kd seed 0", "failed", "out of memory")
        progress.done("kd seed 1", "finished")
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "teacher resnet waits for process 1 on here",
        "teacher resnet waits for process 2 on there",
        "kd seed 0: out of memory; trying again",
        "failed  kd seed 0  out of memory",
        "finished  kd seed 1",
    ]
    assert progress.failures == [("kd seed 0", "out of memory")]


def test_a_log_gets_a_line_of_counts_and_time_left_now_and_then(monkeypatch):
    stream = io.StringIO()
    with SweepProgress(stream) as progress:
        know(progress, "kd seed 0", "kd seed 1")
        progress.expect(3)
        progress.begins("kd seed 0")
        progress.epoch("kd seed 0", 1, 2, {"epoch_s": 600.0})
        monkeypatch.setattr("sweeps.terminal.progress.LINE_S", -1.0)
        progress.epoch("kd seed 1", 1, 2, {"epoch_s": 600.0})
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines[0] == "started  kd seed 0"
    assert len(lines) == 2
    assert lines[1].startswith("2 running, 1 pending; time left: about 20 min (from 2 trials of the same form); 2 at")
    assert lines[1].endswith("kd seed 0 1/2; kd seed 1 1/2")


def test_the_trials_of_a_plan_are_known_before_they_run(tiny, store):
    spec = read_spec(str(tiny), ["seeds=[0, 1]"])
    progress = SweepProgress(io.StringIO())
    progress.foresee(plan_sweep(spec, store, summarize(spec.data)), store)
    progress.expect(3)
    assert progress.board.count_text() == "3 finished, 3 pending"
    assert progress.board.total == 6
    assert progress.board.time_left().num_unknown == 0
    assert progress.board.front()
