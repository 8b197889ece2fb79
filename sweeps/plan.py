"""What a spec asks for against what the store holds: which products are up to date, and what the rest costs."""

from dataclasses import dataclass
from typing import Any

from kd_core.config import TrialConfig, finetuning_trial
from kd_core.data import DataSummary
from kd_core.keys import canonical_json, trial_key
from kd_core.models import forward_flops
from kd_core.records import Record, Status, Store
from sweeps.spec import PlannedTrial, SweepSpec, trials_of

BACKWARD = 2  # a backward pass costs about two forward passes


@dataclass(frozen=True)
class TeacherPlan:
    """One teacher that the sweep's trials need: its fine-tuning as a trial, and its record."""

    name: str
    finetuning: TrialConfig
    record: Record
    num_trials: int


@dataclass(frozen=True)
class TrialPlan:
    """One trial and its record; no record before its teacher is finished, since the weights are part of its key."""

    trial: PlannedTrial
    record: Record | None

    @property
    def status(self) -> Status:
        """The status of the record, or pending while its teacher is not finished."""
        return self.record.status if self.record is not None else "pending"


@dataclass(frozen=True)
class Plan:
    """Everything a sweep consists of, and where each part is kept."""

    spec: SweepSpec
    teachers: tuple[TeacherPlan, ...]
    trials: tuple[TrialPlan, ...]

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is left to train."""
        done = {"finished", "stopped"}
        return all(t.record.verdict() for t in self.teachers) and all(t.status in done for t in self.trials)

    def members(self) -> dict[str, Any]:
        """The content of the sweep's trials.json: what has a place in the store, and what waits for its teacher."""
        return {
            "sweep": self.spec.name,
            "objectives": dict(self.spec.objectives),
            "teachers": [{"name": teacher.name, "key": teacher.record.key} for teacher in self.teachers],
            "trials": [
                {
                    "key": each.record.key,
                    "label": each.trial.label,
                    "arm": each.trial.arm,
                    "teacher": each.trial.teacher,
                    "seed": each.trial.config.seed,
                }
                for each in self.trials
                if each.record is not None
            ],
            "waiting": [each.trial.label for each in self.trials if each.record is None],
        }


def plan_sweep(spec: SweepSpec, store: Store, fingerprint: str) -> Plan:
    """Compare a spec with a store; fingerprint identifies the data (`kd_core.data.fingerprint_of`)."""
    trials = trials_of(spec)
    teachers = []
    for name, config in spec.teachers.items():
        num_trials = sum(trial.teacher == name for trial in trials)
        if num_trials:
            finetuning = finetuning_trial(config, spec.data, spec.view)
            record = store.teacher(trial_key(finetuning, fingerprint))
            teachers.append(TeacherPlan(name, finetuning, record, num_trials))
    cards = {teacher.name: teacher.record.verdict() for teacher in teachers}
    planned = tuple(TrialPlan(trial, _record(trial, store, fingerprint, cards)) for trial in trials)
    return Plan(spec, tuple(teachers), planned)


def _record(trial: PlannedTrial, store: Store, fingerprint: str, cards: dict[str, Any]) -> Record | None:
    if trial.teacher is None:
        return store.trial(trial_key(trial.config, fingerprint))
    card = cards[trial.teacher]
    return store.trial(trial_key(trial.config, fingerprint, card["weights_sha256"])) if card else None


@dataclass(frozen=True)
class Cost:
    """What is left to compute, in floating-point operations, and how often a teacher goes over the training images."""

    student_flops: int
    teacher_flops: int
    finetuning_flops: int
    teacher_passes: int


def cost_of(plan: Plan, data: DataSummary) -> Cost:
    """The cost of everything in a plan that is not finished, evaluation aside."""
    forward: dict[str, int] = {}

    def flops(network: Any) -> int:
        form = network.model_dump(mode="json", exclude={"finetune", "seed", "checkpoint", "pretrained"})
        key = canonical_json(form)
        if key not in forward:
            forward[key] = forward_flops(network, data.num_classes, data.image_size)
        return forward[key]

    student = teacher = passes = 0
    for each in plan.trials:
        if each.status in ("finished", "stopped"):
            continue
        config = each.trial.config
        student += flops(config.student) * (1 + BACKWARD) * config.train.num_epochs * data.num_train
        if config.teacher is not None:
            teacher += flops(config.teacher) * config.train.epochs * data.num_train
            passes += config.train.epochs
    tuned = [each.finetuning for each in plan.teachers if each.record.verdict() is None]
    finetuning = sum(flops(t.student) * (1 + BACKWARD) * t.train.num_epochs * data.num_train for t in tuned)
    return Cost(student, teacher, finetuning, passes)
