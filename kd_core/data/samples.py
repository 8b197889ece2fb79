"""Images for a page: a few of each class as the networks see them, mixed ones, and pairs that may be the same."""

from dataclasses import dataclass

import numpy as np

from kd_core.config.data import MixupConfig, Note, ViewConfig
from kd_core.data.doubts import in_both
from kd_core.data.look import names_in
from kd_core.data.survey import Survey

_PER_CLASS, _MOST_CLASSES, _NUM_MIXED, _MOST_PAIRS = 8, 100, 24, 8
_DISPLAYED = 64  # pixels a side of images that differ in size


@dataclass(frozen=True)
class Pair:
    """Two images uint8 [H, W, 3] that may be the same, with their names, and why they are shown."""

    why: str
    names: tuple[str, str]
    images: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Samples:
    """What a page of a source shows.

    images are by class, uint8 [n, H, W, 3]; mixed is a list of (image, label) as in training; counts [K] by split.
    """

    title: str
    class_names: tuple[str, ...]
    images: list[np.ndarray]
    mixed: list[tuple[np.ndarray, str]]
    pairs: list[Pair]
    counts: dict[str, list[int]]
    notes: tuple[Note, ...]


def samples_of(survey: Survey, view: ViewConfig) -> Samples:
    """Training images of each class after resizing, and mixed views of them as the vicinal stream draws them."""
    train, names = survey.parts.train, survey.parts.class_names
    size = survey.config.image_size or (_DISPLAYED if len(survey.sizes) > 1 else None)
    shown = range(min(len(names), _MOST_CLASSES))
    rows = [np.flatnonzero(train.labels == number)[:_PER_CLASS] for number in shown]
    images = [np.stack([train.pixels(int(row), size) for row in of_class]) for of_class in rows]
    return Samples(
        title=str(survey.config.path or survey.config.source),
        class_names=names,
        images=images,
        mixed=_mixed(np.concatenate(images), train.labels[np.concatenate(rows)], names, view),
        pairs=_pairs(survey, size),
        counts=survey.counts,
        notes=survey.notes,
    )


def _mixed(
    images: np.ndarray, labels: np.ndarray, names: tuple[str, ...], view: ViewConfig
) -> list[tuple[np.ndarray, str]]:
    """Images as in training: random views, mixed with their partners, and the shares of both classes in words."""
    from kd_core.stream.vicinal import VicinalStream, ViewsInMemory, batch_slots

    drawn = VicinalStream(0, len(labels), MixupConfig(), view).epoch(1)
    batch = next(ViewsInMemory(images, labels, view, "cpu").batches(drawn, batch_slots(len(labels), _NUM_MIXED)))
    pixels = (batch.images * 255).round().byte().permute(0, 2, 3, 1).numpy()
    both = zip(batch.labels.tolist(), batch.partner_labels.tolist(), batch.mixup_lambda.tolist(), strict=True)
    texts = [f"{share:.0%} {names[label]}, {1 - share:.0%} {names[partner]}" for label, partner, share in both]
    return list(zip(pixels, texts, strict=True))


def _pairs(survey: Survey, size: int | None) -> list[Pair]:
    """Images of test that are, or look like, one of training."""
    look, rows = survey.look, survey.parts.rows
    if look is None:
        return []
    train, test = rows["train"], rows["test"]
    same = in_both(look.digests[test], look.digests[train])
    alike = np.isin(look.average_hashes[test], look.average_hashes[train]) & ~same
    names, pairs = dict(enumerate(names_in(survey.parts.source))), []
    for why, chosen, keys in (("the same file", same, look.digests), ("alike at 8 × 8", alike, look.average_hashes)):
        for place in np.flatnonzero(chosen)[:_MOST_PAIRS].tolist():
            twin = int(np.flatnonzero(keys[train] == keys[test[place]])[0])
            both = survey.parts.train.pixels(twin, size), survey.parts.test.pixels(place, size)
            both_names = (names[int(row)].removeprefix(f"{survey.config.path}/") for row in (train[twin], test[place]))
            pairs.append(Pair(why, (next(both_names), next(both_names)), both))
    return pairs
