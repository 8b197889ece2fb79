"""The status of each product of a sweep, read from its files; loads no torch."""

from typing import Any

from kd_core.spec.recipe import TrainConfig
from kd_core.store.files import read_ahead
from kd_core.store.record import Record, Status
from kd_core.store.records import LEFT_OUT, Store, SweepRecord, left_out
from kd_core.store.signal_record import SignalRecord

Rows = list[dict[str, Any]]


def status_of(store: Store, sweep: SweepRecord) -> dict[str, Rows]:
    """The teachers, signals and trials of a sweep: label, key, status, epoch, epochs and error; of trials, the role.

    Raises FileNotFoundError if the store has no such sweep.
    """
    members = sweep.members()
    teachers = [_product(f"teacher {each['name']}", store.teacher(each["key"])) for each in members["teachers"]]
    signals = [_signal(each, store.signal(each["key"])) for each in members.get("signals", [])]
    trials = list(read_ahead(lambda each: _product(each["label"], store.trial(each["key"])), members["trials"]))
    trials = _with_roles(members["trials"], trials)
    failed = {
        each["name"] for each, row in zip(members["teachers"], teachers, strict=True) if row["status"] == "failed"
    }
    for member, row in zip(members["trials"], trials, strict=True):
        if row["status"] == "pending" and member["teacher"] in failed:
            row["error"] = f"its teacher, {member['teacher']}, failed"
    return {"teachers": teachers, "signals": signals, "trials": trials}


def _with_roles(members: Rows, rows: Rows) -> Rows:
    """The rows of trials with their roles, and what is said of those that are left out."""
    roles = [member.get("role", "") for member in members]
    known = [(each["arm"], role, row["status"]) for each, role, row in zip(members, roles, rows, strict=True)]
    said = [{"status": "stopped", "error": LEFT_OUT} if out else {} for out in left_out(known)]
    return [row | {"role": role} | more for row, role, more in zip(rows, roles, said, strict=True)]


def _signal(member: dict[str, Any], record: SignalRecord) -> dict[str, Any]:
    stored = num_stored(record, member["epochs"])
    unfinished = "running" if record.being_labelled else "pending"
    return {
        "label": f"signal {member['label']}",
        "key": record.key,
        "status": "finished" if stored == member["epochs"] else unfinished,
        "epoch": stored,
        "epochs": member["epochs"],
        "error": None,
    }


def _product(label: str, record: Record) -> dict[str, Any]:
    status, config = record.status, record.config()
    epochs = num_epochs_in(config) if config else None
    shown = {"label": label, "key": record.key, "status": status, "epoch": epochs, "epochs": epochs, "error": None}
    if status == "finished" and epochs is not None:
        return shown
    return shown | {"epoch": record.num_epochs, "error": why(record, status) or None}


def why(record: Record, status: Status) -> str:
    """Why a record has this status: the error of a failure, what is damaged, or where it was stopped; else ""."""
    if status == "failed":
        return (record.failure() or {}).get("error", "")
    if status == "stopped" and (stop := record.stop()) is not None:
        return f"stopped at epoch {stop['epoch']} (rung {stop['rung']})"
    return record.damage() if status == "damaged" else ""


def num_stored(record: SignalRecord, num_epochs: int) -> int:
    """How many of the first epochs of a signal are stored."""
    return sum(epoch <= num_epochs for epoch in record.epochs())


def num_epochs_in(config: dict[str, Any]) -> int:
    """The epochs of a trial or a teacher by its config."""
    return TrainConfig.model_validate(config["train"]).num_epochs
