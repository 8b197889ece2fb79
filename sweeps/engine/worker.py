"""Code that runs in Ray workers: trials as Tune trainables, teachers' fine-tuning and labelling as Ray tasks.

None of these returns a result: results are in the records, and reports only show progress. One more task measures the
memory of trials before they run.
"""

import os
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any

# Read when torch is first imported: waiting threads release their cores instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import ray
import torch
from ray import tune

from kd_core.config.evaluation import EvaluateConfig
from kd_core.config.identity import digest, trial_identity
from kd_core.config.networks import FusedTeacherConfig, TeacherConfig
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset
from kd_core.evaluate.evaluated import EvaluatedModel, Question
from kd_core.evaluate.footprint import Footprint, footprint, forget_peak, largest
from kd_core.evaluate.inputs import SETS, Source
from kd_core.evaluate.suite import answer, make_outputs
from kd_core.networks.execution import keep_freed_memory, return_freed_memory
from kd_core.networks.models import Network
from kd_core.store.lease import Holder
from kd_core.store.product import Product
from kd_core.store.records import Store
from kd_core.store.signal_record import SignalRecord
from kd_core.teachers.labelling import TeacherPass, label_epochs
from kd_core.teachers.signal import FusedSignal, LiveSignal, StoredSignal, TeacherSignal
from kd_core.teachers.teacher import load_teacher
from kd_core.training.loop import EpochResult, first_steps
from kd_core.training.trial import WAIT_S, run_trial
from sweeps.config.sweep import ResourcesConfig


class TrialTrainable(tune.Trainable):
    """Runs one trial after another in one actor, which gets the dataset once, through the object store.

    The config is {"trial": {"key", "config": TrialConfig as JSON, "teachers", "identity", "made_from":
    `kd_core.store.manifest.MadeFrom`}}; of each of its teachers, {"key", "signal": the identity of a stored signal, or
    None for a live one, "made_from"}. A trial with an error is tried again `retries` times; then the error is reported
    as an outcome, so that the actor and the sweep continue.
    """

    def setup(
        self, config: dict[str, Any], dataset: Dataset, storage: str, resources: dict[str, float], retries: int = 0
    ) -> None:
        """Take the shared dataset and start the first trial."""
        self.retries = retries
        self.dataset, self.store = dataset, Store.at(storage)
        self.teachers: dict[tuple[str, str], Network] = {}
        self.device = device_of(resources)
        self.num_threads = int(resources["threads"])
        self._start(config["trial"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial in the same actor."""
        self.cleanup()
        self._start(new_config["trial"])
        return True

    def cleanup(self) -> None:
        """Leave the trial; one that was stopped early writes its checkpoint and lets its record go."""
        with suppress(Exception):  # its error is in its record
            self.epochs.close()

    def _start(self, trial: dict[str, Any]) -> None:
        self.trial, self.num_failures = trial, 0
        self.product = self.store.trial(self.trial["key"])
        self._begin()

    def _begin(self) -> None:
        torch.cuda.empty_cache()  # release the memory of what ran before to others on the GPU
        self.begun, self.epochs = False, self._epochs(self.trial)

    def _epochs(self, trial: dict[str, Any]) -> Generator[EpochResult]:
        config = TrialConfig.model_validate(trial["config"])
        needed = zip(config.teachers, trial["teachers"], strict=True)
        self.needed = {(given["key"], teacher.precision) for teacher, given in needed}
        try:
            signal = _signal(config, trial, self.store, self._teacher)
        except Exception as error:  # before the record begins
            self.product.fail(f"{type(error).__name__}: {error}", traceback.format_exc())
            raise
        yield from run_trial(
            config,
            self.dataset,
            self.product,
            signal=signal,
            device=self.device,
            num_threads=self.num_threads,
            identity=trial["identity"],
            made_from=trial["made_from"],
        )

    def _teacher(self, config: TeacherConfig, key: str) -> Network:
        """A teacher, cached from trial to trial as long as none of them needs another one."""
        form = key, config.precision
        if form not in self.teachers:
            for other in self.teachers.keys() - self.needed:
                del self.teachers[other]
            network = load_teacher(config, self.store.teacher(key), self.dataset.num_classes)
            self.teachers[form] = network.to(self.device)
        return self.teachers[form]

    def step(self) -> dict[str, Any]:
        """Train one epoch, or report that the trial waits for another process, is tried again, or is done."""
        if not self.begun and (holder := other_at_work(self.product)):
            time.sleep(WAIT_S)
            return {"done": False, "status": "waiting", "holder": str(holder)}
        self.begun = True
        try:
            result = next(self.epochs)
        except StopIteration:
            return {"done": True, "status": self.product.status}
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self.product.lease.release()  # which is not done yet if the product could not begin
        else:
            return self._report(result)
        if self.num_failures == self.retries:
            return {"done": True, "status": "failed", "error": reason}
        self.num_failures += 1
        self._begin()
        return {"done": False, "status": "again", "error": reason}

    def _report(self, result: EpochResult) -> dict[str, Any]:
        return {"done": False, "status": "running", "epoch": result.epoch, **result.figures}

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


def finetune_teacher(finetuning: TrialConfig, dataset: Dataset, product: Product, resources: dict[str, float]) -> None:
    """Fine-tune one teacher unless it is finished or another process does; an error is also written to its folder."""
    if other_at_work(product) is not None:
        return
    try:
        identity = trial_identity(finetuning, dataset.fingerprint)
        device = device_of(resources)
        for _ in run_trial(finetuning, dataset, product, device=device, identity=identity):
            pass
    finally:
        product.lease.release()


def label_signal(
    trial: TrialConfig,
    dataset: Dataset,
    signal: SignalRecord,
    teacher: Product,
    epochs: Sequence[int],
    resources: dict[str, float],
) -> None:
    """Label the missing epochs of the signal of a trial; the teacher is loaded at most once."""

    def make() -> TeacherPass:
        """The teacher's pass, which is needed only if an epoch is missing."""
        (config,) = trial.teachers
        network = load_teacher(config, teacher, dataset.num_classes)
        return TeacherPass(trial, dataset, network, device_of(resources))

    for _ in label_epochs(signal, epochs, make):
        pass


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


def measure_trial(trial: dict[str, Any], dataset: Dataset, storage: str, resources: dict[str, float]) -> Footprint:
    """The memory of a trial's first steps; trial is the one in the config of a TrialTrainable."""
    config, store, device = TrialConfig.model_validate(trial["config"]), Store.at(storage), device_of(resources)

    def load(teacher: TeacherConfig, key: str) -> Network:
        """A teacher of the store, on the device."""
        return load_teacher(teacher, store.teacher(key), dataset.num_classes).to(device)

    return_freed_memory()
    forget_peak()
    signal = _signal(config, trial, store, load)
    steps = first_steps(config, dataset, signal, device=device)
    return largest([footprint(device) for _ in steps])


def _signal(
    config: TrialConfig, trial: dict[str, Any], store: Store, load: Callable[[TeacherConfig, str], Network]
) -> TeacherSignal | None:
    """The teacher signal of a trial, or None; `load` loads a live teacher by its config and key."""
    signals = [_signal_of(*each, store, load) for each in zip(config.teachers, trial["teachers"], strict=True)]
    return FusedSignal(signals) if isinstance(config.teacher, FusedTeacherConfig) else next(iter(signals), None)


def _signal_of(
    teacher: TeacherConfig, given: dict[str, Any], store: Store, load: Callable[[TeacherConfig, str], Network]
) -> TeacherSignal:
    """The signal of one teacher, or member of a fused one; given is what the trial's config says of it."""
    if (identity := given["signal"]) is not None:
        return StoredSignal(store.signal(digest(identity)), identity | {"made_from": given["made_from"]})
    return LiveSignal(load(teacher, given["key"]), teacher.precision)


def device_of(resources: dict[str, float]) -> str:
    """The device of a worker; also sets its number of threads and lets it keep freed memory."""
    keep_freed_memory()
    torch.set_num_threads(int(resources["threads"]))
    return "cuda" if resources["gpu"] > 0 and torch.cuda.is_available() else "cpu"
