"""Follows a sweep by its files, from any process, and shows what changes until nothing of it is left to run."""

import time
from collections.abc import Sequence
from contextlib import suppress

from analysis.snapshot import Trial
from kd_core.store.files import sizes_in
from kd_core.store.index import SignalEntry, TeacherEntry, TrialEntry
from kd_core.store.manifest import Begun
from kd_core.store.product import LEASE
from kd_core.store.records import LEFT_OUT, Store, SweepRecord, left_out
from sweeps.plan.eta import form_of_entry, paces_in
from sweeps.terminal.board import Board, validation_objectives
from sweeps.terminal.progress import SweepProgress, figures_line
from sweeps.terminal.status import num_epochs_in, num_stored, why

_INTERVAL_S = 2.0  # between two refreshes, or ten times as long as one takes
_EARLIER_FAILURES = 5  # shown at the start


def watch(store: Store, sweep: SweepRecord, progress: SweepProgress) -> None:
    """Show a sweep until no trial of it is running or pending; raises FileNotFoundError if there is none."""
    follower = Follower(store, sweep, progress.board)
    changed = follower.refresh()
    failed = [(label, reason) for label, state, reason in changed if state == "failed"]
    for label, reason in failed[:_EARLIER_FAILURES]:
        progress.note(f"failed  {label}  {reason}")
    if len(failed) > _EARLIER_FAILURES:
        progress.note(f"and {len(failed) - _EARLIER_FAILURES} more have failed: kdsweep status {sweep.name} tells why")
    if not progress.live:
        progress.note(progress.board.line())
    with progress:
        while not follower.ended:
            started = time.monotonic()
            changed = follower.refresh()
            for label, state, detail in changed:
                if state == "running":
                    progress.begins(label)
                elif state != "pending":
                    progress.done(label, state, detail)
            progress.log_counts()
            time.sleep(max(_INTERVAL_S, 10 * (time.monotonic() - started)))
    progress.note(progress.board.count_text())


class Follower:
    """Keeps a board up to date with the files of a sweep, and reads again only what may have changed.

    Nothing of a finished trial is read again. Of any other trial only the names and sizes of its files are read, and
    the heartbeat of a running one, until these differ.
    """

    def __init__(self, store: Store, sweep: SweepRecord, board: Board) -> None:
        self.store, self.sweep, self.board = store, sweep, board
        self._index = sweep.index()
        self._finished: set[str] = set()
        self._sizes: dict[str, dict[str, int]] = {}
        self._forms, self._lengths = self._planned()
        board.name, board.objectives = sweep.name, validation_objectives(self._index.objectives)
        board.paces = paces_in(store, set(self._forms.values()), first=sweep.name)
        self._failed: dict[str, str] = {}
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether no trial is running or pending, and no teacher or signal is being made."""
        return not (self.board.counts["running"] or self.board.counts["pending"] or self.board.others)

    def refresh(self) -> list[tuple[str, str, str]]:
        """Read what has changed; returns label, state and detail of trials whose state is new, and of new failures."""
        self._index = index = self.sweep.index()
        before = {label: trial.state for label, trial in self.board.trials.items()}
        news = [failure for teacher in index.teachers if (failure := self._update_teacher(teacher))]
        for signal in index.signals:
            self._update_signal(signal)
        details = {trial.label: self._update_trial(trial) for trial in index.trials}
        details |= self._leave_out(index.trials)
        self.board.remove_trials(before.keys() - details.keys())
        self._begun = True
        states = {label: self.board.trials[label].state for label in details}
        return news + [
            (label, state, details[label]) for label, state in states.items() if state != before.get(label, "pending")
        ]

    def _update_trial(self, entry: TrialEntry) -> str:
        """Read one trial if its files have changed; returns the detail of a new state."""
        label, record = entry.label, self.store.trial(entry.key)
        if record.key in self._finished:
            return ""
        sizes, before = sizes_in(record.path), self._sizes.get(record.key)
        needed = {f"teacher {name}" for name in self._index.members_of(entry.teacher)}
        without_teacher = bool(needed & self._failed.keys())
        if sizes == before and LEASE not in sizes and not without_teacher:
            return ""
        self._sizes[record.key] = sizes
        trial = Trial.of(entry, record.state(sizes))
        state, metrics, detail = trial.status, trial.result.metrics if trial.result else {}, why(trial)
        if state == "pending" and without_teacher:
            state, detail = "failed", f"its teacher, {entry.teacher}, failed"
        fields = {"arm": entry.arm, "form": self._form(trial), "metrics": metrics}
        self.board.update_trial(label, state, note="", num_epochs=self._lengths.get(label, 0), **fields)
        if state == "finished":
            self._finished.add(record.key)
        if self._begun or state != "finished":
            self._read_journal(trial)
        return _metrics_text(metrics) if state == "finished" else detail

    def _leave_out(self, trials: Sequence[TrialEntry]) -> dict[str, str]:
        """Show those trials as stopped that are left out; returns their details."""
        states = [(trial.arm, trial.role, self.board.trials[trial.label].state) for trial in trials]
        labels = [trial.label for trial, out in zip(trials, left_out(states), strict=True) if out]
        for label in labels:
            self.board.update_trial(label, "stopped")
        return dict.fromkeys(labels, LEFT_OUT)

    def _read_journal(self, trial: Trial) -> None:
        """Learn the epochs of a trial that are new."""
        label, rows = trial.entry.label, trial.epochs
        last_epoch = self.board.trials[label].epoch
        new = [row["epoch_s"] for row in rows if row["epoch"] > last_epoch and "epoch_s" in row]
        self.board.add_epoch_times(label, new)
        if rows:
            validated = next((row for row in reversed(rows) if _metrics_text(row)), {})
            self.board.update_trial(label, epoch=rows[-1]["epoch"], note=_metrics_text(validated))

    def _form(self, trial: Trial) -> str:
        """The form of a trial, from the sweep's spec, or, if it was not known there, from its config."""
        label, config = trial.entry.label, trial.config
        if label not in self._forms and trial.begun:
            with suppress(KeyError, TypeError):
                self._forms[label] = form_of_entry(trial.entry, trial.begun, self._index)
                self._lengths[label] = num_epochs_in(config)
        return self._forms.get(label, "")

    def _update_teacher(self, entry: TeacherEntry) -> tuple[str, str, str] | None:
        """Show a teacher that is running; returns it if it has failed since."""
        label, teacher = f"teacher {entry.name}", self.store.teacher(entry.key).state()
        if teacher.status == "running":
            last = teacher.epochs[-1] if teacher.epochs else {}
            epochs = num_epochs_in(teacher.config) if teacher.config else 0
            epoch, note = last.get("epoch", 0), _metrics_text(last)
            self.board.update_other(label, state="running", epoch=epoch, num_epochs=epochs, note=note)
        else:
            self.board.others.pop(label, None)
        before = self._failed.pop(label, "")
        if teacher.status == "failed":
            self._failed[label] = why(teacher)
            return None if before == self._failed[label] else (label, "failed", self._failed[label])
        return None

    def _update_signal(self, signal: SignalEntry) -> None:
        """Show a signal that is being labelled."""
        label, record = f"signal {signal.label}", self.store.signal(signal.key)
        if record.being_labelled:
            stored = num_stored(record, signal.epochs)
            self.board.update_other(label, state="running", epoch=stored, num_epochs=signal.epochs)
        else:
            self.board.others.pop(label, None)

    def _planned(self) -> tuple[dict[str, str], dict[str, int]]:
        """Form and number of epochs of each trial in the sweep's spec, by label; empty if it cannot be read."""
        from sweeps.config.arms import trials_of
        from sweeps.config.reader import parse_spec

        threads, forms, lengths = (self._index.threads or {}).get("trial"), {}, {}
        listed = {entry.label: entry for entry in self._index.trials}
        with suppress(ValueError, OSError, KeyError, TypeError):
            for trial in trials_of(parse_spec(self.sweep.spec_yaml(), str(self.sweep.path / "spec.yaml"))):
                lengths[trial.label] = trial.config.train.num_epochs
                begun = Begun(recipe=trial.config.model_dump(mode="json"), threads=threads, made_from={})
                forms[trial.label] = form_of_entry(listed.get(trial.label), begun, self._index)
        return forms, lengths


def _metrics_text(row: dict[str, float]) -> str:
    return figures_line(row) if row.keys() >= {"validation/accuracy", "validation/ece"} else ""
