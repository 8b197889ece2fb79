"""Code that runs in Ray workers: the steps of a sweep as a Tune trainable, and evaluations as Ray tasks.

None of these returns a result: results are in the records, and reports only show progress. One more task measures the
memory of trials before they run.
"""

import os
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

# Read when torch is first imported: waiting threads release their cores instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import ray
import torch
from ray import tune

from kd_core.config.evaluation import EvaluateConfig
from kd_core.config.identity import digest
from kd_core.config.networks import FusedTeacherConfig, TeacherConfig
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset
from kd_core.evaluate.evaluated import EvaluatedModel, Question
from kd_core.evaluate.footprint import Footprint, footprint, forget_peak, largest
from kd_core.evaluate.inputs import SETS, Source
from kd_core.evaluate.suite import answer, make_outputs
from kd_core.networks.execution import keep_freed_memory, return_freed_memory
from kd_core.networks.models import Network, build_teacher
from kd_core.store.lease import Holder
from kd_core.store.product import Product
from kd_core.store.records import Store
from kd_core.teachers.labelling import LabelledSignal, TeacherPass, label_epochs
from kd_core.teachers.signal import BlankSignal, FusedSignal, LiveSignal, TeacherSignal
from kd_core.teachers.teacher import load_teacher
from kd_core.training.loop import first_steps
from kd_core.training.trial import WAIT_S, run_trial
from sweeps.config.sweep import ResourcesConfig


class StepTrainable(tune.Trainable):
    """Runs one step of a sweep after another in one actor, which gets the dataset once, through the object store.

    The config is {"step": {"kind": "teacher", "trial" or "signal", "key", "config": TrialConfig as JSON, "teachers":
    [{"key"}], "resources"}}. A teacher and a trial also have "identity", "made_from"
    (`kd_core.store.manifest.MadeFrom`) and "rungs", epochs that need validation figures; of each of its teachers, a
    trial also has "signal", the identity of a stored signal, or None for a live one, and "made_from". A signal has the
    "epochs" to label. A step with an error is tried again `retries` times; then the error is reported as an outcome, so
    that the actor and the sweep continue.
    """

    def setup(self, config: dict[str, Any], dataset: Dataset, storage: str, retries: int = 0) -> None:
        """Take the shared dataset and start the first step."""
        self.retries = retries
        self.dataset, self.store = dataset, Store.at(storage)
        self.teachers: dict[tuple[str, str], Network] = {}
        self._start(config["step"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next step in the same actor."""
        self.cleanup()
        self._start(new_config["step"])
        return True

    def cleanup(self) -> None:
        """Leave the step; a trial that was stopped early writes its checkpoint and lets its record go."""
        with suppress(Exception):  # its error is in its record
            self.reports.close()

    def _start(self, given: dict[str, Any]) -> None:
        self.given, self.num_failures = given, 0
        self.recipe = TrialConfig.model_validate(given["config"])
        self.device = device_of(given["resources"])
        teachers = zip(given["teachers"], self.recipe.teachers, strict=True)
        self.needed = {(each["key"], teacher.precision) for each, teacher in teachers}
        self._begin()

    def _begin(self) -> None:
        torch.cuda.empty_cache()  # release the memory of what ran before to others on the GPU
        self.reports = self._labelled() if self.given["kind"] == "signal" else self._trained()

    def _trained(self) -> Generator[dict[str, Any]]:
        """Train a teacher or a trial, and report each epoch, and that it waits for another process."""
        given, product = self.given, self._product
        while holder := other_at_work(product):
            yield {"status": "waiting", "holder": str(holder)}
            time.sleep(WAIT_S)
        try:
            signal = self._signal()
        except Exception as error:  # before the record begins
            product.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
            raise
        made: dict[str, Any] = {name: given[name] for name in ("identity", "made_from", "rungs")}
        made |= {"signal": signal, "device": self.device, "num_threads": int(given["resources"]["threads"])}
        for epoch in run_trial(self.recipe, self.dataset, product, **made):
            yield {"status": "running", "epoch": epoch.epoch, **epoch.figures}

    def _labelled(self) -> Generator[dict[str, Any]]:
        """Label epochs of a signal, and report each; the teacher is loaded at most once."""
        record = self.store.signal(self.given["key"])
        (teacher,), (given,) = self.recipe.teachers, self.given["teachers"]
        make = partial(self._teacher_pass, teacher, given["key"])
        for epoch in label_epochs(record, self.given["epochs"], make):
            yield {"status": "running", "labelled": epoch}

    def step(self) -> dict[str, Any]:
        """Train or label one epoch, or report that the step waits for another process, is tried again, or is done."""
        try:
            return {"done": False} | next(self.reports)
        except StopIteration:
            return {"done": True, "status": "ended"}
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if self.given["kind"] != "signal":
                self._product.lease.release()  # which is not done yet if the product could not begin
        if self.num_failures == self.retries:
            return {"done": True, "status": "failed", "error": reason}
        self.num_failures += 1
        self._begin()
        return {"done": False, "status": "again", "error": reason}

    @property
    def _product(self) -> Product:
        products = {"teacher": self.store.teacher, "trial": self.store.trial}
        return products[self.given["kind"]](self.given["key"])

    def _signal(self) -> TeacherSignal | None:
        """What a trial learns from, or None."""
        given = zip(self.recipe.teachers, self.given["teachers"], strict=True)
        return _signal_in(self.recipe, [self._signal_of(teacher, each) for teacher, each in given])

    def _signal_of(self, teacher: TeacherConfig, given: dict[str, Any]) -> TeacherSignal:
        """The signal of one teacher, or member of a fused one; given is what the step says of it."""
        if (identity := given["signal"]) is None:
            return LiveSignal(self._teacher(teacher, given["key"]), teacher.precision)
        record, manifest = self.store.signal(digest(identity)), identity | {"made_from": given["made_from"]}
        return LabelledSignal(record, manifest, partial(self._teacher_pass, teacher, given["key"]))

    def _teacher_pass(self, teacher: TeacherConfig, key: str) -> TeacherPass:
        """What labels the images of the step by one of its teachers."""
        network = self._teacher(teacher, key)
        return TeacherPass(self.recipe.taught_by(teacher), self.dataset, network, self.device)

    def _teacher(self, config: TeacherConfig, key: str) -> Network:
        """A teacher, cached from step to step as long as none of them needs another one."""
        form = key, config.precision
        if form not in self.teachers:
            for other in self.teachers.keys() - self.needed:
                del self.teachers[other]
            network = load_teacher(config, self.store.teacher(key), self.dataset.num_classes)
            self.teachers[form] = network.to(self.device)
        return self.teachers[form]

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: the record holds the checkpoint."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing: the record holds the checkpoint."""


def other_at_work(product: Product) -> Holder | None:
    """The other living process that works on an unfinished product, or None."""
    holder = product.lease.holder
    if holder is None or holder.is_this_process or product.status == "finished":
        return None
    return holder


def task_of(function: Callable[..., Any], resources: ResourcesConfig) -> Any:
    """A function as a Ray task, never retried; on a GPU, its process ends with it and releases its GPU memory.

    (Ray does so only if the GPU is requested here, not in `options`.)
    """
    return ray.remote(num_cpus=resources.cpu, num_gpus=resources.gpu, max_retries=0)(function)


def run_models(
    name: str, models: Sequence[EvaluatedModel], config: EvaluateConfig, dataset: Dataset, resources: dict[str, float]
) -> None:
    """Run some models on the set of inputs of this name."""
    make_outputs(SETS[name](Source(dataset, config)), models, device_of(resources))


def answer_questions(
    questions: Sequence[Question], config: EvaluateConfig, class_names: tuple[str, ...], resources: dict[str, float]
) -> None:
    """Write the answers to some questions."""
    device_of(resources)
    for question in questions:
        answer(question, config, class_names)


def measure_trial(
    config: TrialConfig, stored: Sequence[bool], dataset: Dataset, resources: dict[str, float]
) -> Footprint:
    """The memory of a trial's first steps; stored says of each of its teachers whether the trial reads its logits.

    What it learns is not needed for that: its teachers have no weights yet, and stored logits are zeros.
    """
    device = device_of(resources)
    return_freed_memory()
    forget_peak()
    signals: list[TeacherSignal] = []
    for teacher, is_stored in zip(config.teachers, stored, strict=True):
        network = None if is_stored else build_teacher(teacher.untrained, dataset.num_classes).to(device)
        signals.append(LiveSignal(network, teacher.precision) if network else BlankSignal(dataset.num_classes))
    steps = first_steps(config, dataset, _signal_in(config, signals), device=device)
    return largest([footprint(device) for _ in steps])


def _signal_in(config: TrialConfig, signals: Sequence[TeacherSignal]) -> TeacherSignal | None:
    """What a trial learns from, by the signal of each of its teachers: their one, all of them fused, or none."""
    return FusedSignal(signals) if isinstance(config.teacher, FusedTeacherConfig) else next(iter(signals), None)


def device_of(resources: dict[str, float]) -> str:
    """The device of a worker; also sets its number of threads and lets it keep freed memory."""
    keep_freed_memory()
    torch.set_num_threads(int(resources["threads"]))
    return "cuda" if resources["gpu"] > 0 and torch.cuda.is_available() else "cpu"
