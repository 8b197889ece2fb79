"""What is doubtful about splits: images in two of them, classes that one lacks, classes of very different size."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from kd_core.config.data import Note, note
from kd_core.data.look import Look
from kd_core.data.source import count

IMBALANCE = 20  # how many times the images of the smallest class the largest may have without a word
_LEARNT = {"train": "train", "unlabelled": "data.unlabelled"}  # the splits that students see, as notes call them
_PAIRS = (*((split, held_out) for split in _LEARNT for held_out in ("test", "validation")), ("validation", "test"))


def doubts_of_classes(labels: dict[str, np.ndarray], class_names: tuple[str, ...]) -> list[Note]:
    """Notes on classes that a split lacks, and on their sizes in training; labels [N] are by the name of the split."""
    notes = []
    for split in ("validation", "test"):
        absent = np.setdiff1d(np.arange(len(class_names)), labels[split])
        if absent.size:
            text = f"{absent.size:,} of {len(class_names):,} classes without a {split} image; figures are of the others"
            notes.append(note("doubtful", text, (class_names[number] for number in absent.tolist())))
    counts = np.bincount(labels["train"], minlength=len(class_names))
    smallest, largest = int(counts.min()), int(counts.max())
    if smallest and largest > IMBALANCE * smallest:
        text = (
            f"the largest class has {largest:,} training images and the smallest {smallest:,}; balanced_accuracy gives "
            "each class the same weight"
        )
        notes.append(note("doubtful", text, [class_names[int(counts.argmax())], class_names[int(counts.argmin())]]))
    return notes


def doubts_of_images(digests: dict[str, np.ndarray], names: Mapping[str, Any]) -> list[Note]:
    """Notes on images that are the same file in two splits; a digest of 0 is none.

    names give the name of an image by its place in its split.
    """
    notes = []
    for first, second in ((first, second) for first, second in _PAIRS if first in digests):
        shared = in_both(digests[second], digests[first])
        if shared.any():
            remedy = "; data.duplicates: drop_train leaves them out of training" if first in _LEARNT else ""
            text = f"{count(int(shared.sum()), f'{second} image')} also in {_LEARNT.get(first, first)}{remedy}"
            notes.append(note("doubtful", text, (names[second][row] for row in np.flatnonzero(shared)[:3])))
    return notes


def doubts_of_labels(digests: np.ndarray, labels: np.ndarray) -> list[Note]:
    """How many training images are there again as another class; digests and labels are [N]."""
    order = np.lexsort((labels, digests))
    same = (np.diff(digests[order]) == 0) & (digests[order][1:] != 0)
    conflicts = same & (np.diff(labels[order]) != 0)
    if not conflicts.any():
        return []
    number = len(np.unique(digests[order][1:][conflicts]))
    return [note("doubtful", f"{count(number, 'training image')} there again with another label")]


def doubts_of_looks(look: Look, rows: dict[str, np.ndarray]) -> list[Note]:
    """How many test images look like a training image, by an 8 × 8 average hash, and are not the same file."""
    train, test = rows["train"], rows["test"]
    alike = np.isin(look.average_hashes[test], look.average_hashes[train])
    alike &= ~in_both(look.digests[test], look.digests[train])
    if not alike.any():
        return []
    return [note("doubtful", f"{count(int(alike.sum()), 'test image')} like a training image at 8 × 8 pixels")]


def in_both(digests: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which images [N] are also among others, a mask [N]."""
    return np.isin(digests, others) & (digests != 0)
