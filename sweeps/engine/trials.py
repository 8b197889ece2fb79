"""Runs teachers as Ray tasks and trials as Tune trials, and chooses their resources; keeps no state."""

from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError

from kd_core.data.dataset import Dataset
from kd_core.footprint import Footprint
from kd_core.store.records import Record, Store
from sweeps.engine.cluster import nodes_of_cluster, whole_resources
from sweeps.engine.packing import form_of, packed, packing_line, resources_text
from sweeps.engine.worker import TrialTrainable, finetune_teacher, measure_trial, task_of
from sweeps.plan.plan import Plan, TeacherPlan, TrialPlan
from sweeps.spec.sweep_config import ResourcesConfig
from sweeps.terminal.progress import SweepProgress, figures_line

_POLL_S = 0.5
_RETRIES = 2  # how often a trial or teacher is started again after its worker died


def trial_resources(plan: Plan, dataset: Dataset, store: Store, progress: SweepProgress) -> ResourcesConfig:
    """The resources of a trial: those of the spec, or with auto, such that as many run as fit in memory.

    If memory cannot be measured, this logs the error and returns the resources of a teacher.
    """
    nodes, resources, pending = nodes_of_cluster(), whole_resources(plan.spec.resources), _pending(plan)
    if not plan.spec.resources.auto or not pending:
        return resources
    forms: dict[str, dict[str, Any]] = {}
    for key, each in pending.items():
        trial = _trial_config(key, each, plan)
        forms.setdefault(form_of(each.trial.config, stored=trial["signal"] is not None), trial)
    try:
        footprints = _measured(list(forms.values()), resources, dataset, store)
    except RayError as error:
        progress.note(f"resources: no trial could be measured: {_reason(error)}; each has {resources_text(resources)}")
        return resources
    chosen = packed(footprints, nodes, len(pending), resources.workers)
    progress.note(packing_line(footprints, nodes, chosen))
    return chosen


def _measured(
    trials: list[dict[str, Any]], resources: ResourcesConfig, dataset: Dataset, store: Store
) -> list[Footprint]:
    """The memory of each trial on each GPU model, measured one after another; raises RayError."""
    shared, storage, taken = ray.put(dataset), str(store.root), resources.model_dump()
    task = task_of(measure_trial, resources, max_retries=0)
    tasks = [task.options(resources=model) for model in _gpu_models()]
    return [ray.get(task.remote(trial, shared, storage, taken)) for trial in trials for task in tasks]


def _gpu_models() -> list[dict[str, float]]:
    """Ray resources that select a node, for each GPU model of the cluster; one empty dict without GPUs."""
    having = [node["Resources"] for node in ray.nodes() if node["Alive"] and {"CPU", "GPU"} <= node["Resources"].keys()]
    models = {name for resources in having for name in resources if name.startswith("accelerator_type:")}
    return [{name: 0.001} for name in sorted(models)] or [{}]


def finetune_teachers(plan: Plan, resources: ResourcesConfig, dataset: Dataset, progress: SweepProgress) -> None:
    """Fine-tune the missing teachers as parallel Ray tasks; their results and errors are in their records."""
    missing = plan.missing_teachers
    if not missing:
        return
    progress.note(f"fine-tuning {', '.join(teacher.name for teacher in missing)}")
    shared, nodes = ray.put(dataset), nodes_of_cluster()
    share = sum(node.cpus for node in nodes) // len(missing)  # nothing else is running yet
    cpu = max(resources.cpu, min(share, max(node.cpus for node in nodes if node.gpus >= resources.gpu)))
    taken = resources.model_copy(update={"cpu": cpu})
    task = task_of(finetune_teacher, taken, _RETRIES)
    running = {task.remote(each.finetuning, shared, each.record, taken.model_dump()): each for each in missing}
    while running:
        done, _ = ray.wait(list(running), timeout=_POLL_S)
        for teacher in running.values():
            _show_epoch(teacher, progress)
        for reference in done:
            teacher = running.pop(reference)
            _settle(reference, teacher.record)
            _show_end(f"teacher {teacher.name}", teacher.record, progress)


def _show_epoch(teacher: TeacherPlan, progress: SweepProgress) -> None:
    journal = teacher.record.journal()
    if journal:
        progress.epoch(
            f"teacher {teacher.name}", journal[-1]["epoch"], teacher.finetuning.train.num_epochs, journal[-1]
        )


def _settle(reference: Any, record: Record) -> None:
    """Write a failure to the record if a task died without writing one."""
    try:
        ray.get(reference)
    except RayError as error:
        _fail(record, error)


def _fail(record: Record, error: BaseException | str) -> None:
    if record.verdict() is None and record.failure() is None:
        record.fail(f"the worker died: {_reason(error)}", str(error))


def _reason(error: BaseException | str) -> str:
    """The first line of an error, or of its cause if a task raised it."""
    cause = getattr(error, "cause", None) or error
    return (str(cause).splitlines() or [type(cause).__name__])[0]


def _show_end(label: str, record: Record, progress: SweepProgress) -> None:
    verdict, failure = record.verdict(), record.failure()
    detail = figures_line(verdict["metrics"]) if verdict else (failure or {}).get("error", "")
    progress.done(label, record.status, detail)


def run_trials(plan: Plan, resources: ResourcesConfig, dataset: Dataset, store: Store, progress: SweepProgress) -> None:
    """Run every trial that has no verdict as a Tune trial; if a worker dies, its trial is retried."""
    pending = _pending(plan)
    if not pending:
        return
    progress.expect(len(pending))
    given = {"dataset": dataset, "storage": str(store.root), "resources": resources.model_dump()}
    trainable = tune.with_parameters(TrialTrainable, **given)
    wanted = [_trial_config(key, each, plan) for key, each in pending.items()]
    with TemporaryDirectory(prefix="kdsweep-", ignore_cleanup_errors=True) as scratch:  # Tune's files are not needed
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
            param_space={"trial": tune.grid_search(wanted)},
            tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[_Watch(pending, progress)],
                failure_config=tune.FailureConfig(max_failures=_RETRIES),
                verbose=0,
            ),
        ).fit()


def _pending(plan: Plan) -> dict[str, TrialPlan]:
    """The trials without a verdict whose teacher is finished, by the key of their record."""
    return {each.record.key: each for each in plan.trials if each.record and each.record.verdict() is None}


def _trial_config(key: str, planned: TrialPlan, plan: Plan) -> dict[str, Any]:
    teacher_key = next((each.record.key for each in plan.teachers if each.name == planned.trial.teacher), None)
    signal = planned.signal.identity if planned.signal is not None and planned.signal.ready else None
    config = planned.trial.config.model_dump(mode="json")
    return {"key": key, "config": config, "teacher_key": teacher_key, "signal": signal}


class _Watch(tune.Callback):
    """Shows the reports of Tune's trials, and records the failure of trials whose worker died."""

    def __init__(self, pending: dict[str, TrialPlan], progress: SweepProgress) -> None:
        self.pending, self.progress = pending, progress

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its callbacks to restore a run, which the records make unnecessary."""
        return {}

    def _planned(self, trial: Any) -> TrialPlan:
        return self.pending[trial.config["trial"]["key"]]

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Show a finished epoch."""
        planned = self._planned(trial).trial
        if "epoch" in result:
            self.progress.epoch(planned.label, result["epoch"], planned.config.train.num_epochs, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show the end of a trial, finished or failed."""
        planned = self._planned(trial)
        assert planned.record is not None
        _show_end(planned.trial.label, planned.record, self.progress)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record and show the failure of a trial whose worker died once too often."""
        planned = self._planned(trial)
        assert planned.record is not None
        _fail(planned.record, trial.get_error() or "no reason given")
        _show_end(planned.trial.label, planned.record, self.progress)
