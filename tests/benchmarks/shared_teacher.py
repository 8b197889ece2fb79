"""What a sweep of distillation trials costs where each of them runs the teacher, and where all share its signal."""

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.drawing.style import FAINT, MUTED, STYLE, TEACHER_COLOURS
from kd_core.data.dataset import load
from kd_core.networks.execution import for_inference, keep_freed_memory
from kd_core.store.records import Store
from kd_core.stream.vicinal import VicinalStream, batch_slots
from kd_core.teachers.teacher import load_teacher
from sweeps.config.arms import trials_of
from sweeps.config.sweep import SweepSpec
from tests.benchmarks.distillation import (
    CIFAR100,
    MISSING,
    TEACHER,
    finetune_teacher,
    store_with_teacher,
    sweep_spec,
    teacher_record,
    write_part,
)
from tests.benchmarks.harness import ray_cluster, threads, timed_sweep

DISTILLED = {"method": "kd_mixup", "teacher": TEACHER, "temperature": [2, 4, 8], "alpha": [0, 0.2]}
TEACHERLESS = {"method": "mixup"}
WAYS = ("live", "stored", "stored_bfloat16", "limit")
NUM_LABELLED = 512  # images a turn
TRIALS_PER_SEED = 6  # of DISTILLED, where TEACHERLESS has one


def measure(
    num_seeds: tuple[int, ...] = (2, 5), num_train: int = 3320, num_test: int = 200, num_epochs: int = 2
) -> dict[str, Any]:
    """Wall time of kd_mixup sweeps on real CIFAR-100, signal live against stored (in float32 and in bfloat16), and
    the limit: as many trials without a teacher plus one bare teacher pass. Both splits are cut, for trials this short
    would drown in 10,000 test images, less than 0.1 % of a real trial's work."""
    if not CIFAR100.is_dir():
        return MISSING
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, ray_cluster(os.cpu_count() or 1):
        folder = Path(name)
        write_part(folder / "data", num_train, num_test)
        finetune_teacher(folder / "data", folder / "teacher")
        for seeds in num_seeds:
            figures |= _measured(folder, seeds, num_epochs)
    return figures


def _measured(folder: Path, num_seeds: int, num_epochs: int) -> dict[str, Any]:
    """The figures of one size of sweep."""
    num_trials, data = num_seeds * TRIALS_PER_SEED, folder / "data"
    teacherless = sweep_spec(data, TEACHERLESS, num_trials, num_epochs)
    teacherless_s = timed_sweep(teacherless, folder / f"teacherless-{num_trials}")
    ways = {"stored": ("stored", "float32"), "stored_bfloat16": ("stored", "bfloat16"), "live": ("live", "float32")}
    specs = {way: sweep_spec(data, DISTILLED, num_seeds, num_epochs, *each) for way, each in ways.items()}
    seconds, weights = {}, {}
    for way, spec in specs.items():
        storage = store_with_teacher(folder / "teacher", folder / f"{way}-{num_trials}")
        seconds[way], weights[way] = timed_sweep(spec, storage), _weights(storage)
        assert (storage / "signals").exists() == (way != "live")
    seconds["limit"] = teacherless_s + _teacher_pass_s(specs["live"], folder / "teacher")
    figures = {
        "live_over_stored": seconds["live"] / seconds["stored"],
        "live_over_stored_bfloat16": seconds["live"] / seconds["stored_bfloat16"],
        "stored_over_limit": seconds["stored"] / seconds["limit"],
        "identical_results": weights["live"] == weights["stored"],
        **{f"{name}_s_per_trial": wall_s / num_trials for name, wall_s in seconds.items()},
        "teacherless_s_per_trial": teacherless_s / num_trials,
    }
    return {f"{name}_{num_trials}": figure for name, figure in figures.items()}


def _teacher_pass_s(spec: SweepSpec, storage: Path) -> float:
    """Seconds of the teacher's forward passes over every epoch of the stream, in a plain loop on all cores.

    The teacher is in the form in which it labels, the fastest one known in float32.
    """
    keep_freed_memory()
    dataset, trial = load(spec.data), trials_of(spec)[0].config
    teacher = load_teacher(spec.teachers[TEACHER], teacher_record(storage), dataset.num_classes)
    network = for_inference(teacher, "float32")
    stream = VicinalStream(trial.stream_seed, len(dataset.train), trial.mixup, trial.view)
    steps = batch_slots(len(dataset.train), trial.train.batch_size)
    batches = [batch.images for batch in dataset.train.views(trial.view, "cpu").batches(stream.epoch(1), steps)]
    with threads(os.cpu_count() or 1), torch.no_grad():
        network(batches[0])
        started = time.perf_counter()
        for images in batches * trial.train.epochs:
            network(images)
        return time.perf_counter() - started


def _weights(storage: Path) -> dict[str, str]:
    """The hash of each trial's student, by the trial's key."""
    manifests = {
        path.name: Store.at(storage).trial(path.name).state().manifest for path in (storage / "trials").iterdir()
    }
    return {key: manifest.weights_sha256 for key, manifest in manifests.items() if manifest is not None}


def draw(figures: dict[str, Any]) -> Figure:
    """The cost of each sweep as bars, in units of one trial without a teacher."""
    sizes = [int(name.removeprefix("limit_s_per_trial_")) for name in figures if name.startswith("limit_s_per_trial")]
    costs = {size: _costs(figures, size) for size in sizes}
    longest = max(cost for cost_of in costs.values() for cost in cost_of.values())
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(7.5, 0.8 + 1.45 * len(sizes)), dpi=72, layout="constrained")
        figure.suptitle(
            "What a sweep costs, in trials without a teacher\n"
            "live: the teacher runs in every trial; stored: one pass of the teacher serves all",
            x=0.01,
            ha="left",
            fontsize=9.5,
        )
        for axes, size in zip(figure.subplots(len(sizes), squeeze=False).flat, sizes, strict=True):
            _draw_sweep(axes, size, costs[size])
            axes.set_xlim(0, 1.22 * longest)
    return figure


def _costs(figures: dict[str, Any], num_trials: int) -> dict[str, float]:
    """What a sweep of one size costs by each way, in trials without a teacher."""
    unit = figures[f"teacherless_s_per_trial_{num_trials}"] / num_trials
    return {name: figures[f"{name}_s_per_trial_{num_trials}"] / unit for name in WAYS}


def _draw_sweep(axes: Axes, num_trials: int, costs: dict[str, float]) -> None:
    """A bar for each way of one size of sweep, and the limit, of which the darker part is the trials."""
    axes.barh(list(costs), list(costs.values()), color=[MUTED, *TEACHER_COLOURS[:1] * 2, FAINT], height=0.72)
    axes.barh(["limit"], [num_trials], color=MUTED, height=0.72)
    notes = {
        "live": f"{costs['live'] / costs['stored']:.1f} × stored",
        "stored": f"{costs['stored'] / costs['limit']:.2f} × limit",
        "stored_bfloat16": "the teacher in bfloat16",
        "limit": f"{num_trials} trials and one teacher pass",
    }
    for name, cost in costs.items():
        for text, offset, weight in ((f"{cost:.0f}", 5, "bold"), (notes[name], 34, "normal")):
            place = {"xytext": (offset, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(text, (cost, name), fontweight=weight, **place)
    axes.set_title(f"{num_trials} trials", loc="left", fontweight="bold")
    axes.set_xticks([])
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
