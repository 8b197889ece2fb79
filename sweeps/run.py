"""Runs a sweep: data → teachers → trials → report, while MLflow is updated in the background."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from analysis.report import Report, update_report
from analysis.snapshot import Snapshot, read_sweep
from kd_core.config.checkpoint import checkpoint_caveat
from kd_core.config.errors import KdSweepsError
from kd_core.data.survey import Survey, survey_of
from kd_core.evaluate.latency import measure_latency, unmeasured
from kd_core.store.files import write_bytes
from kd_core.store.records import Store
from sweeps.config.places import paths_of
from sweeps.config.sweep import SweepSpec
from sweeps.plan.plan import Plan, plan_sweep
from sweeps.plan.validation_size import too_small
from sweeps.terminal.progress import SweepProgress
from sweeps.terminal.survey import telling
from sweeps.tracking.sync import BackgroundSync, is_synced

if TYPE_CHECKING:
    from kd_core.data.dataset import Dataset

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class SweepOutcome:
    """The result of running a sweep: its trials counted by status, and its report."""

    sweep: str
    counts: dict[str, int]
    report: Report

    @property
    def ok(self) -> bool:
        """Whether every trial finished or was stopped by a scheduler."""
        return self.counts["failed"] == 0

    def as_json(self) -> dict[str, Any]:
        """What `kdsweep run --json` prints."""
        return {"sweep": self.sweep, "trials": self.counts} | self.report.as_json()


def run_sweep(
    spec: SweepSpec,
    store: Store,
    progress: SweepProgress,
    *,
    address: str | None = None,
    tracking_uri: str | None = None,
) -> SweepOutcome:
    """Train what is missing of a sweep, on the Ray cluster at address or on this machine, and write its report.

    Raises SpecError if timm cannot build a network or no node has room for a trial, DataError if the data cannot be
    read.
    """
    survey, background = survey_of(spec.data, telling(progress.note)), None
    plan = plan_sweep(spec, store, survey.summary)
    num_reused = _num_done(plan)
    if plan.up_to_date:
        plan.write(store)
        progress.note(f"{spec.name}: all {len(plan.trials)} trials are up to date in {store.root}")
        _evaluate(spec, store, progress, address)
    else:
        dataset = _in_background(_load, spec)
        with _engine(plan, address, store) as hints:
            _show_data(survey, spec, store, progress)
            if warning := too_small(plan.data.num_validation):
                progress.note(warning)
            if caveat := checkpoint_caveat(plan.given_teachers):
                progress.note(caveat)
            for hint in hints:
                progress.note(hint)
            if plan.threads != spec.resources.threads:
                kept = f"{plan.threads['trial']} a trial and {plan.threads['teacher']} a teacher"
                progress.note(f"resources: the sweep began with other threads, and keeps them: {kept}")
            plan.write(store)
            background = BackgroundSync(store, spec.name, tracking_uri, progress.note) if tracking_uri else None
            plan = _train(plan, dataset.result(), store, progress)
            _evaluate(spec, store, progress, address)
    snapshot = read_sweep(store, spec.name, plan.states)
    _measure_latencies(snapshot, progress)
    report = update_report(snapshot)
    if background is None and tracking_uri and not is_synced(snapshot, tracking_uri):
        background = BackgroundSync(store, spec.name, tracking_uri, progress.note)
    if background:
        background.finish()
    return SweepOutcome(spec.name, _counts(plan, num_reused), report)


def _show_data(survey: Survey, spec: SweepSpec, store: Store, progress: SweepProgress) -> None:
    """Say what is odd about the data, and draw a page of files that were looked at, beside the report to come."""
    for line in survey.summary.lines:
        progress.note(f"data: {line}")
    if survey.look is not None:
        from analysis.drawing.data_page import PAGE, data_page
        from kd_core.data.samples import samples_of

        page = store.sweep(spec.name).report / PAGE
        write_bytes(page, data_page(samples_of(survey, spec.view)).encode())
        progress.note(f"data: as the networks see them: {page}")


def _evaluate(spec: SweepSpec, store: Store, progress: SweepProgress, address: str | None) -> None:
    """Evaluate what may be on the front, if the spec asks for it; what fails is said, and leaves the sweep as it is."""
    if spec.evaluate is not None:
        from sweeps.evaluate import evaluate_sweep

        try:
            problems = evaluate_sweep(spec, store, progress, address=address).problems
        except KdSweepsError as error:
            problems = [str(error)]
        for problem in problems:
            progress.note(f"not evaluated: {problem}")


@contextmanager
def _engine(plan: Plan, address: str | None, store: Store) -> Iterator[list[str]]:
    """Start a cluster, and meanwhile load timm to check the spec's networks; yields what would make the sweep faster.

    Networks are checked only if something is left to train: those of finished trials have been built.
    """
    from sweeps.cluster.visibility import check_visible
    from sweeps.engine.cluster import cluster

    checked = _in_background(_check_networks, plan)
    with cluster(address, plan.spec.resources):
        hints = checked.result()
        check_visible(_read_by_workers(plan.spec), store)
        yield hints


def _in_background(work: Callable[..., _Result], *arguments: Any) -> "Future[_Result]":
    """Begin some work in a thread, for which the end of the program does not wait."""
    future: Future[_Result] = Future()

    def run() -> None:
        """Do the work; its error is that of the future."""
        try:
            future.set_result(work(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=work.__name__, daemon=True).start()
    return future


def _load(spec: SweepSpec) -> "Dataset":
    from kd_core.data.dataset import load

    return load(spec.data, spec.resources.workers)


def _read_by_workers(spec: SweepSpec) -> list[tuple[str, str]]:
    """The paths of a spec that its workers read, by their places; they get data in memory from this process."""
    return [(where, path) for where, path in paths_of(spec) if spec.data.streaming or not where.startswith("data.")]


def _check_networks(plan: Plan) -> list[str]:
    """Raise SpecError if a network cannot be built; returns where bfloat16 would make the sweep much faster."""
    from sweeps.config.networks import check_networks
    from sweeps.plan.cost import bfloat16_hints

    check_networks(plan.spec, plan.data.num_classes)
    return bfloat16_hints(plan)


def _train(plan: Plan, dataset: "Dataset", store: Store, progress: SweepProgress) -> Plan:
    """Make everything that is missing on the cluster; returns the new plan, for which only that was read again."""
    from sweeps.engine.steps import run_steps
    from sweeps.plan.upkeep import to_make_again

    problems = list(to_make_again(plan))
    for problem in problems:
        progress.note(f"{problem}; making it again")
    if problems:
        plan = plan_sweep(plan.spec, store, plan.data)
    run_steps(plan, dataset, store, progress)
    anew = plan_sweep(plan.spec, store, plan.data, plan.finished)
    anew.write(store)
    return anew


def _measure_latencies(snapshot: Snapshot, progress: SweepProgress) -> None:
    """Measure on this machine the latency of each student form that has none; if that fails, a note says so."""
    for form in unmeasured(snapshot.store.latencies(), snapshot.forms.values()):
        model = form["student"]["model"]
        try:
            latency = measure_latency(form)
            snapshot.store.keep_latency(latency)
        except Exception as error:
            progress.note(f"latency of {model}: not measured: {type(error).__name__}: {error}".splitlines()[0])
        else:
            progress.note(
                f"latency of {model}: {latency['ms_1']:.3g} ms an image alone, {latency['ms_64']:.3g} ms in a batch "
                f"of 64, on {latency['device']}"
            )


def _num_done(plan: Plan) -> int:
    return sum(trial.done for trial in plan.trials)


def _counts(plan: Plan, num_reused: int) -> dict[str, int]:
    """The trials by status; one whose worker or teacher left no result counts as failed."""
    stopped, done = sum(trial.status == "stopped" for trial in plan.trials), _num_done(plan)
    failed = len(plan.trials) - done
    return {"finished": done - stopped, "stopped": stopped, "failed": failed, "reused": num_reused}
