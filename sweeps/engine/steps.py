"""Makes what is missing of a sweep: each step is a trial of Ray Tune, in actors that go from step to step."""

import logging
import math
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from ray import tune

from analysis.sanity import chance_warning
from kd_core.data.dataset import Dataset
from kd_core.store.manifest import Failure
from kd_core.store.product import Product, State
from kd_core.store.records import LEFT_OUT, Store
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.cluster import nodes_of_cluster, whole_resources
from sweeps.engine.labelling import Labeller
from sweeps.engine.measuring import trial_resources
from sweeps.engine.orders import order_of
from sweeps.engine.packing import has_room, num_at_once
from sweeps.engine.scratch import scratch_folder
from sweeps.engine.tasks import reason_of
from sweeps.engine.worker import StepTrainable
from sweeps.plan.plan import Plan, TrialPlan
from sweeps.plan.schedule import Labelling, Step, key_of
from sweeps.plan.scouts import status_in
from sweeps.plan.sharing import SignalPlan
from sweeps.plan.teachers import TeacherPlan
from sweeps.search.scheduler import ParetoAshaScheduler
from sweeps.search.searcher import PointSearcher
from sweeps.search.steps import StepSearcher
from sweeps.terminal.progress import SweepProgress, figures_line


def run_steps(plan: Plan, dataset: Dataset, store: Store, progress: SweepProgress) -> None:
    """Make every teacher, signal and trial that is missing, each once what it needs is there (`sweeps.plan.schedule`).

    Results and errors are in their records. A step whose worker dies is retried.
    """
    progress.foresee(plan, store)
    if plan.up_to_date:
        return
    progress.expect(len(plan.pending) + plan.num_unproposed * len(plan.spec.seeds))
    taken = _taken_by_steps(plan, trial_resources(plan, dataset, progress))
    engine = _Engine(plan, taken, dataset.validation.labels, progress)
    searcher = (StepSearcher if plan.spec.search.is_grid else PointSearcher)(plan, store, engine)
    engine.searcher = searcher
    context = {"dataset": dataset, "storage": str(store.root), "retries": plan.spec.retries}
    trainable = tune.with_parameters(StepTrainable, **context)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # failures are told by the engine
    with scratch_folder() as scratch:  # Tune's files are not needed
        tune.Tuner(
            tune.with_resources(trainable, _placement),
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
                callbacks=[engine],
                failure_config=tune.FailureConfig(max_failures=plan.spec.retries),
                verbose=0,
            ),
        ).fit()


def _taken_by_steps(plan: Plan, trial: ResourcesConfig) -> dict[type, ResourcesConfig]:
    """The resources of each kind of step: a teacher and its labelling take whole GPUs, where trials share them."""
    whole = whole_resources(plan.spec.resources)
    fitting = max(node.cpus for node in nodes_of_cluster() if node.gpus >= whole.gpu)
    cpu = min(plan.spec.resources.teacher_cpu or whole.cpu, fitting)  # its threads stay as they are
    return {
        TeacherPlan: whole.model_copy(update={"cpu": cpu}),
        Labelling: whole.model_copy(update={"gpu": math.ceil(whole.gpu)}),
        TrialPlan: trial,
    }


def _placement(config: dict[str, Any]) -> tune.PlacementGroupFactory:
    """What Ray reserves for a step."""
    taken = config["step"]["resources"]
    return tune.PlacementGroupFactory([{"CPU": taken["cpu"], "GPU": taken["gpu"]}])


class _Engine(tune.Callback):
    """What the searcher needs to know of the steps' workers; shows their reports, and records it when they die."""

    searcher: StepSearcher

    def __init__(
        self, plan: Plan, taken: dict[type, ResourcesConfig], labels: np.ndarray, progress: SweepProgress
    ) -> None:
        """labels [N] are those of the validation images."""
        self.spec, self.threads = plan.spec, plan.threads
        self.taken, self.labels, self.progress = taken, labels, progress
        self.labeller = Labeller(plan, lambda: num_at_once(nodes_of_cluster(), taken[Labelling]), progress)
        self.steps: dict[str, Step] = {}
        self._given_up: list[tuple[TrialPlan, Step]] = []

    def __getstate__(self) -> dict[str, Any]:
        """Empty: Tune pickles its callbacks to restore a run, which the records make unnecessary."""
        return {}

    def expect(self, step: Step) -> dict[str, Any]:
        """Learn of a step before Tune starts it; returns what its worker needs to know (`StepTrainable`)."""
        self.steps[key_of(step)] = step
        threads = self.threads["teacher" if isinstance(step, TeacherPlan) else "trial"]  # labels as of a live teacher
        taken = self.taken[type(step)].model_dump() | {"threads": threads}
        order = order_of(step, self.searcher.schedule.plan, self.labeller.is_usable)
        return order | {"step": key_of(step), "resources": taken}

    def labellings(self, signal: SignalPlan, teacher: TeacherPlan) -> list[Labelling]:
        """The labelling of what a signal misses, shared among workers."""
        return self.labeller.labellings(signal, teacher)

    def give_up(self, planned: TrialPlan, needed: Step) -> None:
        """Keep that a trial is not to run, to be shown after the end of the teacher or scout because of which."""
        self._given_up.append((planned, needed))

    def propose(self, planned: TrialPlan, plan: Plan) -> None:
        """Show a trial of a point that a search has just proposed, and its end if it is done."""
        self.progress.proposes(planned, plan)
        if planned.role == "follower" and planned.status == "stopped":
            self.progress.done(planned.trial.label, "stopped", LEFT_OUT)
        elif planned.done:
            self._show_end(planned.trial.label, planned.state, "")

    def note(self, text: str) -> None:
        """Say something about the whole sweep."""
        self.progress.note(text)

    def num_at_once(self) -> int:
        """How many trials the cluster has room for now."""
        return num_at_once(nodes_of_cluster(), self.taken[TrialPlan])

    def has_room_beside(self, running: Iterable[Step]) -> bool:
        """Whether the cluster has room for one more trial beside some steps."""
        return has_room(nodes_of_cluster(), [*(self.taken[type(step)] for step in running), self.taken[TrialPlan]])

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Show how far the labelling is, and what was given up; Tune calls this many times a second."""
        self.labeller.show()
        for planned, needed in self._given_up:
            self._show_given_up(planned, needed)
        self._given_up.clear()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show the start of a step."""
        step = self._step(trial)
        self.searcher.schedule.started(step)
        if isinstance(step, TeacherPlan):
            self.progress.note(f"fine-tuning {step.name}")
        elif isinstance(step, Labelling):
            self.labeller.started(step)
        else:
            self.progress.begins(step.trial.label)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Show a finished epoch, that a step waits for another process, or that it is tried again."""
        step, label = self._step(trial), self._label(trial)
        if result["status"] == "waiting":
            self.progress.waits(label, result["holder"])
        elif result["status"] == "again":
            self.progress.again(label, result["error"])
        elif not isinstance(step, Labelling) and "epoch" in result:
            config = step.finetuning if isinstance(step, TeacherPlan) else step.trial.config
            self.progress.epoch(label, result["epoch"], config.train.num_epochs, result)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show that a step whose worker died is tried again."""
        self.progress.again(self._label(trial), reason_of(_error_of(trial)))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show the end of a step, finished or failed."""
        self._end(trial, trial.last_result.get("error", ""))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record and show the failure of a step whose worker died once too often."""
        step, error = self._step(trial), _error_of(trial)
        if not isinstance(step, Labelling):
            _fail(step.product, step.state.failure, reason_of(error), error)
        self._end(trial, reason_of(error))

    def _end(self, trial: Any, reason: str) -> None:
        step = self._step(trial)
        if isinstance(step, Labelling):
            self.labeller.ended(step, reason)
            return
        state = step.product.state()
        self._show_end(self._label(trial), state, reason)
        if isinstance(step, TeacherPlan) and state.result is not None:
            accuracy = state.result.metrics["validation/accuracy"]
            if warning := chance_warning(step.name, accuracy, self.labels):
                self.progress.note(warning)

    def _show_end(self, label: str, state: State, reason: str) -> None:
        """Show the end of a trial or teacher; reason is that of a failure which could not be written to its folder."""
        if state.result is not None:
            self.progress.done(label, "finished", figures_line(state.result.metrics), state.result.metrics)
        elif state.stop is not None and state.failure is None:
            self.progress.done(label, "stopped", state.stop.reason)
        else:
            self.progress.done(label, "failed", state.failure.error if state.failure else reason)

    def _show_given_up(self, planned: TrialPlan, needed: Step) -> None:
        if isinstance(needed, TeacherPlan):
            self.progress.done(planned.trial.label, "failed", f"its teacher, {planned.trial.teacher}, failed")
        elif isinstance(needed, TrialPlan) and self._is_stopped(needed):
            self.progress.done(planned.trial.label, "stopped", LEFT_OUT)
        else:
            self.progress.done(planned.trial.label, "failed", "its scout failed")

    def _is_stopped(self, scout: TrialPlan) -> bool:
        return status_in(self.spec, "scout", scout.product.state(), scout.made_from) == "stopped"

    def _step(self, trial: Any) -> Step:
        return self.steps[trial.config["step"]["step"]]

    def _label(self, trial: Any) -> str:
        step = self._step(trial)
        if isinstance(step, Labelling):
            return f"signal {step.signal.label}"
        return f"teacher {step.name}" if isinstance(step, TeacherPlan) else step.trial.label


def _fail(product: Product, before: Failure | None, reason: str, error: object) -> None:
    """Write a failure unless the worker has written one since `before`, the failure of an earlier run."""
    with suppress(OSError):  # a store that cannot be written loses the reason, but not the sweep
        state = product.state()
        if state.result is None and state.failure in (None, before):
            product.fail(reason, str(error))


def _error_of(trial: Any) -> str:
    """The last error of one of Tune's trials, which Tune appends to a local file."""
    file = Path(trial.error_file)
    return re.split(r"^Failure # .*\n", file.read_text(), flags=re.MULTILINE)[-1] if file.exists() else ""
