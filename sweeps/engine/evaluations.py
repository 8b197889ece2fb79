"""Evaluates models on the cluster: each is run once on each set of inputs, then evaluators read what it said."""

from collections.abc import Sequence
from functools import partial

import ray

from kd_core.data.dataset import Dataset
from kd_core.evaluate.evaluated import EvaluatedModel, Job, Question
from kd_core.store.lease import Holder
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.cluster import nodes_of_cluster
from sweeps.engine.packing import num_at_once
from sweeps.engine.tasks import Task, reason_of, settled
from sweeps.engine.worker import answer_questions, run_models, task_of
from sweeps.plan.evaluations import EvaluationPlan
from sweeps.terminal.progress import SweepProgress

_TRIES = 2  # outputs that turn out to be damaged are made once more


def run_evaluations(
    plan: EvaluationPlan,
    dataset: Dataset,
    resources: ResourcesConfig,
    threads: int,
    retries: int,
    progress: SweepProgress,
) -> list[str]:
    """Make all missing outputs and answers; returns the problem of each model that could not be evaluated."""
    shared, given = ray.put(dataset), resources.model_dump() | {"threads": threads}
    workers = num_at_once(nodes_of_cluster(), resources)
    run = partial(task_of(run_models, resources).remote, config=plan.config, dataset=shared, resources=given)
    ask = partial(
        task_of(answer_questions, resources).remote,
        config=plan.config,
        class_names=dataset.class_names,
        resources=given,
    )
    first: list[str] = []
    for _ in range(_TRIES):
        tasks = [
            Task(f"outputs {name} of {_named(group)}", partial(run, name, group), partial(_holder, _jobs(name, group)))
            for name, models in _missing(plan).items()
            for group in shares(models, workers)
        ]
        problems = _all_settled(tasks, retries, progress)
        asked: dict[str, list[Question]] = {}
        for each in plan.missing:
            asked.setdefault(each.model.label, []).append(each)
        tasks = [
            Task(f"evaluation {label}", partial(ask, each), partial(_holder, [question.job for question in each]))
            for label, each in asked.items()
        ]
        problems += _all_settled(tasks, retries, progress)
        if not plan.missing:
            return []
        first = first or problems
    return first


def shares(models: Sequence[EvaluatedModel], num_shares: int) -> list[list[EvaluatedModel]]:
    """The models in at most so many groups of about equal parameters: the largest goes to the least loaded first."""
    groups: list[list[EvaluatedModel]] = [[] for _ in range(min(num_shares, len(models)))]
    for model in sorted(models, key=lambda each: -each.num_parameters):
        min(groups, key=lambda group: sum(each.num_parameters for each in group)).append(model)
    return groups


def _missing(plan: EvaluationPlan) -> dict[str, list[EvaluatedModel]]:
    """The models by the name of each set on which they are still to be run."""
    wanted: dict[str, dict[str, EvaluatedModel]] = {}
    for question in plan.missing:
        for model in question.networks:
            for name in question.evaluator.inputs:
                if not model.outputs[name].done:
                    wanted.setdefault(name, {})[model.product.key] = model
    return {name: list(models.values()) for name, models in wanted.items()}


def _jobs(name: str, models: Sequence[EvaluatedModel]) -> list[Job]:
    return [each.outputs[name] for each in models]


def _named(models: Sequence[EvaluatedModel]) -> str:
    """The only model of a group, or how many it has."""
    return models[0].label if len(models) == 1 else f"{len(models)} models"


def _holder(jobs: Sequence[Job]) -> Holder | None:
    """Another process that makes one of these products, which are then left to it."""
    holders = (job.record.lease.holder for job in jobs if not job.done)
    return next((each for each in holders if each is not None and not each.is_this_process), None)


def _all_settled(tasks: Sequence[Task], retries: int, progress: SweepProgress) -> list[str]:
    """Wait for tasks, and return why each of those failed that did."""
    problems = []
    for task in settled(tasks, retries, progress, lambda: None):
        error = reason_of(task.error) if task.error is not None else ""
        progress.done(task.label, "failed" if error else "finished", error)
        problems += [f"{task.label}: {error}"] if error else []
    return problems
