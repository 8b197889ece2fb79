"""The status of each product of a sweep, read from its files; loads no torch."""

from typing import Any

from analysis.snapshot import FusedTeacher, Member, Snapshot, Trial
from kd_core.config.recipe import TrainConfig
from kd_core.store.files import read_ahead
from kd_core.store.index import SignalEntry
from kd_core.store.product import State
from kd_core.store.records import LEFT_OUT
from kd_core.store.signal_record import SignalRecord

Rows = list[dict[str, Any]]


def status_of(snapshot: Snapshot) -> dict[str, Rows]:
    """The teachers, signals and trials of a sweep: label, key, status, epoch, epochs and error; of trials, the role."""
    index, store = snapshot.index, snapshot.store
    teachers = [_product(f"teacher {each.entry.name}", each) for each in snapshot.teachers]
    teachers += map(_fused, snapshot.fused)
    signals = [_signal(each, store.signal(each.key)) for each in index.signals]
    trials = read_ahead(lambda each: _product(each.entry.label, each), snapshot.trials)
    failed = {each.entry.name for each in snapshot.all_teachers if each.status == "failed"}
    rows = [
        row
        | {"role": each.entry.role}
        | ({"status": "stopped", "error": LEFT_OUT} if out else {})
        | _of_teacher(each, failed)
        for each, row, out in zip(snapshot.trials, trials, snapshot.left_out, strict=True)
    ]
    return {"teachers": teachers, "signals": signals, "trials": rows}


def _fused(teacher: FusedTeacher) -> dict[str, Any]:
    row = {"label": f"teacher {teacher.entry.name}", "key": teacher.key, "status": teacher.status}
    return row | {"epoch": None, "epochs": None, "error": teacher.problem or None}


def _of_teacher(trial: Trial, failed: set[str]) -> dict[str, str]:
    """What is said of a trial that its teacher keeps from running."""
    teacher = trial.entry.teacher
    return {"error": f"its teacher, {teacher}, failed"} if trial.status == "pending" and teacher in failed else {}


def _signal(signal: SignalEntry, record: SignalRecord) -> dict[str, Any]:
    stored = num_stored(record, signal.epochs)
    unfinished = "running" if record.being_labelled else "pending"
    return {
        "label": f"signal {signal.label}",
        "key": record.key,
        "status": "finished" if stored == signal.epochs else unfinished,
        "epoch": stored,
        "epochs": signal.epochs,
        "error": None,
    }


def _product(label: str, product: Member) -> dict[str, Any]:
    status, epochs = product.status, num_epochs_in(product.config) if product.config else None
    row = {"label": label, "key": product.key, "status": status, "epoch": epochs, "epochs": epochs, "error": None}
    if status == "finished" and epochs is not None:
        return row
    return row | {"epoch": product.journal.num_epochs, "error": why(product) or None}


def why(product: State) -> str:
    """Why a product has its status: the error of a failure, what is damaged, or where it was stopped; else ""."""
    if product.failure:
        return product.failure.error
    if product.stop:
        return f"stopped at epoch {product.stop.epoch} (rung {product.stop.rung})"
    return product.problem


def num_stored(record: SignalRecord, num_epochs: int) -> int:
    """How many of the first epochs of a signal are stored."""
    return sum(epoch <= num_epochs for epoch in record.epochs())


def num_epochs_in(config: dict[str, Any]) -> int:
    """The epochs of a trial or a teacher by its config."""
    return TrainConfig.model_validate(config["train"]).num_epochs
