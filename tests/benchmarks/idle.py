"""How long workers wait for each other: a real sweep on two, and its schedule with the same durations on many."""

import heapq
import io
import math
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kd_core.data.dataset import load
from kd_core.data.survey import summarize
from kd_core.store.records import Store
from kd_core.teachers.labelling import TeacherPass
from kd_core.teachers.teacher import load_teacher
from sweeps.config.sweep import SweepSpec
from sweeps.engine.labelling import Labeller
from sweeps.plan.plan import Plan, TrialPlan, plan_sweep
from sweeps.plan.schedule import Labelling, Step, key_of
from sweeps.plan.sharing import SignalPlan
from sweeps.plan.teachers import TeacherPlan
from sweeps.search.steps import StepSearcher
from sweeps.terminal.progress import SweepProgress
from tests.benchmarks.harness import ray_cluster, threads, timed_sweep
from tests.products import finish

NUM_WORKERS = 2
MANY = (8, 64)
SHORT, LONG = 8, 40  # epochs of the teachers
EPOCHS = 30  # of the students
NETWORK = {"model": "test_resnet", "stem_stride": 1, "image_size": 16}
SPEC = {
    "name": "idle",
    "data": {"source": "digits", "validation": 0.1, "test": 0.1},
    "view": {"padding": 1, "flip": False},
    "teachers": {
        "short": NETWORK | {"finetune": {"epochs": SHORT, "batch_size": 32}},
        "long": NETWORK | {"finetune": {"epochs": LONG, "batch_size": 32}},
    },
    "student": {"model": "test_efficientnet", "stem_stride": 1, "image_size": 16},
    "train": {"epochs": EPOCHS, "batch_size": 32},
    "arms": [
        {"method": ["classic", "mixup"]},
        {"method": "kd_mixup", "teacher": ["short", "long"], "temperature": [1, 2, 4, 6, 8, 10]},
    ],
}


def measure() -> dict[str, Any]:
    """Wall time over the least possible (work shared evenly, or the longest path if that is longer) of a sweep of two
    teachers, one five times as long, two baselines and twelve trials on two workers; and by the same durations and the
    same schedule, simulated, on 8 and 64."""
    spec = SweepSpec.model_validate(SPEC)
    with tempfile.TemporaryDirectory() as name, ray_cluster(num_cpus=NUM_WORKERS):
        store = Store.at(Path(name))
        wall_s = timed_sweep(spec, store.local)
        plan = plan_sweep(spec, store, summarize(spec.data))
        seconds = _seconds_of_steps(plan)
    least_s = least(seconds, NUM_WORKERS)
    figures = {"wall_s": wall_s, "least_s": least_s, "wall_over_least": wall_s / least_s}
    for num_workers in MANY:
        simulated_s = simulate(spec, seconds, num_workers)
        figures[f"wall_over_least_{num_workers}"] = simulated_s / least(seconds, num_workers)
    return figures


@dataclass(frozen=True)
class Seconds:
    """The seconds of each teacher, of an epoch of each signal's labels by the teacher's name, and of each trial."""

    teachers: Mapping[str, float]
    labels: Mapping[str, float]
    trials: Mapping[str, float]
    taught_by: Mapping[str, str | None]


def _seconds_of_steps(plan: Plan) -> Seconds:
    """What each step of a finished sweep took by itself; of labels, as measured now."""
    dataset = load(plan.spec.data)
    labels = {}
    with threads(1):
        for signal in plan.signals:
            (teacher,) = (each for each in plan.teachers if each.name == signal.teacher)
            network = load_teacher(signal.network, teacher.product, dataset.num_classes)
            labelling = TeacherPass(signal.trial, dataset, network, "cpu")
            started = time.perf_counter()
            num_slots, size = labelling.num_samples, labelling.batch_size
            steps = [slice(start, min(start + size, num_slots)) for start in range(0, num_slots, size)]
            for _ in labelling.over(1, steps):
                pass
            labels[signal.teacher] = time.perf_counter() - started
    return Seconds(
        teachers={each.name: _wall_s(each) for each in plan.teachers},
        labels=labels,
        trials={each.trial.label: _wall_s(each) for each in plan.trials},
        taught_by={each.trial.label: each.trial.teacher for each in plan.trials},
    )


def _wall_s(step: TeacherPlan | TrialPlan) -> float:
    assert step.state.result is not None
    return step.state.result.wall_s


def least(seconds: Seconds, num_workers: int) -> float:
    """The least time in which so many workers can make a sweep: all busy, or along the longest path."""
    labels_s = {name: EPOCHS * each for name, each in seconds.labels.items()}
    work_s = sum(seconds.teachers.values()) + sum(labels_s.values()) + sum(seconds.trials.values())
    paths = [
        trial_s + (seconds.teachers[teacher] + labels_s[teacher] / min(num_workers, EPOCHS) if teacher else 0)
        for label, trial_s in seconds.trials.items()
        for teacher in [seconds.taught_by[label]]
    ]
    return max(work_s / num_workers, *paths)


@dataclass
class _Workers:
    """An engine whose workers only take time."""

    num_workers: int
    labeller: Labeller
    started: list[Step] = field(default_factory=list)

    def expect(self, step: Step) -> dict[str, Any]:
        """Keep a step that is to start."""
        self.started.append(step)
        return {"key": key_of(step)}

    def labellings(self, signal: SignalPlan, teacher: TeacherPlan) -> list[Labelling]:
        """The labelling of a signal, shared as on a cluster."""
        return self.labeller.labellings(signal, teacher)

    def give_up(self, planned: TrialPlan, needed: Step) -> None:
        """Nobody fails."""

    def propose(self, planned: TrialPlan, plan: Plan) -> None:
        """Nothing is searched."""

    def note(self, text: str) -> None:
        """Nothing is said."""

    def num_at_once(self) -> int:
        """The number of workers."""
        return self.num_workers

    def has_room_beside(self, running: Any) -> bool:
        """Whether a worker is free."""
        return len(list(running)) < self.num_workers


def simulate(spec: SweepSpec, seconds: Seconds, num_workers: int) -> float:
    """Seconds of a sweep whose steps take these, by its own schedule, on so many workers."""
    with tempfile.TemporaryDirectory() as name:
        store = Store.at(Path(name))
        plan = plan_sweep(spec, store, summarize(spec.data))
        workers = _Workers(num_workers, Labeller(plan, lambda: num_workers, SweepProgress(io.StringIO())))
        searcher = StepSearcher(plan, store, workers)
        ends, waiting, labelled_at, number, now = [], [], {}, 0, 0.0
        while True:
            while isinstance(searcher.suggest(str(number)), dict):
                waiting.append((str(number), workers.started[-1]))
                number += 1
            while waiting and len(ends) < num_workers:
                name, step = waiting.pop(0)
                searcher.schedule.started(step)
                heapq.heappush(ends, (_end_of(step, now, seconds, labelled_at), name))
            if not ends:
                return now
            now, name = heapq.heappop(ends)
            step = searcher.running[name]
            if isinstance(step, TeacherPlan):
                finish(step.product)
            searcher.on_trial_complete(name)


def _end_of(step: Step, now: float, seconds: Seconds, labelled_at: dict[str, float]) -> float:
    """When a step ends that starts now; labelled_at holds the end of each signal's labelling, by the teacher's name."""
    if isinstance(step, TeacherPlan):
        return now + seconds.teachers[step.name]
    if isinstance(step, Labelling):
        end = now + math.ceil(len(step.missing) / step.num_parts) * seconds.labels[step.teacher.name]
        labelled_at[step.teacher.name] = max(end, labelled_at.get(step.teacher.name, 0.0))
        return end
    trial_s = seconds.trials[step.trial.label]
    return max(now + trial_s, labelled_at.get(step.trial.teacher or "", 0.0) + trial_s / EPOCHS)
