"""Shows a running sweep: live bars on a terminal, one plain line per event in a log."""

import sys
import time
from contextlib import ExitStack
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

from sweeps.terminal.interrupt import cleaning_up

_LINE_S = 30.0  # between two lines of a log about the same trial


class SweepProgress:
    """Prints the events of a sweep to a stream; it has no effect on results."""

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
        self._logged: dict[str, float] = {}
        self._ending = ExitStack()
        self._waits: set[str] = set()
        self.failures: list[tuple[str, str]] = []
        self._overall: TaskID | None = None
        self._num_done = self._num_total = 0

    def __enter__(self) -> Self:
        if self.live:
            self._bars.start()
            self._ending.callback(self._bars.stop)
            self._ending.enter_context(cleaning_up(self.console.show_cursor))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def note(self, text: str) -> None:
        """Print one line about the whole sweep."""
        self.console.print(f"{'' if self.live else time.strftime('%H:%M:%S ')}{text}", markup=False)

    def waits(self, label: str, holder: object) -> None:
        """Say once that a trial, teacher or signal waits for another process, the holder of its lease."""
        text = f"{label} waits for {holder}"
        if text not in self._waits:
            self._waits.add(text)
            self.note(text)

    def again(self, label: str, reason: str) -> None:
        """Say that a trial, teacher or signal has failed and is tried again."""
        self.note(f"{label}: {reason}; trying again")

    def expect(self, num_trials: int) -> None:
        """Set the number of trials to run."""
        self._num_total = num_trials
        self._overall = self._bars.add_task("trials", total=num_trials, note="")

    def epoch(self, label: str, epoch: int, num_epochs: int, figures: dict[str, float]) -> None:
        """Show one more epoch of a running trial or teacher."""
        accuracy, ece = figures.get("validation/accuracy"), figures.get("validation/ece")
        note = f"accuracy {accuracy:.3f}  ECE {ece:.3f}" if accuracy is not None and ece is not None else ""
        self.advance(label, epoch, num_epochs, note)

    def advance(self, label: str, completed: float, num_epochs: int, note: str = "") -> None:
        """Show the completed epochs under a label: as a bar on a terminal, or now and then as a line in a log."""
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(f"  {label}", total=num_epochs, note="")
            self._logged[label] = time.monotonic()
        self._bars.update(self._tasks[label], completed=completed, note=note)
        if not self.live and time.monotonic() - self._logged[label] > _LINE_S:
            self._logged[label] = time.monotonic()
            self.note(f"epoch {completed:.4g}/{num_epochs}  {label}  {note}".rstrip())

    def done(self, label: str, status: str, detail: str = "") -> None:
        """Show the end and status of a trial, teacher or signal; what has failed is kept in `failures`."""
        if status == "failed":
            self.failures.append((label, detail))
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


def size_text(num_bytes: int) -> str:
    """A size in the largest unit of which it has at least one."""
    unit = next(unit for unit in (2**30, 2**20, 2**10, 1) if num_bytes >= unit or unit == 1)
    return f"{num_bytes / unit:.3g} { {2**30: 'GiB', 2**20: 'MiB', 2**10: 'KiB', 1: 'B'}[unit] }"
