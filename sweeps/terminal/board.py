"""What a display shows of a sweep: its trials by state, the running ones, the current front, and the time left."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from statistics import fmean
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from analysis.objectives import OBJECTIVES, scaled
from sweeps.config.sweep import objective_in
from sweeps.plan.eta import Paces, TimeLeft, Work

STATES = ("finished", "stopped", "failed", "damaged", "running", "pending")
ENDED = frozenset(STATES[:3])
_STYLES = {"finished": "green", "failed": "bold red", "damaged": "red", "stopped": "yellow", "running": "cyan"}
_ROWS = 8  # of the running trials and of the front, at least; more where the terminal is high


def validation_objectives(objectives: Mapping[str, str]) -> dict[str, str]:
    """The objectives of a sweep that are measured on validation, as shipped; accuracy and ECE if there is none."""
    return scaled({name: way for name, way in objectives.items() if name.startswith("validation/")} or OBJECTIVES)


@dataclass
class ProductState:
    """What is known of one trial, teacher or signal; arm and form are "" where they are not."""

    label: str
    arm: str = ""
    form: str = ""
    state: str = "pending"
    epoch: float = 0
    num_epochs: int = 0
    note: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    since: float = 0.0


class Board:
    """The state of a sweep, filled by whoever follows it and drawn by rich; its methods may be called by any thread."""

    def __init__(self) -> None:
        self.name, self.paces = "", Paces()
        self.objectives = validation_objectives({})
        self.num_expected = 0
        self.most_at_once = 1
        self.trials: dict[str, ProductState] = {}
        self.others: dict[str, ProductState] = {}
        self.counts: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._front: list[tuple[str, list[float]]] | None = None
        self._num_arms = 0

    def update_trial(self, label: str, state: str | None = None, **fields: Any) -> None:
        """Set the state of a trial, and other fields of it; a label that is new is a new trial."""
        with self._lock:
            if label not in self.trials:
                self.trials[label] = ProductState(label)
                self.counts["pending"] += 1
            trial = self.trials[label]
            if state is not None and state != trial.state:
                self.counts[trial.state] -= 1
                self.counts[state] += 1
                if "finished" in (state, trial.state):
                    self._front = None
                trial.state, trial.since = state, time.monotonic()
                self.most_at_once = max(self.most_at_once, self.counts["running"])
            if fields.get("epoch", trial.epoch) != trial.epoch:
                trial.since = time.monotonic()
            vars(trial).update(fields)

    def update_other(self, label: str, **fields: Any) -> None:
        """Set fields of a teacher or signal."""
        with self._lock:
            vars(self.others.setdefault(label, ProductState(label))).update(fields)

    def add_epoch_times(self, label: str, seconds: Iterable[float]) -> None:
        """Learn how many seconds epochs of a trial took."""
        with self._lock:
            self.paces.add(self.trials[label].form, label, seconds)

    def remove_trials(self, labels: Iterable[str]) -> None:
        """Leave out trials that the sweep no longer lists."""
        with self._lock:
            for label in labels:
                self.counts[self.trials.pop(label).state] -= 1
                self._front = None

    @property
    def total(self) -> int:
        """The trials that are known or still to appear."""
        return max(self.num_expected, len(self.trials))

    def count_text(self) -> str:
        """The trials by state in one line."""
        counts = [(self._count(state), state) for state in STATES]
        return ", ".join(f"{count} {state}" for count, state in counts if count) or "no trials"

    def _count(self, state: str) -> int:
        return self.counts[state] + (self.total - len(self.trials) if state == "pending" else 0)

    def time_left(self) -> TimeLeft:
        """The time of what is left, from the trials that have run, with as many at once as ran at most so far."""
        with self._lock:
            left = [trial for trial in self.trials.values() if trial.state not in ENDED]
            lengths = [trial.num_epochs for trial in self.trials.values() if trial.num_epochs]
            mean = fmean(lengths) if lengths else 0.0
            works = [Work(trial.form, self._epochs_left(trial)) for trial in left if trial.num_epochs]
            num_unseen = self.total - len(self.trials) + len(left) - len(works)  # a search has yet to propose them
            return self.paces.time_left(works + [Work("", mean)] * num_unseen, self.most_at_once)

    def _epochs_left(self, trial: ProductState) -> float:
        """The epochs of a trial that are left, less the part of one that a running trial has probably trained."""
        left, pace = trial.num_epochs - trial.epoch, self.paces.seconds(trial.form)
        if trial.state == "running" and pace:
            left -= min(1.0, (time.monotonic() - trial.since) / pace)
        return max(0.0, left)

    def time_text(self) -> str:
        """The time left in one line, with what it is from."""
        if not self._count("running") and not self._count("pending"):
            return "nothing left to run"
        time_left = self.time_left()
        if self.counts["stopped"]:  # others may be stopped, too
            time_left = replace(time_left, at_most=True)
        how = f"{self.most_at_once} at once" if self._count("running") else "nothing is running now"
        return f"time left: {time_left}; {how}"

    def line(self) -> str:
        """The trials by state, the time left, and up to three running trials, for a log."""
        with self._lock:
            running = [trial for trial in self.trials.values() if trial.state == "running"]
            epochs = "".join(f"; {trial.label} {trial.epoch:.4g}/{trial.num_epochs}" for trial in running[:3])
            return f"{self.count_text()}; {self.time_text()}{epochs}"

    def front(self) -> list[tuple[str, list[float]]]:
        """The arms of the finished trials that none dominates, and their objectives; the best by the first is first."""
        with self._lock:
            if self._front is None:
                self._front = self._new_front()
            return self._front

    def _new_front(self) -> list[tuple[str, list[float]]]:
        arms: dict[str, list[list[float]]] = {}
        for trial in self.trials.values():
            values = [objective_in(trial.metrics, name) for name in self.objectives]
            if trial.state == "finished" and (measured := [value for value in values if value is not None]) == values:
                arms.setdefault(trial.arm or trial.label, []).append(measured)
        self._num_arms = len(arms)
        if not arms:
            return []
        import numpy as np  # with pandas, which a display without a finished trial does not need

        from analysis.pareto import nondominated

        means = [list(map(fmean, zip(*seeds, strict=True))) for seeds in arms.values()]
        signs = [-1.0 if way == "max" else 1.0 for way in self.objectives.values()]
        on_front = nondominated(np.array(means) * signs)
        front = [(arm, values) for arm, values, on in zip(arms, means, on_front, strict=True) if on]
        return sorted(front, key=lambda row: signs[0] * row[1][0])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the board so that it fits the terminal."""
        with self._lock:
            yield Group(*self._parts(options.max_width, max(console.height, 16)))

    def _parts(self, width: int, height: int) -> Iterable[RenderableType]:
        products = [*self.others.values(), *self.trials.values()]
        running = [product for product in products if product.state == "running"]
        front = self.front()
        room = height - 8  # without headings and blank lines
        num_front = min(len(front), max(_ROWS // 2, room - min(len(running), max(_ROWS // 2, room // 2))))
        num_running = min(len(running), max(_ROWS // 2, room - num_front))
        if self.total:
            yield self._heading()
            num_ended = sum(self.counts[state] for state in ENDED)
            yield Padding(ProgressBar(total=self.total, completed=num_ended, width=width), 0)  # which ends its line
            yield Text(self.time_text(), style="dim", overflow="fold", no_wrap=False)
        if running:
            title = "running" + _more(num_running, len(running))
            yield _table(title, ["epoch", ""], map(_progress, running), num_running, width)
        if front:
            title = f"front on validation, of {self._num_arms} arm{'s' * (self._num_arms != 1)}"
            names = [name.removeprefix("validation/") for name in self.objectives]
            rows = ((arm, [f"{value:.4f}" for value in values]) for arm, values in front)
            yield _table(title + _more(num_front, len(front)), names, rows, num_front, width)

    def _heading(self) -> Text:
        heading = Text(f"{self.name}  " if self.name else "", style="bold", overflow="fold")
        for state in STATES:
            if count := self._count(state):
                heading.append(f"{count} {state}  ", style=_STYLES.get(state, "not bold"))
        return heading


def _progress(product: ProductState) -> tuple[str, list[str]]:
    epochs = f"{product.epoch:.4g}/{product.num_epochs}" if product.num_epochs else ""
    return product.label, [epochs, product.note]


def _more(num_shown: int, num: int) -> str:
    return f" ({num_shown} of {num} shown)" if num_shown < num else ""


def _table(title: str, columns: list[str], rows: Iterable[tuple[str, list[str]]], most: int, width: int) -> Table:
    """A table without lines, of one line a row: a label is cut in its middle if its values need the room."""
    first_rows = list(islice(rows, most))
    widths = [max(map(len, texts)) for texts in zip(columns, *(cells for _, cells in first_rows), strict=True)]
    room = max(10, width - sum(widths) - 2 * len(columns))
    table = Table(box=None, header_style="dim", pad_edge=False)
    for column in (_cut(title, room), *columns):
        table.add_column(column, no_wrap=True)
    for label, cells in first_rows:
        table.add_row(Text(_cut(label, room)), *map(Text, cells))
    return table


def _cut(text: str, room: int) -> str:
    """The beginning and, since labels differ there, more of the end of a text that is too long."""
    head = (room - 1) // 3
    return text if len(text) <= room else f"{text[:head]}…{text[len(text) - (room - 1 - head) :]}"
