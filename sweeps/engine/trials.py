"""Runs teachers as Ray tasks and trials as Tune trials, and chooses their resources; keeps no state."""

import logging
import re
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError

from kd_core.config.identity import trial_identity
from kd_core.data.dataset import Dataset
from kd_core.evaluate.footprint import Footprint
from kd_core.store.manifest import Failure
from kd_core.store.product import Product, State
from kd_core.store.records import LEFT_OUT, Store
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.cluster import nodes_of_cluster, whole_resources
from sweeps.engine.packing import form_of, num_at_once, packed, packing_line, resources_text
from sweeps.engine.scratch import scratch_folder
from sweeps.engine.tasks import Task, reason_of, settled
from sweeps.engine.worker import TrialTrainable, finetune_teacher, measure_trial, other_at_work, task_of
from sweeps.plan.plan import Plan, TrialPlan
from sweeps.plan.scouts import status_in
from sweeps.plan.teachers import TeacherPlan
from sweeps.search.grid import GridSearcher
from sweeps.search.scheduler import ParetoAshaScheduler
from sweeps.search.searcher import PointSearcher
from sweeps.terminal.progress import SweepProgress, figures_line


def trial_resources(plan: Plan, dataset: Dataset, store: Store, progress: SweepProgress) -> ResourcesConfig:
    """The resources of a trial: those of the spec, or with auto, such that as many run as fit in memory.

    If memory cannot be measured, this logs the error and returns the resources of a teacher.
    """
    nodes, resources = nodes_of_cluster(), whole_resources(plan.spec.resources)
    pending = plan.pending + [each for each in plan.unproposed if each.can_run]
    if not plan.spec.resources.auto or not pending:
        return resources
    forms: dict[str, dict[str, Any]] = {}
    for each in pending:
        trial = _trial_config(each, plan)
        stored = [teacher["signal"] is not None for teacher in trial["teachers"]]
        forms.setdefault(form_of(each.trial.config, stored), trial)
    try:
        footprints = _measured(list(forms.values()), resources, plan.threads["trial"], dataset, store)
    except RayError as error:
        progress.note(
            f"resources: no trial could be measured: {reason_of(error)}; each has {resources_text(resources)}"
        )
        return resources
    chosen = packed(footprints, nodes, len(pending), resources.workers)
    progress.note(packing_line(footprints, nodes, chosen))
    return chosen


def _measured(
    trials: list[dict[str, Any]], resources: ResourcesConfig, threads: int, dataset: Dataset, store: Store
) -> list[Footprint]:
    """The memory of each trial on each GPU model, measured one after another; raises RayError."""
    shared, storage, taken = ray.put(dataset), str(store.root), resources.model_dump() | {"threads": threads}
    task = task_of(measure_trial, resources)
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
    wanted = plan.spec.resources.teacher_cpu or resources.cpu
    cpu = min(wanted, max(node.cpus for node in nodes if node.gpus >= resources.gpu))  # its threads stay as they are
    taken = resources.model_copy(update={"cpu": cpu})
    submit = task_of(finetune_teacher, taken).remote
    given = taken.model_dump() | {"threads": plan.threads["teacher"]}
    before = {each.product.key: each.state.failure for each in missing}
    running = {
        Task(
            f"teacher {each.name}",
            partial(submit, each.finetuning, shared, each.product, given),
            partial(other_at_work, each.product),
        ): each
        for each in missing
    }

    def show() -> None:
        """Show the progress of each teacher."""
        for teacher in running.values():
            _show_epoch(teacher, progress)

    for task in settled(list(running), plan.spec.retries, progress, show):
        product = running.pop(task).product
        reason = reason_of(task.error) if task.error is not None else ""
        if reason:
            _fail(product, before[product.key], reason, task.error)
        _show_end(task.label, product.state(), progress, reason)


def _show_epoch(teacher: TeacherPlan, progress: SweepProgress) -> None:
    journal = teacher.product.journal()
    if rows := journal.epochs:
        progress.epoch(f"teacher {teacher.name}", journal.num_epochs, teacher.finetuning.train.num_epochs, rows[-1])


def _fail(product: Product, before: Failure | None, reason: str, error: object) -> None:
    """Write a failure unless the worker has written one since `before`, the failure of an earlier run."""
    with suppress(OSError):  # a store that cannot be written loses the reason, but not the sweep
        state = product.state()
        if state.result is None and state.failure in (None, before):
            product.fail(reason, str(error))


def _show_end(label: str, state: State, progress: SweepProgress, reason: str) -> None:
    """Show the end of a trial or teacher; reason is that of a failure which could not be written to its folder."""
    if state.result is not None:
        progress.done(label, "finished", figures_line(state.result.metrics), state.result.metrics)
    elif state.stop is not None and state.failure is None:
        progress.done(label, "stopped", state.stop.reason)
    else:
        progress.done(label, "failed", state.failure.error if state.failure else reason)


def run_trials(plan: Plan, resources: ResourcesConfig, dataset: Dataset, store: Store, progress: SweepProgress) -> None:
    """Run every trial that is not done as a Tune trial; if a worker dies, its trial is retried."""
    progress.foresee(plan, store)
    for each in plan.trials:
        if not each.can_run:
            _show_without_teacher(each, progress)
    pending = plan.pending
    if not pending and not plan.num_unproposed:
        return
    progress.expect(len(pending) + plan.num_unproposed * len(plan.spec.seeds))
    taken = resources.model_dump() | {"threads": plan.threads["trial"]}
    context = {"dataset": dataset, "storage": str(store.root), "resources": taken, "retries": plan.spec.retries}
    trainable = tune.with_parameters(TrialTrainable, **context)
    watch = _Watch(plan, progress)
    if plan.spec.search.is_grid:
        searcher = GridSearcher(plan, watch.expect, watch.give_up)
    else:
        searcher = PointSearcher(
            plan,
            store,
            lambda: num_at_once(nodes_of_cluster(), resources),
            watch.propose,
            watch.expect,
            watch.give_up,
            progress.note,
        )
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told by _Watch
    with scratch_folder() as scratch:  # Tune's files are not needed
        tune.Tuner(
            tune.with_resources(trainable, {"cpu": resources.cpu, "gpu": resources.gpu}),
            tune_config=tune.TuneConfig(
                scheduler=ParetoAshaScheduler(plan, store) if plan.spec.early_stopping else None,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
                search_alg=searcher,
                num_samples=sys.maxsize,  # the searcher says when it ends
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=str(scratch),
                callbacks=[watch],
                failure_config=tune.FailureConfig(max_failures=plan.spec.retries),
                verbose=0,
            ),
        ).fit()


def _show_without_teacher(planned: TrialPlan, progress: SweepProgress) -> None:
    progress.done(planned.trial.label, "failed", f"its teacher, {planned.trial.teacher}, failed")


def _trial_config(planned: TrialPlan, plan: Plan) -> dict[str, Any]:
    """What a worker needs to know of a trial (`sweeps.engine.worker.TrialTrainable`)."""
    config, made = planned.trial.config, {each.name: each for each in plan.teachers}
    teachers = [made[name] for name in planned.trial.members]
    return {
        "key": planned.product.key,
        "identity": trial_identity(config, plan.data.fingerprint, plan.teacher_key(planned.trial)),
        "config": config.model_dump(mode="json"),
        "teachers": [
            {
                "key": teacher.product.key,
                "signal": signal.identity if signal is not None and signal.ready else None,
                "made_from": teacher.made_from,
            }
            for teacher, signal in zip(teachers, planned.signals, strict=True)
        ],
        "made_from": planned.made_from,
    }


class _Watch(tune.Callback):
    """Shows the reports of Tune's trials, and records the failure of trials whose worker died."""

    def __init__(self, plan: Plan, progress: SweepProgress) -> None:
        self.plan, self.progress = plan, progress
        self.expected: dict[str, TrialPlan] = {}

    def expect(self, planned: TrialPlan) -> dict[str, Any]:
        """Learn of a trial before Tune starts it; returns its config."""
        self.expected[planned.product.key] = planned
        return _trial_config(planned, self.plan)

    def propose(self, planned: TrialPlan) -> None:
        """Learn of a trial of a point that a search has just proposed, and show its end if it is not to run."""
        self.progress.proposes(planned, self.plan)
        if not planned.can_run:
            _show_without_teacher(planned, self.progress)
        elif planned.role == "follower" and planned.status == "stopped":
            self.progress.done(planned.trial.label, "stopped", LEFT_OUT)
        elif planned.done:
            _show_end(planned.trial.label, planned.state, self.progress, "")

    def give_up(self, planned: TrialPlan, scout: TrialPlan) -> None:
        """Show that a follower is not to run, since its scout has not finished."""
        if status_in(self.plan.spec, "scout", scout.product.state(), scout.made_from) == "stopped":
            self.progress.done(planned.trial.label, "stopped", LEFT_OUT)
        else:
            self.progress.done(planned.trial.label, "failed", "its scout failed")

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its callbacks to restore a run, which the records make unnecessary."""
        return {}

    def _planned(self, trial: Any) -> TrialPlan:
        return self.expected[trial.config["trial"]["key"]]

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show the start of a trial."""
        self.progress.begins(self._planned(trial).trial.label)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Show a finished epoch, that the trial waits for another process, or that it is tried again."""
        planned = self._planned(trial).trial
        if result["status"] == "waiting":
            self.progress.waits(planned.label, result["holder"])
        elif result["status"] == "again":
            self.progress.again(planned.label, result["error"])
        elif "epoch" in result:
            self.progress.epoch(planned.label, result["epoch"], planned.config.train.num_epochs, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show that a trial whose worker died is tried again."""
        self.progress.again(self._planned(trial).trial.label, reason_of(_error_of(trial)))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show the end of a trial, finished or failed."""
        planned = self._planned(trial)
        _show_end(planned.trial.label, planned.product.state(), self.progress, trial.last_result.get("error", ""))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record and show the failure of a trial whose worker died once too often."""
        planned = self._planned(trial)
        reason = reason_of(_error_of(trial))
        _fail(planned.product, planned.state.failure, reason, _error_of(trial))
        _show_end(planned.trial.label, planned.product.state(), self.progress, reason)


def _error_of(trial: Any) -> str:
    """The last error of one of Tune's trials, which Tune appends to a local file."""
    file = Path(trial.error_file)
    return re.split(r"^Failure # .*\n", file.read_text(), flags=re.MULTILINE)[-1] if file.exists() else ""
