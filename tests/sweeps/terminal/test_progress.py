"""Progress: plain lines in a log."""

import io

from sweeps.terminal.progress import SweepProgress, figures_line


def test_a_log_gets_one_plain_line_an_end_and_none_an_epoch():
    stream = io.StringIO()
    with SweepProgress(stream) as progress:
        progress.note("fine-tuning [resnet]")
        progress.expect(2)
        progress.epoch("kd seed 0", 1, 2, {"validation/accuracy": 0.5, "validation/ece": 0.1})
        progress.done("kd seed 0", "finished", figures_line({"validation/accuracy": 0.5, "validation/ece": 0.125}))
        progress.done("kd seed 1", "failed", "NonFiniteLossError: the loss is nan")
    lines = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert lines == [
        "fine-tuning [resnet]",
        "1/2  finished  kd seed 0  accuracy 0.500  ECE 0.125",
        "2/2  failed  kd seed 1  NonFiniteLossError: the loss is nan",
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
