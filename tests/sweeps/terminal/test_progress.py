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
