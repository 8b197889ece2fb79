"""Compares a spec with the store: teachers, their signals and trials, and which are up to date."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from kd_core.config.identity import digest, signal_identity, trial_key
from kd_core.config.trial import TrialConfig, finetuning_trial
from kd_core.data.splits import DataSummary
from kd_core.evaluate.latency import form_of
from kd_core.store.files import read_ahead
from kd_core.store.record import DONE, MadeFrom, Record, Status
from kd_core.store.records import LEFT_OUT, Role, Store, left_out
from sweeps.config.arms import PlannedTrial
from sweeps.config.reader import to_yaml
from sweeps.config.sweep import SweepSpec, Threads
from sweeps.plan.scouts import role_of, status_in
from sweeps.plan.sharing import Need, SignalPlan, share_signals
from sweeps.plan.wanted import trials_wanted


@dataclass(frozen=True)
class TeacherPlan:
    """One teacher that the sweep's trials need: its fine-tuning as a trial, its record, and the hash of its weights.

    The hash is None until it is finished.
    """

    name: str
    finetuning: TrialConfig
    record: Record
    weights: str | None
    num_trials: int


@dataclass(frozen=True)
class TrialPlan:
    """One trial, its record, its status at the time of the plan, its role (`sweeps.plan.scouts`), its teacher's signal.

    made_from are the hashes of the products that it is made from; None until its teacher is finished. A follower is
    only `stopped` if it is left out.
    """

    trial: PlannedTrial
    record: Record
    status: Status
    made_from: MadeFrom | None
    role: Role = ""
    signal: SignalPlan | None = None

    @property
    def can_run(self) -> bool:
        """Whether it can be trained now: its teacher, if it has one, is finished."""
        return self.made_from is not None

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
        return self.record.num_epochs if self.status != "stale" else 0


@dataclass(frozen=True)
class Plan:
    """All teachers, signals and trials of a sweep, with their records.

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

    @property
    def all_trials(self) -> tuple[TrialPlan, ...]:
        """The trials, and those that stand for the unproposed ones."""
        return self.trials + self.unproposed

    @property
    def pending(self) -> list[TrialPlan]:
        """The trials that can be trained now: those that are not done and whose teacher is finished."""
        return [each for each in self.trials if each.can_run and not each.done]

    @property
    def signals(self) -> list[SignalPlan]:
        """The different teacher signals of the trials."""
        return list({id(each.signal): each.signal for each in self.all_trials if each.signal is not None}.values())

    @property
    def missing_teachers(self) -> list[TeacherPlan]:
        """The teachers that are not finished."""
        return [teacher for teacher in self.teachers if teacher.weights is None]

    @property
    def given_teachers(self) -> list[str]:
        """The names of the teachers whose weights are a checkpoint."""
        return [each.name for each in self.teachers if each.finetuning.student.checkpoint is not None]

    @property
    def forms(self) -> list[dict[str, Any]]:
        """The student form of each finished trial (`kd_core.evaluate.latency`)."""
        finished = (each.trial.config for each in self.trials if each.status == "finished")
        return [
            form_of(config.student.model_dump(mode="json"), self.data.num_classes, self.data.image_size)
            for config in finished
        ]

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is left to train."""
        return not self.num_unproposed and not self.missing_teachers and all(trial.done for trial in self.trials)

    def as_json(self) -> dict[str, Any]:
        """The output of `kdsweep plan --json`: teachers, signals and trials with their status."""
        return {
            "sweep": self.spec.name,
            "teachers": [
                {"name": each.name, "status": each.record.status, "trials": each.num_trials} for each in self.teachers
            ],
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

    def members(self) -> dict[str, Any]:
        """The content of the sweep's trials.json: all its products."""
        return {
            "sweep": self.spec.name,
            "objectives": dict(self.spec.objectives),
            "threads": self.threads,
            "data": dict(vars(self.data)),
            "teachers": [{"name": teacher.name, "key": teacher.record.key} for teacher in self.teachers],
            "signals": [
                {"key": each.record.key, "label": each.label, "teacher": each.teacher, "epochs": each.num_epochs}
                for each in self.signals
                if each.stored
            ],
            "trials": [self._member(each) for each in self.trials],
        }

    def _member(self, planned: TrialPlan) -> dict[str, Any]:
        """What trials.json says of a trial; the settings of a search's trial are the point that it proposed."""
        trial, signal = planned.trial, planned.signal
        member = {"key": planned.record.key, "label": trial.label, "arm": trial.arm, "teacher": trial.teacher}
        member |= {"seed": trial.config.seed} | ({"role": planned.role} if planned.role else {})
        member |= {"signal": signal.record.key} if signal is not None and signal.stored else {}
        return member if self.spec.search.is_grid else member | {"settings": trial.settings}

    def write(self, store: Store) -> None:
        """Write the spec and the current products of the sweep to the store."""
        store.sweep(self.spec.name).write(to_yaml(self.spec), self.members())

    def with_trials(self, trials: Sequence[PlannedTrial], store: Store) -> "Plan":
        """The plan with the trials of one more point of a search; each uses a foreseen signal, or its teacher live."""
        teachers = {each.name: each for each in self.teachers}
        signals, added = {each.record.key: each for each in self.signals}, []
        for trial in trials:
            planned = _planned(self.spec, store, self.data, teachers, trial)
            signal = None
            if trial.teacher is not None:
                key = teachers[trial.teacher].record.key
                signal = signals.get(digest(signal_identity(trial.config, self.data.fingerprint, key)))
            covered = signal is not None and signal.num_epochs >= trial.config.num_stream_epochs
            added.append(replace(planned, signal=signal if covered else None))
        num_unproposed = max(0, self.num_unproposed - 1)
        return replace(self, trials=(*self.trials, *_without_left_out(added)), num_unproposed=num_unproposed)


def plan_sweep(spec: SweepSpec, store: Store, data: DataSummary) -> Plan:
    """Compare a spec with a store; raises SpecError if signals that must be stored exceed signal.max_gib."""
    wanted = trials_wanted(spec, store)
    num_known, teachers = len(wanted.trials), dict[str, TeacherPlan]()
    for name, config in spec.teachers.items():
        num_trials = sum(trial.teacher == name for trial in wanted.trials + wanted.unproposed)
        if num_trials:
            finetuning = finetuning_trial(config, spec.data, spec.view)
            record = store.teacher(trial_key(finetuning, data.fingerprint))
            weights = (record.verdict() or {}).get("weights_sha256")
            teachers[name] = TeacherPlan(name, finetuning, record, weights, num_trials)
    plan_trial = partial(_planned, spec, store, data, teachers)
    planned = _without_left_out(list(read_ahead(plan_trial, wanted.trials)))
    planned += [_stand_in(store, data, teachers, trial) for trial in wanted.unproposed]
    needs = [
        _need(each, teachers, stands_for_others=index >= num_known, foreseen=wanted.foresees(each.trial))
        for index, each in enumerate(planned)
    ]
    signals = share_signals(needs, store, data, spec.signal)
    shared = tuple(replace(each, signal=signal) for each, signal in zip(planned, signals, strict=True))
    threads = _threads(spec, store)
    return Plan(
        spec, data, tuple(teachers.values()), shared[:num_known], threads, wanted.num_unproposed, shared[num_known:]
    )


def _planned(
    spec: SweepSpec, store: Store, data: DataSummary, teachers: Mapping[str, TeacherPlan], trial: PlannedTrial
) -> TrialPlan:
    stand_in, role = _stand_in(store, data, teachers, trial), role_of(spec, trial.config.seed)
    return replace(stand_in, status=status_in(spec, role, stand_in.record, stand_in.made_from), role=role)


def _stand_in(store: Store, data: DataSummary, teachers: Mapping[str, TeacherPlan], trial: PlannedTrial) -> TrialPlan:
    """A trial as it is before its record is looked at."""
    if trial.teacher is None:
        return TrialPlan(trial, store.trial(trial_key(trial.config, data.fingerprint)), "pending", {})
    teacher = teachers[trial.teacher]
    record = store.trial(trial_key(trial.config, data.fingerprint, teacher.record.key))
    return TrialPlan(trial, record, "pending", {"teacher": teacher.weights} if teacher.weights else None)


def _without_left_out(trials: Sequence[TrialPlan]) -> list[TrialPlan]:
    """The trials of whole arms, of which those are stopped that are left out."""
    left = left_out((each.trial.arm, each.role, each.status) for each in trials)
    return [replace(each, status="stopped") if out else each for each, out in zip(trials, left, strict=True)]


def _threads(spec: SweepSpec, store: Store) -> Threads:
    """The threads with which the sweep began, so that other resources change none of its numbers, or the spec's."""
    try:
        begun = store.sweep(spec.name).members()
    except FileNotFoundError:
        begun = {}
    return begun.get("threads") or spec.resources.threads


def _need(
    planned: TrialPlan, teachers: Mapping[str, TeacherPlan], *, stands_for_others: bool, foreseen: bool
) -> Need | None:
    trial = planned.trial
    if trial.teacher is None:
        return None
    key = teachers[trial.teacher].record.key
    return Need(trial.teacher, trial.config, key, not planned.done, stands_for_others, foreseen)
