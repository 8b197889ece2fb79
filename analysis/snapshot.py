"""A sweep read once: what its files say, for all who tell of it; only predictions and weights are read later."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kd_core.config.identity import digest
from kd_core.evaluate.latency import Latency, comparable, form_of
from kd_core.store.files import DamagedError, read_ahead, read_bytes, read_json, sizes_in
from kd_core.store.record import SPLITS, Record, Status, outcomes_name
from kd_core.store.records import Store, SweepRecord, left_out

if TYPE_CHECKING:
    from kd_core.measure.outcomes import Outcomes

_STATUSES: tuple[Status, ...] = ("finished", "failed", "stopped", "running", "damaged", "pending")  # the first counts


@dataclass(frozen=True)
class Member:
    """A trial or teacher of a sweep: its entry in trials.json, and what its record says; what that lacks is empty.

    sizes: the bytes of each of its files, by name. config, threads: what it was begun with. problem: what is damaged.
    """

    entry: Mapping[str, Any]
    record: Record
    sizes: Mapping[str, int]
    status: Status
    config: dict[str, Any]
    threads: int | None
    verdict: dict[str, Any]
    failure: dict[str, Any]
    stop: dict[str, Any]
    problem: str

    @property
    def key(self) -> str:
        """The key of the product."""
        return self.record.key

    @cached_property
    def journal(self) -> list[dict[str, Any]]:
        """The rows of its epochs, read when they are first asked for."""
        return self.record.journal() if "journal.jsonl" in self.sizes else []

    def outcomes(self, split: str, with_logits: bool = False) -> "Outcomes":
        """The predictions on a split, from one read; raises DamagedError if they are not those of the verdict."""
        from kd_core.measure.outcomes import outcomes_from_bytes

        name = outcomes_name(split)
        path, listed = self.record.path / name, self.verdict.get("files", {}).get(name)
        if listed is None:  # of an older version
            return self.record.outcomes(split, with_logits)
        if hashlib.sha256(content := read_bytes(path)).hexdigest() != listed["sha256"]:
            raise DamagedError(f"{path}: is damaged: its sha256 is another")
        return outcomes_from_bytes(content, with_logits)

    def checked(self) -> "Member":
        """The same, but damaged if its predictions are; these are put aside then (`Record.check`)."""
        problem = next(self.record.check(*map(outcomes_name, SPLITS)), "") if self.status == "finished" else ""
        return replace(self, status="damaged", verdict={}, problem=problem) if problem else self


def read_member(entry: Mapping[str, Any], record: Record, sizes: Mapping[str, int] | None = None) -> Member:
    """Read a trial or teacher: list its folder, unless its sizes are known, and read what is there, once."""
    sizes = sizes_in(record.path) if sizes is None else sizes

    def read(name: str) -> dict[str, Any]:
        """A JSON file of the folder."""
        return (read_json(record.path / name) if name in sizes else None) or {}

    verdict, failure, stop = map(read, (record.verdict_name, "failure.json", "stopped.json"))
    listed = verdict.get("files", {})
    whole = bool(verdict) and all(sizes.get(name) == file["size_bytes"] for name, file in listed.items())
    problem = record.damage() if record.verdict_name in sizes and not whole else ""
    signs = (whole, failure, stop, "heartbeat.json" in sizes and record.lease.taken, problem, True)
    status: Status = next(status for status, sign in zip(_STATUSES, signs, strict=True) if sign)
    begun = verdict if whole and "recipe" in verdict else read("config.json") or verdict
    config, threads = begun.get("recipe", {}), begun.get("threads")
    return Member(entry, record, sizes, status, config, threads, verdict if whole else {}, failure, stop, problem)


@dataclass(frozen=True)
class Snapshot:
    """A sweep at one time: its trials.json, and its teachers and trials in the order of that."""

    store: Store
    sweep: SweepRecord
    members: dict[str, Any]
    teachers: list[Member]
    trials: list[Member]

    @property
    def left_out(self) -> list[bool]:
        """Which of the trials are left out, since their scout was stopped."""
        return left_out((each.entry["arm"], each.entry.get("role", ""), each.status) for each in self.trials)

    @cached_property
    def latencies(self) -> dict[str, Latency]:
        """The latency of each student by its trial's key, all from one device; empty if none was measured."""
        measured, data = self.store.latencies(), self.members.get("data")
        if not measured or data is None:
            return {}
        forms = {
            trial.key: form_of(trial.config["student"], data["num_classes"], data["image_size"])
            for trial in self.trials
            if "student" in trial.config
        }
        by_form = comparable(measured, forms.values())
        return {key: by_form[digest(form)] for key, form in forms.items() if digest(form) in by_form}

    @cached_property
    def spec_yaml(self) -> str:
        """The resolved spec; empty if it is missing or damaged."""
        try:
            return self.sweep.spec_yaml()
        except (FileNotFoundError, DamagedError):
            return ""

    def checked(self) -> "Snapshot":
        """The same, of which those are damaged whose predictions are; this reads all of these."""
        teachers, trials = (list(read_ahead(Member.checked, members)) for members in (self.teachers, self.trials))
        return replace(self, teachers=teachers, trials=trials)


def read_sweep(store: Store, name: str, known: Mapping[str, Member] | None = None) -> Snapshot:
    """Read a sweep of a store, each file at most once; known trials, by key, are not read again.

    Raises FileNotFoundError if the store has no such sweep.
    """
    sweep, known = store.sweep(name), known or {}
    members, begun = sweep.members(), sizes_in(store.root / "trials")

    def read(entry: Mapping[str, Any]) -> Member:
        """A trial; one without a folder has not begun."""
        key = entry["key"]
        if key in known:
            return replace(known[key], entry=entry)  # without its journal
        return read_member(entry, store.trial(key), None if key in begun else {})

    teachers = read_ahead(lambda entry: read_member(entry, store.teacher(entry["key"])), members["teachers"])
    return Snapshot(store, sweep, members, list(teachers), list(read_ahead(read, members["trials"])))


def reader_of(members: Iterable[Member], split: str, with_logits: bool = False) -> Callable[[str], "Outcomes"]:
    """A function that reads the predictions of these trials or teachers on a split, by their keys."""
    by_key = {member.key: member for member in members}
    return lambda key: by_key[key].outcomes(split, with_logits)
