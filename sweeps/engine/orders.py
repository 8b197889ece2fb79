"""What a worker needs to know of a step, as JSON (`sweeps.engine.worker.StepTrainable`)."""

from collections.abc import Callable
from typing import Any

from kd_core.config.identity import trial_identity
from sweeps.config.sweep import SweepSpec
from sweeps.plan.plan import Plan, TrialPlan
from sweeps.plan.schedule import Labelling, Step
from sweeps.plan.sharing import SignalPlan
from sweeps.plan.teachers import TeacherPlan
from sweeps.search.pareto_asha import rung_epochs


def order_of(step: Step, plan: Plan, is_usable: Callable[[SignalPlan], bool]) -> dict[str, Any]:
    """The order to make a step of a plan; is_usable says of a signal whether trials read it."""
    if isinstance(step, Labelling):
        return {
            "kind": "signal",
            "key": step.signal.record.key,
            "config": step.signal.trial.model_dump(mode="json"),
            "teachers": [{"key": step.teacher.product.key}],
            "epochs": step.epochs,
        }
    if isinstance(step, TeacherPlan):
        return {
            "kind": "teacher",
            "key": step.product.key,
            "config": step.finetuning.model_dump(mode="json"),
            "teachers": [],
            "identity": trial_identity(step.finetuning, plan.data.fingerprint),
            "made_from": None,
            "rungs": (),
        }
    return _order_of_trial(step, plan, is_usable)


def rungs_of(spec: SweepSpec, num_epochs: int) -> list[int]:
    """The epochs at which early stopping may decide on a trial of so many."""
    return [] if spec.early_stopping is None else rung_epochs(spec.early_stopping.pareto_asha, num_epochs)


def _order_of_trial(planned: TrialPlan, plan: Plan, is_usable: Callable[[SignalPlan], bool]) -> dict[str, Any]:
    config, made = planned.trial.config, {each.name: each for each in plan.teachers}
    teachers = [made[name] for name in planned.trial.members]
    return {
        "kind": "trial",
        "key": planned.product.key,
        "config": config.model_dump(mode="json"),
        "teachers": [
            {
                "key": teacher.product.key,
                "signal": signal.identity if signal is not None and is_usable(signal) else None,
                "made_from": teacher.made_from,
            }
            for teacher, signal in zip(teachers, planned.signals, strict=True)
        ],
        "identity": trial_identity(config, plan.data.fingerprint, plan.teacher_key(planned.trial)),
        "made_from": planned.made_from,
        "rungs": rungs_of(plan.spec, config.train.num_epochs),
    }
