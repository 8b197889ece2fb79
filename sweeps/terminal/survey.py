"""Prints what was found in a source: sizes, classes, file types, and notes by kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sweeps.terminal.console import stderr, table

if TYPE_CHECKING:
    from kd_core.data.look import Progress as LookProgress
    from kd_core.data.survey import Survey

_MANY = 5000  # images, whose look takes seconds
_MOST_CLASSES = 20  # that are listed; of more, the largest and the smallest


def print_survey(survey: Survey) -> None:
    """Print a survey on stderr: a table of the images a class, then a line a note."""
    console = stderr()
    where = survey.config.path or survey.config.source
    console.print(f"{where}: {survey.summary.sizes}", soft_wrap=True, markup=False)
    if survey.formats:
        sizes = " to ".join(f"{width}×{height}" for width, height in survey.sizes)
        formats = ", ".join(f"{count:,} {name}" for name, count in survey.formats.items())
        console.print(f"images as stored: {formats}; {sizes} pixels", soft_wrap=True, markup=False)
    counts = survey.counts
    order = sorted(range(len(survey.parts.class_names)), key=lambda number: -counts["train"][number])
    listed = order if len(order) <= _MOST_CLASSES else [*order[: _MOST_CLASSES // 2], *order[-_MOST_CLASSES // 2 :]]
    if len(listed) < len(order):
        console.print(f"the largest and the smallest of {len(order):,} classes:")
    rows = table("class", *counts)
    for number in listed if len(listed) < len(order) else sorted(listed):
        rows.add_row(survey.parts.class_names[number], *(f"{split[number]:,}" for split in counts.values()))
    console.print(rows)
    for line in survey.summary.lines:
        console.print(line, soft_wrap=True, markup=False)


@contextmanager
def looking() -> Iterator[LookProgress]:
    """A bar on a terminal, and a line each tenth in a log, while every image is looked at."""
    console = stderr()
    if not console.is_terminal:
        yield telling(console.print)
        return
    columns = TextColumn("looking at every image"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def telling(note: Callable[[str], object]) -> LookProgress:
    """Tells a look at many images in a line each tenth."""
    told = 0

    def tell(done: int, total: int) -> None:
        """Print a line if another tenth is done."""
        nonlocal told
        if total >= _MANY and done * 10 // total > told:
            told = done * 10 // total
            note(f"looked at {done:,} of {total:,} images")

    return tell
