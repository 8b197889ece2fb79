"""The truth of a spoilt data set, and what is silently wrong with a dataset that was read from it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, ImageOps

from kd_core.config.data import DataConfig, Note
from kd_core.data.dataset import Dataset
from kd_core.data.splits import SPLITS
from tests.benchmarks.pictures import Picture

_BACKGROUNDS = {"white": 255.0, "black": 0.0}


@dataclass(eq=False)
class Item:
    """One image of a source: its picture, the name of its class ("" without one), and its part.

    The part is train, validation, test, or beside, which is none of them. gone are the parts of notes of which one must
    be there if the image is not; due must be there if it is.
    """

    picture: Picture
    label: str
    part: str = "train"
    gone: list[str] = field(default_factory=list)
    due: str = ""

    def copy(self) -> "Item":
        """The same image once more."""
        return replace(self, gone=[*self.gone])

    def shown(self, config: DataConfig) -> np.ndarray | None:
        """The pixels float [H, W, 3] as a dataset must have them; None if there are none to be had."""
        pixels = self.picture.pixels
        if pixels is None:
            return None
        if pixels.shape[2] == 4:
            share = pixels[..., 3:] / 255
            pixels = np.rint(pixels[..., :3] * share + _BACKGROUNDS[config.background] * (1 - share)).astype(np.uint8)
        picture, side = Image.fromarray(pixels), config.image_size
        if side is not None and picture.size != (side, side):
            picture = ImageOps.fit(picture, (side, side), Image.Resampling.BICUBIC)
        return np.asarray(picture).astype(np.float32)


@dataclass(frozen=True)
class Loaded:
    """One image of a dataset: its split, the name of its class, and its pixels float [H, W, 3]."""

    split: str
    label: str
    pixels: np.ndarray


def loaded_from(dataset: Dataset) -> list[Loaded]:
    """Every image of a dataset, read as training reads them."""
    images = []
    for name, split in zip(SPLITS, (dataset.train, dataset.validation, dataset.test), strict=True):
        pixels = np.concatenate([batch.numpy() for batch in split.batches(16)]).astype(np.float32)
        names = [dataset.class_names[label] for label in split.labels.tolist()]
        images += [Loaded(name, *pair) for pair in zip(names, pixels, strict=True)]
    return images


class Comparison:
    """The images of a dataset against the items of its source, each item used for one image at most."""

    def __init__(self, items: Sequence[Item], config: DataConfig, notes: Sequence[Note]) -> None:
        self.config, self.items = config, items
        self.said = [note.sentence for note in notes]
        self.shown = [(item, pixels) for item in items if (pixels := item.shown(config)) is not None]
        self.used: dict[int, tuple[Item, str]] = {}

    def wrongs(self, images: Sequence[Loaded]) -> list[str]:
        """What is silently wrong."""
        order = sorted(images, key=lambda image: SPLITS.index(image.split), reverse=True)
        wrongs = [wrong for image in order if (wrong := self._wrong(image))]
        return [*wrongs, *self._lacking(), *self._mixed(), *self._twice()]

    def _wrong(self, image: Loaded) -> str:
        """Why an image is none of the items, or ""; takes the item that it is."""
        distances = [
            (float(np.abs(pixels - image.pixels).mean()), item)
            for item, pixels in self.shown
            if pixels.shape == image.pixels.shape
        ]
        nearest = min((distance for distance, _ in distances), default=np.inf)
        same = [item for distance, item in distances if distance == nearest <= item.picture.tolerance]
        truth = " or ".join(sorted({f"{item.label!r} of {item.part}" for item in same}))
        fitting = [item for item in same if item.label == image.label and self._may_be(image.split, item)]
        free = [item for item in fitting if id(item) not in self.used]
        if not free:
            wrong = "there once too often" if fitting else f"truly {truth}" if same else "no file's"
            return f"an image of {image.label!r} in {image.split} is {wrong}"
        item = min(free, key=lambda item: item.part != image.split)
        self.used[id(item)] = item, image.split
        due = ["" if self.config.streaming else item.picture.said, item.due]
        return "; ".join(f"no word of {text!r}" for text in due if text and not self._is_said(text))

    def _is_said(self, text: str) -> bool:
        return any(text in sentence for sentence in self.said)

    def _may_be(self, split: str, item: Item) -> bool:
        """Whether an image of a part may be in a split."""
        if split == "test":
            instead = [part for part, text in _AS_TEST.items() if self._is_said(text)]
            return item.part in (instead or ["test"])
        held_out = split == "validation" and self.config.validation is not None
        return (split == item.part and not held_out) or (split, item.part) == ("validation", "train")

    def _lacking(self) -> list[str]:
        """Images that are not there, of which nothing was said."""
        return [
            f"an image of {item.label!r} in {item.part} is gone without a word"
            for item in self.items
            if id(item) not in self.used and not any(map(self._is_said, self._reasons(item)))
        ]

    def _reasons(self, item: Item) -> list[str]:
        reasons = [*item.gone]
        if item.picture.damaged or item.picture.pixels is None:
            reasons.append("unreadable image")
        if item.part == "validation" and self.config.validation is not None:
            reasons.append("the validation part of the source")
        if item.part == "train" and self.config.duplicates == "drop_train":
            reasons.append("that validation or test has too")
        return reasons

    def _mixed(self) -> list[str]:
        """Splits that hold images of several parts."""
        parts: dict[str, set[str]] = defaultdict(set)
        for item, split in self.used.values():
            parts[split].add(item.part)
        return [f"{split} is of {sorted(of)}" for split, of in parts.items() if len(of) > 1]

    def _twice(self) -> list[str]:
        """One file in two splits, or of two classes of training, of which nothing was said."""
        if self.config.streaming and self.config.source == "parquet":
            return []  # whose files are not looked at
        splits, labels = defaultdict(set), defaultdict(set)
        for item, split in self.used.values():
            splits[item.picture.content].add(split)
            if split == "train":
                labels[item.picture.content].add(item.label)
        wrongs = []
        if any(len(of) > 1 for of in splits.values()) and not self._is_said("also in"):
            wrongs.append("an image is in two splits without a word")
        if any(len(of) > 1 for of in labels.values()) and not self._is_said("another label"):
            wrongs.append("an image is of two classes without a word")
        return wrongs


_AS_TEST = {"train": "as test part, since there is none", "validation": "the validation part as test part"}
