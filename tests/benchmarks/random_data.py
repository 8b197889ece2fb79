"""Random images and a random teacher signal, for where only speed is measured."""

from pathlib import Path

import numpy as np
from upath import UPath

from kd_core.data.dataset import Dataset, Split
from kd_core.store.signal_record import SignalRecord
from kd_core.teachers.signal import StoredSignal

NUM_CLASSES = 100


def random_dataset(num_train: int, num_held_out: int = 1) -> Dataset:
    """Images of 32 × 32 pixels in as many classes as CIFAR-100 has."""
    train, validation, test = (_random_split(count) for count in (num_train, num_held_out, num_held_out))
    return Dataset(train, validation, test, tuple(str(label) for label in range(NUM_CLASSES)), "random")


def _random_split(count: int) -> Split:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split(images, generator.integers(0, NUM_CLASSES, count))


def random_signal(folder: Path, num_samples: int, num_epochs: int) -> StoredSignal:
    """The first epochs of a signal that no teacher gave, stored in a folder."""
    record, identity = SignalRecord(UPath(folder)), {"logits": "random"}
    record.begin(identity)
    for epoch in range(1, num_epochs + 1):
        with record.writing(epoch, num_samples, NUM_CLASSES) as logits:
            logits[:] = np.random.default_rng(epoch).normal(0, 3, logits.shape)
    return StoredSignal(record, identity)
