"""Code that runs in Ray workers: trials as Tune trainables, teachers' fine-tuning and labelling as Ray tasks.

None of these returns a result: results are in the records, and reports only show progress. One more task measures the
memory of trials before they run.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

# Read when torch is first imported: waiting threads release their cores instead of spinning.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import ray
import torch
from ray import tune

from kd_core.data.dataset import Dataset
from kd_core.footprint import Footprint, footprint, forget_peak, largest
from kd_core.labelling import TeacherPass, label_epochs
from kd_core.networks.execution import keep_freed_memory, return_freed_memory
from kd_core.networks.models import Network
from kd_core.networks.teacher import load_teacher
from kd_core.signal import LiveSignal, StoredSignal, TeacherSignal
from kd_core.spec.config import TeacherConfig, TrialConfig
from kd_core.spec.keys import digest
from kd_core.store.records import Record, Store
from kd_core.store.signal_record import SignalRecord
from kd_core.training import EpochResult, first_steps
from kd_core.trial import run_trial
from sweeps.spec.sweep_config import ResourcesConfig


class TrialTrainable(tune.Trainable):
    """Runs one trial after another in one actor, which gets the dataset once, through the object store.

    The config is {"trial": {"key", "config": TrialConfig as JSON, "teacher_key": key or None, "signal": the identity of
    a stored signal, or None for a live one}}. An error in a trial is written to its record and reported as an outcome,
    so that the actor and the sweep continue.
    """

    def setup(self, config: dict[str, Any], dataset: Dataset, storage: str, resources: dict[str, float]) -> None:
        """Take the shared dataset and start the first trial."""
        self.dataset, self.store = dataset, Store.at(storage)
        self.teachers: dict[tuple[str, str], Network] = {}
        self.device, self.num_workers = device_of(resources), int(resources["workers"])
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial in the same actor."""
        trial = new_config["trial"]
        self.record = self.store.trial(trial["key"])
        torch.cuda.empty_cache()  # release the last trial's memory to others on the GPU
        self.epochs = self._epochs(trial)
        return True

    def _epochs(self, trial: dict[str, Any]) -> Iterator[EpochResult]:
        config = TrialConfig.model_validate(trial["config"])
        signal = _signal(config, trial, self.store, self._teacher)
        yield from run_trial(
            config, self.dataset, self.record, signal=signal, device=self.device, num_workers=self.num_workers
        )

    def _teacher(self, config: TeacherConfig, key: str) -> Network:
        """The teacher, cached from trial to trial while its key and precision stay the same."""
        form = key, config.precision
        if form not in self.teachers:
            self.teachers.clear()
            network = load_teacher(config, self.store.teacher(key), self.dataset.num_classes)
            self.teachers[form] = network.to(self.device)
        return self.teachers[form]

    def step(self) -> dict[str, Any]:
        """Train one epoch, or report that the trial is done and its status."""
        try:
            result = next(self.epochs)
        except StopIteration:
            return {"done": True, "status": self.record.status}
        except Exception as error:
            if self.record.failure() is None:  # it failed before the record began, e.g. at its teacher
                self.record.fail(f"{type(error).__name__}: {error}", "")
            return {"done": True, "status": "failed"}
        return {"done": False, "status": "running", "epoch": result.epoch, **result.figures}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Save nothing: the record holds the checkpoint."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Load nothing: the record holds the checkpoint."""


def task_of(function: Callable[..., Any], resources: ResourcesConfig, max_retries: int) -> Any:
    """A function as a Ray task; on a GPU, its process ends with the task and releases its GPU memory.

    (Ray does so only if the GPU is requested here, not in `options`.)
    """
    return ray.remote(num_cpus=resources.cpu, num_gpus=resources.gpu, max_retries=max_retries)(function)


def finetune_teacher(finetuning: TrialConfig, dataset: Dataset, record: Record, resources: dict[str, float]) -> None:
    """Fine-tune one teacher unless it is finished; errors are in its record, and a retry would repeat them."""
    with suppress(Exception):
        workers = int(resources["workers"])
        for _ in run_trial(finetuning, dataset, record, device=device_of(resources), num_workers=workers):
            pass


def label_signal(
    trial: TrialConfig,
    dataset: Dataset,
    signal: SignalRecord,
    teacher: Record,
    epochs: Sequence[int],
    resources: dict[str, float],
) -> None:
    """Label the missing epochs of the signal of a trial; the teacher is loaded at most once."""

    def make() -> TeacherPass:
        assert trial.teacher is not None
        network = load_teacher(trial.teacher, teacher, dataset.num_classes)
        return TeacherPass(trial, dataset, network, device_of(resources), int(resources["workers"]))

    for _ in label_epochs(signal, epochs, make):
        pass


def measure_trial(trial: dict[str, Any], dataset: Dataset, storage: str, resources: dict[str, float]) -> Footprint:
    """The memory of a trial's first steps; trial is the one in the config of a TrialTrainable."""
    config, store, device = TrialConfig.model_validate(trial["config"]), Store.at(storage), device_of(resources)

    def load(teacher: TeacherConfig, key: str) -> Network:
        return load_teacher(teacher, store.teacher(key), dataset.num_classes).to(device)

    return_freed_memory()
    forget_peak()
    signal = _signal(config, trial, store, load)
    steps = first_steps(config, dataset, signal, device=device, num_workers=int(resources["workers"]))
    return largest([footprint(device) for _ in steps])


def _signal(
    config: TrialConfig, trial: dict[str, Any], store: Store, load: Callable[[TeacherConfig, str], Network]
) -> TeacherSignal | None:
    """The teacher signal of a trial, or None; `load` loads a live teacher by its config and key."""
    if trial["signal"] is not None:
        return StoredSignal(store.signal(digest(trial["signal"])), trial["signal"])
    if config.teacher is not None and trial["teacher_key"] is not None:
        return LiveSignal(load(config.teacher, trial["teacher_key"]), config.teacher.precision)
    return None


def device_of(resources: dict[str, float]) -> str:
    """The device of a worker; also limits its threads to its cores and lets it keep freed memory."""
    keep_freed_memory()
    torch.set_num_threads(max(1, int(resources["cpu"])))
    return "cuda" if resources["gpu"] > 0 and torch.cuda.is_available() else "cpu"
