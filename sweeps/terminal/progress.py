"""Shows a running sweep: a live board on a terminal, one plain line per event in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self, TextIO

from rich.console import Console
from rich.live import Live

from kd_core.store.files import read_ahead
from sweeps.terminal.board import ENDED, Board, validation_objectives
from sweeps.terminal.interrupt import cleaning_up

if TYPE_CHECKING:
    from kd_core.store.records import Store
    from sweeps.plan.plan import Plan, TrialPlan

LINE_S = 60.0  # between two lines of a log about one teacher or signal, or about all trials


class SweepProgress:
    """Prints the events of a sweep to a stream; it has no effect on results."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.console = Console(file=stream or sys.stderr, highlight=False)
        self.live = self.console.is_terminal
        self.board = Board()
        self._logged: dict[str, float] = {}
        self._ending = ExitStack()
        self._waits: set[str] = set()
        self.failures: list[tuple[str, str]] = []
        self._num_done = self._num_total = 0

    def __enter__(self) -> Self:
        if self.live:
            self._ending.enter_context(Live(self.board, console=self.console, transient=True, refresh_per_second=2))
            self._ending.enter_context(cleaning_up(self.console.show_cursor))
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def note(self, text: str) -> None:
        """Print one line about the whole sweep."""
        self.console.print(f"{'' if self.live else time.strftime('%H:%M:%S ')}{text}", markup=False, soft_wrap=True)

    def waits(self, label: str, holder: object) -> None:
        """Say once that a trial, teacher or signal waits for another process, the holder of its lease."""
        text = f"{label} waits for {holder}"
        if text not in self._waits:
            self._waits.add(text)
            self.note(text)

    def again(self, label: str, reason: str) -> None:
        """Say that a trial, teacher or signal has failed and is tried again."""
        self.note(f"{label}: {reason}; trying again")

    def foresee(self, plan: Plan, store: Store) -> None:
        """Learn the trials of a plan: what is finished, and from earlier trials of a form, how long the rest takes."""
        from sweeps.plan.eta import form_in_plan, paces_in

        self.board.name, self.board.objectives = plan.spec.name, validation_objectives(plan.spec.objectives)
        for planned, recorded in zip(plan.trials, read_ahead(_recorded, plan.trials), strict=True):
            self._add(planned, plan, recorded)
        forms = {form_in_plan(planned, plan) for planned in plan.all_trials if not planned.done}
        self.board.paces = paces_in(store, forms, first=plan.spec.name)

    def proposes(self, planned: TrialPlan, plan: Plan) -> None:
        """Learn a trial of a plan."""
        self._add(planned, plan, _recorded(planned))

    def _add(self, planned: TrialPlan, plan: Plan, recorded: dict[str, Any]) -> None:
        from sweeps.plan.eta import form_in_plan

        trial, state = planned.trial, planned.status if planned.done else None
        fields = recorded if planned.done else recorded | {"form": form_in_plan(planned, plan)}
        self.board.update_trial(trial.label, state, arm=trial.arm, num_epochs=trial.config.train.num_epochs, **fields)

    def expect(self, num_trials: int) -> None:
        """Set the number of trials to run."""
        self._num_total, self._num_done = num_trials, 0
        self.board.num_expected = num_trials + sum(self.board.counts[state] for state in ENDED)
        self._logged[""] = time.monotonic()

    def begins(self, label: str) -> None:
        """Say that a trial starts, or goes on."""
        self._update(label, state="running")
        if not self.live:
            self.note(f"started  {label}")

    def epoch(self, label: str, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        """Show one more epoch of a running trial or teacher."""
        has_both = all(metrics.get(f"validation/{name}") is not None for name in ("accuracy", "ece"))
        if self._is_trial(label):
            self._update(label, **({"metrics": metrics} if has_both else {}))
            self.board.add_epoch_times(label, [metrics["epoch_s"]] if "epoch_s" in metrics else [])
        self.advance(label, epoch, num_epochs, figures_line(metrics) if has_both else None)

    def advance(self, label: str, completed: float, num_epochs: int, note: str | None = "") -> None:
        """Show the completed epochs under a label: on the board of a terminal, or now and then as a line in a log.

        A note of None leaves the one that is there.
        """
        noted = {} if note is None else {"note": note}
        self._update(label, state="running", epoch=completed, num_epochs=num_epochs, **noted)
        if self._is_trial(label):
            self.log_counts()
        elif self._is_time_to_log(label):
            self.note(f"epoch {completed:.4g}/{num_epochs}  {label}  {note or ''}".rstrip())

    def done(self, label: str, status: str, detail: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Show the end and status of a trial, teacher or signal; what has failed is kept in `failures`.

        Trials that end well are only counted on a terminal, and are a line each in a log.
        """
        if status == "failed":
            self.failures.append((label, detail))
        is_trial, count = self._is_trial(label), ""
        if is_trial:
            self._update(label, state=status, **({} if metrics is None else {"metrics": metrics}))
        else:
            self.board.others.pop(label, None)
        if is_trial and self._num_total:
            self._num_done += 1
            self._num_total = max(self._num_total, self._num_done)  # a trial may have become stale meanwhile
            count = f"{self._num_done}/{self._num_total}  "
        if status == "failed" or not (self.live and is_trial):
            self.note(f"{count}{status}  {label}  {detail}".rstrip())
        if is_trial:
            self.log_counts()

    def log_counts(self) -> None:
        """Now and then, a line of a log with the trials by state and the time left."""
        if self._is_time_to_log(""):
            self.note(self.board.line())

    def _is_trial(self, label: str) -> bool:
        return label in self.board.trials

    def _update(self, label: str, **fields: Any) -> None:
        update = self.board.update_trial if self._is_trial(label) else self.board.update_other
        update(label, **fields)

    def _is_time_to_log(self, label: str) -> bool:
        """Whether a log's last line about a label, or about all trials (""), is long ago."""
        now = time.monotonic()
        if self.live or now - self._logged.setdefault(label, now) <= LINE_S:
            return False
        self._logged[label] = now
        return True


def figures_line(metrics: Mapping[str, float]) -> str:
    """Validation accuracy and ECE in a few words."""
    return f"accuracy {metrics['validation/accuracy']:.3f}  ECE {metrics['validation/ece']:.3f}"


def _recorded(planned: TrialPlan) -> dict[str, Any]:
    """What is known of a trial: the metrics of one that is done, or how many epochs were trained."""
    if planned.done:
        return {"metrics": planned.state.result.metrics if planned.state.result else {}}
    return {"epoch": planned.num_trained}
