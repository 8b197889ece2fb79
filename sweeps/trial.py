"""Where Ray meets kd_core: a trial as a Tune trainable, a teacher's fine-tuning as a Ray task.

Neither returns a result: what they produce is in the records, and what they report is only for watching.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import ray
import torch
from ray import tune

from kd_core.config import TeacherConfig, TrialConfig
from kd_core.data import Dataset
from kd_core.models import Network
from kd_core.records import Record, Store
from kd_core.signal import LiveSignal
from kd_core.teacher import load_teacher
from kd_core.training import EpochResult
from kd_core.trial import run_trial


class TrialTrainable(tune.Trainable):
    """One trial after another in one actor: the data set comes once, through the object store.

    The config is {"trial": {"key", "config": TrialConfig as JSON, "teacher_key": key or None}}. An error in a trial is
    written to its record and reported as an outcome, so that the actor lives on and the sweep with it.
    """

    def setup(self, config: dict[str, Any], dataset: Dataset, storage: str, resources: dict[str, float]) -> None:
        """Take the shared data set and start the first trial."""
        self.dataset, self.store = dataset, Store.at(storage)
        self.teachers: dict[str, Network] = {}
        self.device, self.num_workers = device_of(resources), int(resources["workers"])
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start the next trial in the same actor."""
        trial = new_config["trial"]
        self.record = self.store.trial(trial["key"])
        self.epochs = self._epochs(TrialConfig.model_validate(trial["config"]), trial["teacher_key"])
        return True

    def _epochs(self, config: TrialConfig, teacher_key: str | None) -> Iterator[EpochResult]:
        signal = None
        if config.teacher is not None and teacher_key is not None:
            signal = LiveSignal(self._teacher(config.teacher, teacher_key))
        yield from run_trial(
            config, self.dataset, self.record, signal=signal, device=self.device, num_workers=self.num_workers
        )

    def _teacher(self, config: TeacherConfig, key: str) -> Network:
        """The teacher, kept from trial to trial as long as it is the same one."""
        if key not in self.teachers:
            self.teachers.clear()
            network = load_teacher(config, self.store.teacher(key), self.dataset.num_classes)
            self.teachers[key] = network.to(self.device)
        return self.teachers[key]

    def step(self) -> dict[str, Any]:
        """Train one epoch, or report that the trial is done and with what status."""
        try:
            result = next(self.epochs)
        except StopIteration:
            return {"done": True, "status": self.record.status}
        except Exception as error:
            if self.record.failure() is None:  # it failed before the record began, at its teacher say
                self.record.fail(f"{type(error).__name__}: {error}", "")
            return {"done": True, "status": "failed"}
        return {"done": False, "status": "running", "epoch": result.epoch, **result.figures}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing for Tune to keep: the record holds the checkpoint."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing to read: the record holds the checkpoint."""


@ray.remote
def finetune_teacher(finetuning: TrialConfig, dataset: Dataset, record: Record, resources: dict[str, float]) -> None:
    """Bring one teacher's record up to date; an error is in the record, and retrying would repeat it."""
    with suppress(Exception):
        workers = int(resources["workers"])
        for _ in run_trial(finetuning, dataset, record, device=device_of(resources), num_workers=workers):
            pass


def device_of(resources: dict[str, float]) -> str:
    """The device of a worker with these resources; its CPU threads are limited to its share."""
    torch.set_num_threads(max(1, int(resources["cpu"])))
    return "cuda" if resources["gpu"] > 0 and torch.cuda.is_available() else "cpu"
