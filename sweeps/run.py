"""Bring a store up to date with a spec: data → teachers → trials → report, with MLflow following behind."""

from dataclasses import dataclass

from analysis.report import Report, write_report
from kd_core.data.splits import DataSummary, load, summarize
from kd_core.store.records import Store
from sweeps.plan.plan import Plan, plan_sweep
from sweeps.spec.reader import check_teacher_heads, to_yaml
from sweeps.spec.sweep_config import SweepSpec
from sweeps.terminal.progress import SweepProgress
from sweeps.tracking import BackgroundSync


@dataclass(frozen=True)
class SweepOutcome:
    """What a run of a sweep left behind: its trials by what became of them, and its report."""

    sweep: str
    counts: dict[str, int]
    report: Report

    @property
    def ok(self) -> bool:
        """Whether every trial finished or was stopped by a scheduler."""
        return self.counts["failed"] == 0


def run_sweep(
    spec: SweepSpec,
    store: Store,
    progress: SweepProgress,
    *,
    address: str | None = None,
    tracking_uri: str | None = None,
) -> SweepOutcome:
    """Train what the store lacks of a sweep, on the Ray cluster at an address or on this machine, and write its report.

    Raises SpecError where the cluster cannot hold a trial, DataError where the data cannot be read.
    """
    data = summarize(spec.data)
    plan = _plan(spec, store, data)
    num_reused = _num_done(plan)
    background = BackgroundSync(store, spec.name, tracking_uri, progress.note) if tracking_uri else None
    if background:
        background.start()
    if plan.up_to_date:
        progress.note(f"{spec.name}: all {len(plan.trials)} trials are up to date in {store.root}")
    else:
        _train(plan, store, progress, address)
    report = write_report(store, spec.name)
    if background:
        background.finish()
    return SweepOutcome(spec.name, _counts(_plan(spec, store, data), num_reused), report)


def _plan(spec: SweepSpec, store: Store, data: DataSummary) -> Plan:
    """Compare spec and store, and write down which products the sweep consists of by now."""
    plan = plan_sweep(spec, store, data)
    store.sweep(spec.name).write(to_yaml(spec), plan.members())
    return plan


def _train(plan: Plan, store: Store, progress: SweepProgress, address: str | None) -> None:
    from sweeps.engine.cluster import cluster, finetune_teachers, run_trials, trial_resources, whole_resources
    from sweeps.engine.teacher_pass import label_signals

    dataset = load(plan.spec.data)
    check_teacher_heads(plan.spec, dataset.num_classes)
    with cluster(address, plan.spec.resources):
        resources = whole_resources(plan.spec.resources)
        finetune_teachers(plan, resources, dataset, progress)
        plan = _plan(plan.spec, store, plan.data)
        label_signals(plan, resources, dataset, progress)
        resources = trial_resources(plan, dataset, store, progress)
        run_trials(plan, resources, dataset, store, progress)


def _num_done(plan: Plan) -> int:
    return sum(trial.status in ("finished", "stopped") for trial in plan.trials)


def _counts(plan: Plan, num_reused: int) -> dict[str, int]:
    """Trials by what became of them; one whose worker or teacher left no result has failed."""
    stopped = sum(trial.status == "stopped" for trial in plan.trials)
    done = _num_done(plan)
    return {
        "finished": done - stopped,
        "stopped": stopped,
        "failed": len(plan.trials) - done,
        "reused": num_reused,
    }
