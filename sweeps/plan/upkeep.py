"""Maintenance of stored signals: verify them against their teachers, and find those that no sweep needs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from kd_core.data.dataset import Dataset
from kd_core.labelling import Replay, TeacherPass, replay
from kd_core.networks.teacher import load_teacher
from kd_core.store.records import Store
from kd_core.store.signal_record import SignalError, SignalRecord
from sweeps.plan.plan import Plan
from sweeps.plan.sharing import SignalPlan

FLIPS = 0.01  # with a larger share of arg-max flips, a stored signal does not match its teacher


@dataclass(frozen=True)
class Verification:
    """The comparison of a stored signal with its teacher: figures, or None if impossible, and the problem."""

    label: str
    replay: Replay | None
    problem: str

    def as_json(self) -> dict[str, Any]:
        """The label, the figures if there are any, and the problem or null."""
        figures = asdict(self.replay) if self.replay is not None else {}
        return {"label": self.label, **figures, "problem": self.problem or None}

    @property
    def ok(self) -> bool:
        """Whether every epoch is undamaged and matches the teacher."""
        return not self.problem


def verify_signals(plan: Plan, dataset: Dataset, num_slots: int) -> Iterator[Verification]:
    """Verify the checksum of every stored epoch of a sweep's signals, and run the teachers again on a sample."""
    teachers = {teacher.name: teacher for teacher in plan.teachers}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for signal in plan.signals:
        if signal.record is not None and signal.record.epochs():
            record = teachers[signal.teacher].record
            assert signal.trial.teacher is not None
            network = load_teacher(signal.trial.teacher, record, dataset.num_classes)
            yield _verified(signal, signal.record, TeacherPass(signal.trial, dataset, network, device), num_slots)


def _verified(signal: SignalPlan, record: SignalRecord, teacher_pass: TeacherPass, num_slots: int) -> Verification:
    try:
        record.check(signal.identity)
        for problem in record.damaged(sorted(record.epochs())).values():
            return Verification(signal.label, None, problem)
        found = replay(record, teacher_pass, num_slots)
    except SignalError as error:
        return Verification(signal.label, None, str(error))
    strange = found.argmax_flips > FLIPS * found.num_slots
    problem = f"{record.path}: is not what the teacher says; remove it and run the sweep again" if strange else ""
    return Verification(signal.label, found, problem)


@dataclass(frozen=True)
class Unneeded:
    """Stored epochs that can be removed; whole if the whole signal can."""

    record: SignalRecord
    epochs: tuple[int, ...]
    whole: bool
    size_bytes: int

    def remove(self) -> None:
        """Remove the epochs, or the whole signal."""
        self.record.clear() if self.whole else self.record.discard(self.epochs)


def unneeded_signals(store: Store, finished: bool) -> list[Unneeded]:
    """The epochs that no sweep of the store needs; with finished, also those that only finished sweeps need.

    Signals that are being labelled are left out.
    """
    needed: dict[str, int] = {}
    for sweep in store.sweeps():
        members = sweep.members()
        unfinished = [each for each in members["trials"] if store.trial(each["key"]).verdict() is None]
        if not finished or unfinished or members.get("waiting"):
            for signal in members.get("signals", ()):
                needed[signal["key"]] = max(signal["epochs"], needed.get(signal["key"], 0))
    unneeded = []
    for record in store.signals():
        stored = record.epochs()
        spare = tuple(sorted(epoch for epoch in stored if epoch > needed.get(record.key, 0)))
        whole = record.key not in needed
        if (spare or whole) and not record.being_labelled:
            unneeded.append(Unneeded(record, spare, whole, record.size_of(spare)))
    return unneeded
