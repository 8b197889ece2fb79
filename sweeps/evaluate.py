"""Evaluates the models of a sweep: runs on the cluster what is missing, and writes where the answers are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.report import update_report
from analysis.snapshot import read_sweep
from kd_core.config.errors import SpecError
from kd_core.config.evaluation import EvaluateConfig
from kd_core.data.splits import parts_of
from kd_core.data.survey import summarize
from kd_core.evaluate.official_corruptions import official
from kd_core.store.records import Store
from sweeps.config.sweep import SweepSpec
from sweeps.plan.evaluations import EvaluationPlan, check_evaluators, evaluated_trials, plan_evaluations
from sweeps.terminal.progress import SweepProgress


@dataclass(frozen=True)
class EvaluationOutcome:
    """What was asked, how many answers were there before, and the problem of each model that could not be evaluated."""

    plan: EvaluationPlan
    num_reused: int
    problems: list[str]

    def as_json(self) -> dict[str, Any]:
        """What `kdsweep evaluate --json` prints: the metrics of each model by its label."""
        metrics: dict[str, dict[str, float]] = {}
        for each in self.plan.questions:
            if manifest := each.job.record.manifest():
                metrics.setdefault(each.model.label, {}).update(manifest.metrics)
        counts = {"asked": len(self.plan.questions), "reused": self.num_reused, "missing": len(self.plan.missing)}
        return {"answers": counts, "metrics": metrics, "problems": self.problems}


def evaluate_sweep(
    spec: SweepSpec,
    store: Store,
    progress: SweepProgress,
    *,
    which: str = "front",
    only: Sequence[str] = (),
    address: str | None = None,
) -> EvaluationOutcome:
    """Evaluate finished trials of a sweep and their teachers: those of the front, all, or one by its label or key.

    Raises SpecError for names that there are not, DataError if images cannot be read.
    """
    config = spec.evaluate or EvaluateConfig()
    check_evaluators(only, config)
    if config.classes and (unknown := sorted({*config.classes} - {*parts_of(spec.data).class_names})):
        raise SpecError(f"evaluate.classes: {unknown[0]}: the data have no such class")
    snapshot = read_sweep(store, spec.name)
    trials = evaluated_trials(snapshot, update_report(snapshot).content, which)
    plan = plan_evaluations(snapshot, trials, config, _given(spec, config), only)
    num_reused = len(plan.questions) - len(plan.missing)
    snapshot.sweep.write_evaluations(plan.index(snapshot.sweep.evaluations()))
    threads = snapshot.index.threads or spec.resources.threads
    problems = _run(plan, spec, progress, address, threads["trial"]) if plan.missing else []
    return EvaluationOutcome(plan, num_reused, problems)


def _given(spec: SweepSpec, config: EvaluateConfig) -> dict[str, Any]:
    """The content of what the user gives for sets of inputs, by their names; raises DataError if it is not right."""
    given: dict[str, Any] = {}
    if config.corruptions is not None:
        given["corrupted"] = official(config.corruptions, parts_of(spec.data).splits[2].labels).identity()
    if config.ood is not None:
        given["outside"] = summarize(config.ood).fingerprint
    return given


def _run(
    plan: EvaluationPlan, spec: SweepSpec, progress: SweepProgress, address: str | None, threads: int
) -> list[str]:
    from kd_core.data.dataset import load
    from sweeps.engine.cluster import cluster, whole_resources
    from sweeps.engine.evaluations import run_evaluations

    progress.note(f"evaluating: {len(plan.missing)} of {len(plan.questions)} answers are missing")
    with cluster(address, spec.resources):
        dataset = load(spec.data, spec.resources.workers)
        resources = whole_resources(spec.resources)
        return run_evaluations(plan, dataset, resources, threads, spec.retries, progress)
