"""The board: counts, front and time left, within the width and height of a terminal."""

import io
import threading

import pytest
from rich.console import Console

from sweeps.terminal.board import Board, validation_objectives


def drawn(board, width=80, height=30):
    """The lines of a board on a terminal of this size."""
    stream = io.StringIO()
    console = Console(file=stream, width=width, height=height, force_terminal=True, color_system=None)
    console.print(board)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def finish(board, arm, accuracy, ece, seed=0):
    """Let one trial finish."""
    metrics = {"validation/accuracy": accuracy, "validation/ece_scaled": ece}
    board.update_trial(f"{arm} seed {seed}", "finished", arm=arm, metrics=metrics)


@pytest.fixture
def crowded():
    """The board of a thousand trials, many of them on the front, 40 running, with long labels."""
    board = Board()
    board.name = "crowded"
    for number in range(900):
        finish(
            board, f"kd_mixup convnext T=2 alpha=0.5 train.learning_rate=0.001 x={number}", number / 900, number / 900
        )
    for number in range(40):
        label = f"kd_mixup convnext T=sigma alpha=0.5 train.learning_rate=0.00{number} train.batch_size=128 seed 0"
        board.update_trial(label, "running", epoch=3, num_epochs=10, note="accuracy 0.512  ECE 0.031")
    board.num_expected = 1000
    return board


def test_trials_are_counted_by_their_present_state_and_those_to_come_as_pending():
    board = Board()
    board.num_expected = 4
    for state in ("pending", "running", "failed", "running", "finished"):
        board.update_trial("kd seed 0", state)
    board.update_trial("kd seed 1", "running")
    assert board.count_text() == "1 finished, 1 running, 2 pending"
    board.remove_trials(["kd seed 0"])
    assert board.counts["finished"] == 0


def test_the_front_is_of_arms_and_of_the_means_over_their_finished_seeds():
    board = Board()
    finish(board, "good", 0.8, 0.02, seed=0)
    finish(board, "good", 0.6, 0.04, seed=1)
    finish(board, "calibrated", 0.5, 0.01)
    finish(board, "bad", 0.5, 0.05)
    board.update_trial("running seed 0", "running", metrics={"validation/accuracy": 1.0, "validation/ece_scaled": 0.0})
    assert board.front() == [("good", pytest.approx([0.7, 0.03])), ("calibrated", [0.5, 0.01])]
    finish(board, "best", 0.9, 0.001)
    assert [arm for arm, _ in board.front()] == ["best"]


def test_the_front_is_by_the_size_of_the_gap_which_trials_tell_with_its_sign():
    board = Board()
    board.objectives = {"validation/abs_gap": "min"}
    board.update_trial("over seed 0", "finished", arm="over", metrics={"validation/gap": 0.2})
    board.update_trial("under seed 0", "finished", arm="under", metrics={"validation/gap": -0.3})
    assert board.front() == [("over", [0.2])]


def test_objectives_that_a_trial_does_not_tell_are_not_shown():
    assert validation_objectives({"validation/nll": "min", "latency_ms_1": "min"}) == {"validation/nll_scaled": "min"}
    assert list(validation_objectives({"latency_ms_1": "min"})) == ["validation/accuracy", "validation/ece_scaled"]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 50), (140, 40)])
def test_a_thousand_trials_fit_the_terminal(crowded, width, height):
    lines = drawn(crowded, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert "900 finished  40 running  60 pending" in lines[0]
    assert any(line.startswith("running (") and "of 40 shown" in line for line in lines)
    assert any("front on validation, of 900 arms (" in line for line in lines)
    assert any("accuracy 0.512  ECE 0.031" in line for line in lines)


def test_the_time_left_counts_the_epochs_left_by_what_runs_at_once_and_says_what_it_is_from():
    board = Board()
    for seed in range(2):
        board.update_trial(f"kd seed {seed}", "running", form="form", epoch=0, num_epochs=100)
    for seed in range(2, 4):
        board.update_trial(f"kd seed {seed}", form="form", num_epochs=100)
    assert "unknown (no trial of this form" in board.time_text()
    board.add_epoch_times("kd seed 0", [600.0])
    assert board.time_left().seconds == pytest.approx(4 * 100 * 600 / 2, rel=0.01)
    assert board.time_text() == "time left: about 1 d 9 h (from 1 trial of the same form); 2 at once"
    board.num_expected = 6
    assert board.time_left().seconds == pytest.approx(6 * 100 * 600 / 2, rel=0.01)
    board.update_trial("kd seed 1", "stopped")
    assert board.time_text().startswith("time left: at most 1 d ")
    board.num_expected = 0
    for seed in range(4):
        board.update_trial(f"kd seed {seed}", "failed")
    assert board.time_text() == "nothing left to run"


def test_it_may_be_drawn_while_trials_are_added():
    board, errors = Board(), []

    def draw():
        """Draw again and again."""
        try:
            for _ in range(30):
                drawn(board)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=draw)
    thread.start()
    number = 0
    while thread.is_alive():
        board.update_trial(f"kd seed {number}", "running", num_epochs=1)
        board.add_epoch_times(f"kd seed {number}", [1.0])
        finish(board, "kd", 0.5, 0.5, number)
        number = (number + 1) % 500
    assert errors == []
