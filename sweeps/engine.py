"""Ray, the engine: a cluster to run on, teachers as tasks, trials as Tune trials. It keeps no state that matters."""

import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # stdout is ours
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the records are the log
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the sweep at once; the records resume it
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}
for _name, _value in _ENVIRONMENT.items():  # Ray reads some of these when it is imported
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.exceptions import RayError  # noqa: E402

from kd_core.data import Dataset  # noqa: E402
from kd_core.records import Record, Store  # noqa: E402
from sweeps.plan import Plan, TeacherPlan, TrialPlan  # noqa: E402
from sweeps.progress import SweepProgress, figures_line  # noqa: E402
from sweeps.spec import ResourcesConfig, SpecError  # noqa: E402
from sweeps.trial import TrialTrainable, finetune_teacher  # noqa: E402

_POLL_S = 0.5
_RETRIES = 2  # how often a trial or teacher is started again after its worker died


@contextmanager
def cluster(address: str | None, resources: ResourcesConfig) -> Iterator[None]:
    """A Ray cluster for as long as the block runs: the one at an address or in RAY_ADDRESS, or our own on this machine.

    A cluster that this process is already connected to is used and left running. Raises SpecError where no node can
    hold a single trial.
    """
    ours = not ray.is_initialized()
    if ours:
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        ray.init(
            address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        _check_resources(resources)
        yield
    finally:
        if ours:
            ray.shutdown()


def _check_resources(resources: ResourcesConfig) -> None:
    for kind, wanted in (("CPU", resources.cpu), ("GPU", resources.gpu)):
        largest = max((node["Resources"].get(kind, 0) for node in ray.nodes() if node["Alive"]), default=0)
        if wanted > largest:
            key = f"resources.{kind.lower()}"
            problem = f"no node of the Ray cluster has more than {largest:g} {kind}s"
            raise SpecError(f"{key}: {wanted:g}: {problem}; --set {key}={largest:g}")


def finetune_teachers(plan: Plan, dataset: Dataset, progress: SweepProgress) -> None:
    """Run the missing teachers as Ray tasks, in parallel; what becomes of them is in their records."""
    missing = [teacher for teacher in plan.teachers if teacher.record.verdict() is None]
    if not missing:
        return
    progress.note(f"fine-tuning {', '.join(teacher.name for teacher in missing)}")
    shared, resources = ray.put(dataset), plan.spec.resources
    cpu = max(resources.cpu, ray.cluster_resources()["CPU"] // len(missing))  # nothing else is running yet
    task = finetune_teacher.options(num_cpus=cpu, num_gpus=resources.gpu, max_retries=_RETRIES)
    taken = resources.model_dump() | {"cpu": cpu}
    running = {task.remote(each.finetuning, shared, each.record, taken): each for each in missing}
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
    """Make sure that a task that died without a word has left one."""
    try:
        ray.get(reference)
    except RayError as error:
        _fail(record, error)


def _fail(record: Record, error: BaseException | str) -> None:
    lines = str(error).splitlines() or [type(error).__name__]
    if record.verdict() is None and record.failure() is None:
        record.fail(f"the worker died: {lines[0]}", str(error))


def _show_end(label: str, record: Record, progress: SweepProgress) -> None:
    verdict, failure = record.verdict(), record.failure()
    detail = figures_line(verdict["metrics"]) if verdict else (failure or {}).get("error", "")
    progress.done(label, record.status, detail)


def run_trials(plan: Plan, dataset: Dataset, store: Store, progress: SweepProgress) -> None:
    """Run every trial that has no verdict as a Tune trial; a worker that dies costs a retry, never the sweep."""
    pending = {each.record.key: each for each in plan.trials if each.record and each.record.verdict() is None}
    if not pending:
        return
    progress.expect(len(pending))
    resources = plan.spec.resources.model_dump()
    trainable = tune.with_parameters(TrialTrainable, dataset=dataset, storage=str(store.root), resources=resources)
    scratch = store.root / f".tune-{uuid.uuid4().hex}"
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": resources["cpu"], "gpu": resources["gpu"]}),
        param_space={"trial": tune.grid_search([_trial_config(key, each, plan) for key, each in pending.items()])},
        tune_config=tune.TuneConfig(reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch),
            callbacks=[_Watch(pending, progress)],
            failure_config=tune.FailureConfig(max_failures=_RETRIES),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        if store.local is not None:
            shutil.rmtree(str(scratch), ignore_errors=True)


def _trial_config(key: str, planned: TrialPlan, plan: Plan) -> dict[str, Any]:
    teacher_key = next((each.record.key for each in plan.teachers if each.name == planned.trial.teacher), None)
    return {"key": key, "config": planned.trial.config.model_dump(mode="json"), "teacher_key": teacher_key}


class _Watch(tune.Callback):
    """Shows what Tune's trials report, and writes down those that died without a word."""

    def __init__(self, pending: dict[str, TrialPlan], progress: SweepProgress) -> None:
        self.pending, self.progress = pending, progress

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore of its own, which the records make needless."""
        return {}

    def _planned(self, trial: Any) -> TrialPlan:
        return self.pending[trial.config["trial"]["key"]]

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """An epoch has ended."""
        planned = self._planned(trial).trial
        if "epoch" in result:
            self.progress.epoch(planned.label, result["epoch"], planned.config.train.num_epochs, result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial has ended by itself, finished or failed."""
        planned = self._planned(trial)
        assert planned.record is not None
        _show_end(planned.trial.label, planned.record, self.progress)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's worker has died more often than it is retried."""
        planned = self._planned(trial)
        assert planned.record is not None
        _fail(planned.record, trial.get_error() or "no reason given")
        _show_end(planned.trial.label, planned.record, self.progress)
