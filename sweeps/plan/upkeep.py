"""Maintenance of a store: what is damaged, which signals match their teachers no more, and which no sweep needs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from analysis.report import report_problems
from kd_core.config.errors import SignalError
from kd_core.data.dataset import Dataset
from kd_core.networks.models import ModelError
from kd_core.store.files import damage_in, read_ahead
from kd_core.store.manifest import made_from_weights
from kd_core.store.product import Product
from kd_core.store.records import EVALUATIONS, Store
from kd_core.store.signal_record import REMEDY, SignalRecord
from kd_core.teachers.labelling import Replay, TeacherPass, replay
from kd_core.teachers.teacher import TeacherError, load_teacher
from sweeps.plan.plan import Plan
from sweeps.plan.sharing import SignalPlan
from sweeps.plan.teachers import TeacherPlan

FLIPS = 0.01  # with a larger share of arg-max flips, a stored signal does not match its teacher


def problems_of(store: Store, name: str) -> Iterator[str]:
    """Everything that is damaged or lost of a sweep, one line each, after reading all of its files.

    Raises FileNotFoundError if there is no such sweep. Once the trials are finished, a signal must have all its epochs,
    or none, since pruning removes all of them.
    """
    sweep = store.sweep(name)
    index = sweep.index()
    yield from sweep.problems()
    trials = [store.trial(entry.key) for entry in index.trials]
    for product in [*(store.teacher(entry.key) for entry in index.teachers), *trials]:
        yield from product.problems()
    states = list(store.states(trials))
    teachers = {entry.name: store.teacher(entry.key).state().manifest for entry in index.teachers}
    for entry, state in zip(index.trials, states, strict=True):
        members = [teachers.get(name) for name in index.members_of(entry.teacher)]
        hashes = [each.weights_sha256 for each in members if each]
        if state.manifest and members and all(members) and state.made_from != made_from_weights(hashes):
            yield f"{stale_text(state.product, entry.teacher)}; run its spec again"
    finished = all(state.manifest for state in states)
    for entry in index.signals:
        signal = store.signal(entry.key)
        stored = signal.epochs()
        if stored:
            yield from signal.problems(sorted(stored.union(range(1, entry.epochs + 1)) if finished else stored))
    answers = sweep.evaluations()
    for key in (key for names in (answers.answers if answers else {}).values() for key in names.values()):
        yield from store.evaluation(key).problems()
    files = (sweep.path / file for file in ("mlflow.json", "confirmation.json", EVALUATIONS))
    others = [*store.latency_files(), *files]
    yield from filter(None, map(damage_in, others))
    yield from report_problems(store, name)


def stale_text(product: Product, teacher: str | None) -> str:
    """That a trial is stale."""
    return f"{product.path}: its teacher, {teacher}, has other weights now than it was trained with"


def to_make_again(plan: Plan) -> Iterator[str]:
    """What is damaged of the products that a run will make, or need, one line each."""
    yield from (problem for each in plan.missing_teachers for problem in each.product.problems())
    yield from (stale_text(each.product, each.trial.teacher) for each in plan.pending if each.status == "stale")
    begun = [each.product for each in plan.pending if each.state.sizes]
    yield from (problem for problems in read_ahead(Product.problems, begun) for problem in problems)
    needed = {name for each in [*plan.pending, *plan.unproposed] for name in each.trial.members}
    for teacher in plan.teachers:
        if teacher.name in needed and teacher.made_from is not None:
            yield from teacher.product.check(teacher.product.weights.name)


@dataclass(frozen=True)
class Verification:
    """The comparison of a stored signal with its teacher: figures, or None if there are none, and the problem or ""."""

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
    """Run the teachers of a sweep's stored signals again on a sample, where signal and teacher are whole."""
    teachers = {teacher.name: teacher for teacher in plan.teachers}
    for signal in plan.signals:
        if signal.record.epochs():
            yield _verified(signal, teachers[signal.teacher], dataset, num_slots)


def _verified(signal: SignalPlan, teacher: TeacherPlan, dataset: Dataset, num_slots: int) -> Verification:
    record = signal.record
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        record.check(signal.identity | {"made_from": teacher.made_from})
        network = load_teacher(signal.network, teacher.product, dataset.num_classes)
        found = replay(record, TeacherPass(signal.trial, dataset, network, device), num_slots)
    except (SignalError, TeacherError, ModelError) as error:
        return Verification(signal.label, None, str(error))
    strange = found.argmax_flips > FLIPS * found.num_slots
    problem = f"{record.path}: is not what the teacher says; remove it, and {REMEDY}" if strange else ""
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
        index = sweep.index()
        states = store.states(store.trial(entry.key) for entry in index.trials)
        if not finished or not all(state.manifest for state in states):
            for signal in index.signals:
                needed[signal.key] = max(signal.epochs, needed.get(signal.key, 0))
    unneeded = []
    for record in store.signals():
        stored = record.epochs()
        spare = tuple(sorted(epoch for epoch in stored if epoch > needed.get(record.key, 0)))
        whole = record.key not in needed
        if (spare or whole) and not record.being_labelled:
            unneeded.append(Unneeded(record, spare, whole, record.size_of(spare)))
    return unneeded
