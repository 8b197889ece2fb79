"""Compares a spec with the store: teachers, their signals and trials, and which are up to date."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

from kd_core.config.checkpoint import is_given
from kd_core.config.data import DataSummary
from kd_core.config.identity import TeacherKey, trial_key
from kd_core.store.index import Index, Role, SignalEntry, TrialEntry
from kd_core.store.manifest import MadeFrom
from kd_core.store.product import DONE, Product, State, Status
from kd_core.store.records import LEFT_OUT, Store, left_out
from sweeps.config.arms import PlannedTrial
from sweeps.config.reader import to_yaml
from sweeps.config.sweep import SweepSpec, Threads
from sweeps.plan.scouts import role_of, status_in
from sweeps.plan.sharing import Need, SignalPlan, share_signals
from sweeps.plan.teachers import FusedPlan, TeacherPlan, key_of_teacher, made_from, teachers_in
from sweeps.plan.wanted import trials_wanted


@dataclass(frozen=True)
class TrialPlan:
    """One trial, the state of its product, its status in the sweep, its role (`sweeps.plan.scouts`), and the signal of
    each of its `trial.members`, None where that is foreseen by nobody.

    made_from are the hashes of the products that it is made from; None until its teachers are finished. A follower is
    only `stopped` if it is left out. foreseen says whether others may need the same signals.
    """

    trial: PlannedTrial
    state: State
    status: Status
    made_from: MadeFrom | None
    role: Role = ""
    signals: tuple[SignalPlan | None, ...] = ()
    foreseen: bool = True

    @property
    def product(self) -> Product:
        """The product that it makes."""
        return self.state.product

    @property
    def stored(self) -> bool:
        """Whether all that it learns of a teacher is stored."""
        return bool(self.signals) and all(signal is not None and signal.stored for signal in self.signals)

    @property
    def done(self) -> bool:
        """Whether nothing of the trial is left to train."""
        return self.status in DONE

    @property
    def status_text(self) -> str:
        """The status in a few words."""
        return LEFT_OUT if self.role == "follower" and self.status == "stopped" else self.status

    @property
    def num_trained(self) -> int:
        """The epochs that the trial has trained so far."""
        return self.state.journal.num_epochs if self.status != "stale" else 0


@dataclass(frozen=True)
class Plan:
    """All teachers, signals and trials of a sweep, with the states of their products.

    In a search, trials holds the trials of the points proposed so far, and num_unproposed counts the points still to
    come. unproposed holds stand-ins for their trials: those of as many random points, and one for every signal that may
    be needed.
    """

    spec: SweepSpec
    data: DataSummary
    teachers: tuple[TeacherPlan, ...]
    trials: tuple[TrialPlan, ...]
    threads: Threads
    num_unproposed: int = 0
    unproposed: tuple[TrialPlan, ...] = ()
    fused: tuple[FusedPlan, ...] = ()

    @property
    def all_trials(self) -> tuple[TrialPlan, ...]:
        """The trials, and those that stand for the unproposed ones."""
        return self.trials + self.unproposed

    @property
    def pending(self) -> list[TrialPlan]:
        """The trials that are not done."""
        return [each for each in self.trials if not each.done]

    @property
    def signals(self) -> list[SignalPlan]:
        """The different teacher signals of the trials."""
        return list(
            {id(each): each for trial in self.all_trials for each in trial.signals if each is not None}.values()
        )

    @property
    def missing_teachers(self) -> list[TeacherPlan]:
        """The teachers that are not finished."""
        return [teacher for teacher in self.teachers if teacher.made_from is None]

    def teacher_key(self, trial: PlannedTrial) -> TeacherKey:
        """What the identity of a trial says of its teacher."""
        return key_of_teacher(trial, {each.name: each for each in self.teachers})

    @property
    def given_teachers(self) -> list[str]:
        """The names of the teachers whose weights are the user's."""
        return [each.name for each in self.teachers if is_given(each.finetuning.student.model_dump())]

    @property
    def states(self) -> dict[str, State]:
        """The states of the teachers and trials by their keys, as they were read for the plan."""
        return {each.state.key: each.state for each in (*self.teachers, *self.trials)}

    @property
    def finished(self) -> dict[str, State]:
        """Those of `states` that are finished, and not stale, and need not be read again."""
        unfinished = {each.state.key for each in self.trials if each.status != "finished"}
        return {key: state for key, state in self.states.items() if state.manifest and key not in unfinished}

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is left to train."""
        return not self.num_unproposed and not self.missing_teachers and all(trial.done for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        """The output of `kdsweep plan --json`: teachers, signals and trials with their status."""
        return {
            "sweep": self.spec.name,
            "teachers": [each.as_json() for each in (*self.teachers, *self.fused)],
            "signals": [
                {
                    "label": each.label,
                    "mode": "stored" if each.stored else "live",
                    "trials": each.num_trials,
                    "epochs": each.num_epochs,
                    "missing": len(each.missing),
                    "size_bytes": each.size_bytes,
                    "passes": each.passes,
                    "live_passes": each.live_passes,
                }
                for each in self.signals
                if each.foreseen
            ],
            "trials": [{"label": each.trial.label, "role": each.role, "status": each.status} for each in self.trials],
            "unproposed": self.num_unproposed,
        }

    def index(self) -> Index:
        """The index of the sweep's products."""
        signals = [
            SignalEntry(key=signal.record.key, label=signal.label, teacher=signal.teacher, epochs=signal.num_epochs)
            for signal in self.signals
            if signal.stored
        ]
        return Index(
            sweep=self.spec.name,
            objectives=dict(self.spec.objectives),
            data=self.data,
            threads=self.threads,
            teachers=tuple(teacher.entry for teacher in self.teachers),
            fused=tuple(teacher.entry for teacher in self.fused),
            signals=tuple(signals),
            trials=tuple(map(self._entry, self.trials)),
        )

    def _entry(self, planned: TrialPlan) -> TrialEntry:
        trial, signal = planned.trial, next(iter(planned.signals), None)
        return TrialEntry(
            key=planned.product.key,
            label=trial.label,
            arm=trial.arm,
            teacher=trial.teacher,
            seed=trial.config.seed,
            role=planned.role,
            signal=signal.record.key if signal is not None and planned.stored else None,
            settings=None if self.spec.search.is_grid else trial.settings,
        )

    def write(self, store: Store) -> None:
        """Write the spec and the current products of the sweep to the store."""
        store.sweep(self.spec.name).write(to_yaml(self.spec), self.index())

    def with_teacher(self, ended: TeacherPlan, store: Store) -> "Plan":
        """The plan once a teacher has ended: with its state now, by which trials may be stale that were finished."""
        teachers = {each.name: each for each in self.teachers}
        teachers[ended.name] = replace(teachers[ended.name], state=ended.product.state())
        fused = [replace(each, members=tuple(teachers[name] for name in each.entry.members)) for each in self.fused]
        trials = []
        for each in self.all_trials:
            status, weights = each.status, made_from(each.trial, teachers)
            if each.state.manifest is not None:
                status = status_in(self.spec, each.role, each.state, weights)
            trials.append(replace(each, made_from=weights, status=status))
        num_known = len(self.trials)
        plan = replace(
            self,
            teachers=tuple(teachers.values()),
            trials=tuple(_without_left_out(trials[:num_known])),
            unproposed=tuple(trials[num_known:]),
            fused=tuple(fused),
        )
        return plan if len(plan.pending) == len(self.pending) else plan.with_signals(store)

    def with_signals(self, store: Store) -> "Plan":
        """The plan with the signals that its trials share, by what of them is stored now; raises SpecError."""
        teachers, num_known = {each.name: each for each in self.teachers}, len(self.trials)
        needs = [_needs(each, teachers, index >= num_known) for index, each in enumerate(self.all_trials)]
        signals = iter(share_signals([need for each in needs for need in each], store, self.data, self.spec.signal))
        shared = tuple(
            replace(each, signals=tuple(islice(signals, len(own))))
            for each, own in zip(self.all_trials, needs, strict=True)
        )
        return replace(self, trials=shared[:num_known], unproposed=shared[num_known:])

    def with_trials(self, trials: Sequence[PlannedTrial], store: Store) -> "Plan":
        """The plan with the trials of one more point of a search; each uses foreseen signals, or its teacher live."""
        teachers = {each.name: each for each in self.teachers}
        signals, added = {each.record.key: each for each in self.signals}, []
        for trial in trials:
            planned = _planned(self.spec, teachers, trial, _product(store, self.data, teachers, trial).state())
            keys = [need.signal_key(self.data.fingerprint) for need in _needs(planned, teachers)]
            least = trial.config.num_stream_epochs
            foreseen = [each if each and each.num_epochs >= least else None for each in map(signals.get, keys)]
            added.append(replace(planned, signals=tuple(foreseen)))
        num_unproposed = max(0, self.num_unproposed - 1)
        return replace(self, trials=(*self.trials, *_without_left_out(added)), num_unproposed=num_unproposed)


def plan_sweep(spec: SweepSpec, store: Store, data: DataSummary, known: Mapping[str, State] | None = None) -> Plan:
    """Compare a spec with a store, in which products whose state is known by their key are not read again.

    Raises SpecError if signals that must be stored exceed signal.max_gib.
    """
    wanted = trials_wanted(spec, store)
    num_known = len(wanted.trials)
    teachers, fused = teachers_in(spec, store, data, wanted.trials + wanted.unproposed)
    products = [_product(store, data, teachers, trial) for trial in wanted.trials]
    states = store.states(products, known)
    planned = _without_left_out(list(map(partial(_planned, spec, teachers), wanted.trials, states)))
    planned += [
        replace(_planned(spec, teachers, trial, State(_product(store, data, teachers, trial), {}, "pending")), role="")
        for trial in wanted.unproposed
    ]
    planned = [replace(each, foreseen=wanted.foresees(each.trial)) for each in planned]
    return Plan(
        spec=spec,
        data=data,
        teachers=tuple(teachers.values()),
        trials=tuple(planned[:num_known]),
        threads=_threads(spec, store),
        num_unproposed=wanted.num_unproposed,
        unproposed=tuple(planned[num_known:]),
        fused=tuple(fused),
    ).with_signals(store)


def _planned(spec: SweepSpec, teachers: Mapping[str, TeacherPlan], trial: PlannedTrial, state: State) -> TrialPlan:
    role, weights = role_of(spec, trial.config.seed), made_from(trial, teachers)
    return TrialPlan(trial, state, status_in(spec, role, state, weights), weights, role)


def _product(store: Store, data: DataSummary, teachers: Mapping[str, TeacherPlan], trial: PlannedTrial) -> Product:
    """The product that a trial makes."""
    return store.trial(trial_key(trial.config, data.fingerprint, key_of_teacher(trial, teachers)))


def _without_left_out(trials: Sequence[TrialPlan]) -> list[TrialPlan]:
    """The trials of whole arms, of which those are stopped that are left out."""
    left = left_out((each.trial.arm, each.role, each.status) for each in trials)
    return [replace(each, status="stopped") if out else each for each, out in zip(trials, left, strict=True)]


def _threads(spec: SweepSpec, store: Store) -> Threads:
    """The threads with which the sweep began, so that other resources change none of its numbers, or the spec's."""
    with suppress(FileNotFoundError):
        return store.sweep(spec.name).index().threads or spec.resources.threads
    return spec.resources.threads


def _needs(planned: TrialPlan, teachers: Mapping[str, TeacherPlan], stands_for_others: bool = False) -> list[Need]:
    """What a trial needs of each network that it learns from."""
    trial = planned.trial
    return [
        Need(
            name,
            trial.config.taught_by(config),
            teachers[name].product.key,
            not planned.done,
            stands_for_others,
            planned.foreseen,
        )
        for name, config in zip(trial.members, trial.config.teachers, strict=True)
    ]
