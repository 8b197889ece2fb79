"""How a sweep looks while it runs: live bars on a terminal, one plain line an event in a log."""

import sys
import time
from typing import Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class SweepProgress:
    """Prints what happens to a stream; nothing it does changes what is computed."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self.live = self.console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            refresh_per_second=4,
        )
        self._tasks: dict[str, TaskID] = {}
        self._overall: TaskID | None = None
        self._num_done = self._num_total = 0

    def __enter__(self) -> Self:
        if self.live:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self._bars.stop()

    def note(self, text: str) -> None:
        """One line about the sweep as a whole."""
        self.console.print(f"{'' if self.live else time.strftime('%H:%M:%S ')}{text}", markup=False)

    def expect(self, num_trials: int) -> None:
        """How many trials are going to run."""
        self._num_total = num_trials
        self._overall = self._bars.add_task("trials", total=num_trials, note="")

    def epoch(self, label: str, epoch: int, num_epochs: int, figures: dict[str, float]) -> None:
        """One more epoch of a running trial or teacher; drawn on a terminal, silent in a log."""
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(f"  {label}", total=num_epochs, note="")
        accuracy, ece = figures.get("validation/accuracy"), figures.get("validation/ece")
        note = f"accuracy {accuracy:.3f}  ECE {ece:.3f}" if accuracy is not None and ece is not None else ""
        self._bars.update(self._tasks[label], completed=epoch, note=note)

    def done(self, label: str, status: str, detail: str = "") -> None:
        """A trial or teacher has ended, one way or another."""
        if label in self._tasks:
            self._bars.remove_task(self._tasks.pop(label))
        count = ""
        if self._overall is not None:
            self._num_done += 1
            self._bars.update(self._overall, completed=self._num_done)
            count = f"{self._num_done}/{self._num_total}  "
        self.note(f"{count}{status}  {label}  {detail}".rstrip())


def figures_line(metrics: dict[str, float]) -> str:
    """Validation accuracy and ECE in a few words."""
    return f"accuracy {metrics['validation/accuracy']:.3f}  ECE {metrics['validation/ece']:.3f}"
