"""How fast a teacher labels mixed images in either precision."""

import os
import statistics
import tempfile
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

from kd_core.data.dataset import load
from kd_core.networks.execution import keep_freed_memory
from kd_core.stream.vicinal import batch_slots
from kd_core.teachers.labelling import TeacherPass
from kd_core.teachers.teacher import load_teacher
from sweeps.config.arms import trials_of
from tests.benchmarks.distillation import (
    CIFAR100,
    MISSING,
    TEACHER,
    finetune_teacher,
    sweep_spec,
    teacher_record,
    write_part,
)
from tests.benchmarks.harness import Turn, median_ratio, ray_cluster, seconds_by_turns

DISTILLED = {"method": "kd_mixup", "teacher": TEACHER}
NUM_LABELLED = 512  # images a turn


def measure(num_repetitions: int = 20, num_train: int = 1660) -> dict[str, Any]:
    """Images a second of one thread that labels real CIFAR-100 by a ResNet-18 with stem stride 1, rendering included,
    in float32 and in bfloat16, by turns."""
    if not CIFAR100.is_dir():
        return MISSING
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_part(folder / "data", num_train, num_test=200)
        with ray_cluster(os.cpu_count() or 1):
            finetune_teacher(folder / "data", folder / "teacher")
        turns = {each: partial(labelling_turns, folder, each) for each in ("float32", "bfloat16")}
        seconds = seconds_by_turns(turns, num_repetitions)
    return {"bfloat16_over_float32": median_ratio(seconds["float32"], seconds["bfloat16"])} | {
        f"{precision}_images_per_s": NUM_LABELLED / statistics.median(each) for precision, each in seconds.items()
    }


def labelling_turns(folder: Path, precision: str) -> Turn:
    """Each turn labels the same few batches, as a labelling task of a sweep does."""
    keep_freed_memory()
    spec = sweep_spec(folder / "data", DISTILLED, 1, 1, precision=precision)
    dataset, trial = load(spec.data), trials_of(spec)[0].config
    network = load_teacher(spec.teachers[TEACHER], teacher_record(folder / "teacher"), dataset.num_classes)
    teacher_pass = TeacherPass(trial, dataset, network, "cpu")
    steps = batch_slots(NUM_LABELLED, trial.train.batch_size)
    return lambda: deque(teacher_pass.over(1, steps), maxlen=0)
