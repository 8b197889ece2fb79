"""A teacher's pass over the vicinal stream: its logits on every slot, stored epoch by epoch."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kd_core.config.errors import SignalError
from kd_core.config.trial import TrialConfig
from kd_core.data.dataset import Dataset
from kd_core.networks.models import Network
from kd_core.store.signal_record import SignalRecord
from kd_core.stream.vicinal import VicinalStream, ViewSource, all_slots
from kd_core.teachers.signal import LiveSignal, StoredSignal

WAIT_S = 0.2
_PATIENCE_S = 10.0  # after which an epoch that nobody labels is not expected any more
_GPU_SHARE = 0.6  # of the free memory of a GPU, for one batch of the teacher


class TeacherPass:
    """Runs a teacher over the vicinal stream of a trial, on all slots of any epoch.

    On a CPU, the batches are those of the trial, so that a student trained on stored logits equals one trained with the
    live teacher, bit for bit; on a GPU, they are as large as its memory allows.
    """

    def __init__(self, config: TrialConfig, dataset: Dataset, teacher: Network, device: torch.device | str) -> None:
        (teacher_config,) = config.teachers
        self.config, self.device, self.num_samples = config, torch.device(device), config.num_images(dataset)
        self.num_classes = dataset.num_classes
        self.stream = VicinalStream(config.stream_seed, self.num_samples, config.mixup, config.view)
        self.source: ViewSource = dataset.train.views(config.view, device)
        self.signal = LiveSignal(teacher.to(device), teacher_config.precision)
        self.batch_size = config.train.batch_size
        if self.device.type == "cuda":
            self.batch_size = self._fitted_batch_size()

    def over(self, epoch: int, steps: Sequence[slice]) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield slots of an epoch and the teacher's logits, float16 [B, K]; raises SignalError if not finite."""
        batches = self.source.batches(self.stream.epoch(epoch), steps)
        for slots, batch in zip(steps, batches, strict=True):
            logits = self.signal.logits(epoch, slots, batch.images).half().cpu().numpy()
            if not np.isfinite(logits).all():
                where = f"epoch {epoch}, slots {slots.start} to {slots.stop - 1}"
                raise SignalError(f"{where}: the teacher's logits do not fit float16; fine-tune it anew")
            yield slots, logits

    def _fitted_batch_size(self) -> int:
        """A multiple of the training batch that takes _GPU_SHARE of the free GPU memory, measured on one."""
        size = self.batch_size
        (batch,) = self.source.batches(self.stream.epoch(1), all_slots(self.num_samples, size)[:1])
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self.signal.logits(1, slice(0, size), batch.images)
        needed = torch.cuda.max_memory_allocated(self.device) - before
        free, _ = torch.cuda.mem_get_info(self.device)
        return size * max(1, min(int(_GPU_SHARE * free / max(1, needed)), 16))


def label_epochs(record: SignalRecord, epochs: Iterable[int], make: Callable[[], TeacherPass]) -> Iterator[int]:
    """Label the epochs that are not stored, and yield each epoch once it is stored.

    `make` loads the teacher when the first epoch has to be labelled. An epoch that another living process is labelling
    is skipped until it is stored or that process dies. After a kill, an epoch is stored completely or not at all.
    """
    teacher_pass, open_epochs = None, deque(epochs)
    while open_epochs:
        epoch = open_epochs.popleft()
        lease = record.lease(epoch)
        if record.has(epoch):
            yield epoch
        elif not lease.take():
            open_epochs.append(epoch)
            time.sleep(WAIT_S)
        else:
            with lease.held() as progress:
                teacher_pass = teacher_pass or make()
                _label(teacher_pass, record, epoch, progress)
            yield epoch
    record.tidy()


def _label(teacher_pass: TeacherPass, record: SignalRecord, epoch: int, progress: dict[str, int]) -> None:
    count = teacher_pass.num_samples
    with record.writing(epoch, count, teacher_pass.num_classes) as stored:
        for slots, logits in teacher_pass.over(epoch, all_slots(count, teacher_pass.batch_size)):
            stored[slots] = logits
            progress["done"] = slots.stop


class LabelledSignal(StoredSignal):
    """A stored signal whose labelling may still go on: it waits for an epoch that is to come.

    An epoch that is missing while nobody labels the signal is labelled here; `make` loads the teacher for that.
    """

    def __init__(self, record: SignalRecord, manifest: dict[str, Any], make: Callable[[], TeacherPass]) -> None:
        super().__init__(record, manifest)
        self._make = make

    def load(self, epoch: int) -> np.ndarray:
        """The logits of an epoch once they are stored, float16 [N, K]; raises SignalError if they are damaged."""
        try:
            return super().load(epoch)
        except SignalError:
            if self.record.has(epoch):
                raise
        self._wait_for(epoch)
        with torch.random.fork_rng(devices=[]):  # a teacher is built with random weights first
            for _ in label_epochs(self.record, [epoch], self._make):
                pass
        return super().load(epoch)

    def _wait_for(self, epoch: int) -> None:
        """Wait until an epoch is stored, or nobody labels the signal any more."""
        last = time.monotonic() + _PATIENCE_S
        while not self.record.has(epoch) and time.monotonic() < last:
            time.sleep(WAIT_S)
            if self.record.being_labelled:
                last = time.monotonic() + _PATIENCE_S


@dataclass(frozen=True)
class Replay:
    """Differences between stored logits and the teacher's logits now, on num_slots sampled slots of some epochs."""

    num_slots: int
    epochs: tuple[int, ...]
    max_error: float
    mean_error: float
    argmax_flips: int


def replay(record: SignalRecord, teacher_pass: TeacherPass, num_slots: int, seed: int = 0) -> Replay:
    """Run the teacher again on a random sample of the stored slots; raises SignalError for a damaged epoch.

    The sample consists of whole batches of the labelling batch size, each from a random place in a random epoch.
    """
    generator, stored = np.random.default_rng(seed), sorted(record.epochs())
    batches = all_slots(teacher_pass.num_samples, teacher_pass.batch_size)
    num_batches = min(max(1, round(num_slots / teacher_pass.batch_size)), len(stored) * len(batches))
    places = generator.choice(len(stored) * len(batches), num_batches, replace=False)
    errors, flips = [], 0
    for place in np.sort(places).tolist():
        epoch = stored[place // len(batches)]
        ((slots, now),) = teacher_pass.over(epoch, [batches[place % len(batches)]])
        then = record.logits(epoch)[slots]
        errors.append(np.abs(now.astype(np.float64) - then))
        flips += int((now.argmax(1) != then.argmax(1)).sum())
    all_errors = np.concatenate(errors)
    epochs = tuple(sorted({stored[place // len(batches)] for place in places.tolist()}))
    return Replay(len(all_errors), epochs, float(all_errors.max()), float(all_errors.mean()), flips)
