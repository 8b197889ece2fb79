"""Splits the source of a DataConfig into train, validation and test; decodes nothing but to look for damage."""

from dataclasses import dataclass, replace

import numpy as np

from kd_core.config.data import DataConfig, Note, note
from kd_core.config.errors import DataError
from kd_core.config.identity import digest, identity_of
from kd_core.data.doubts import doubts_of_classes, in_both
from kd_core.data.images import Part
from kd_core.data.look import look_at, names_in
from kd_core.data.source import Source, count, refuse, some
from kd_core.data.sources import read_source, source_identity

VALIDATION = 0.1  # the share held out of a source without a validation part of its own
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Parts:
    """The three splits before decoding, their class names, and the source from which they are.

    rows [N] of each split say where its images are among all of the source, in the order of `Source.parts`.
    """

    train: Part
    validation: Part
    test: Part
    class_names: tuple[str, ...]
    source: Source
    rows: dict[str, np.ndarray]
    notes: tuple[Note, ...] = ()
    unlabelled: Part | None = None

    @property
    def splits(self) -> tuple[Part, Part, Part]:
        """Train, validation and test, in this order."""
        return self.train, self.validation, self.test


def parts_of(config: DataConfig) -> Parts:
    """Read, limit and split the source of a DataConfig; raises DataError with a remedy."""
    source = read_source(config)
    refuse(config.path, source.problems)
    return split(config, source)


def split(config: DataConfig, source: Source) -> Parts:
    """Limit and split a source that was read for a DataConfig; raises DataError with a remedy."""
    notes = [*source.notes]
    readable = _readable(config, source, notes)
    train, validation, test, unlabelled = (
        rows[readable[rows]]
        for rows in map(source.rows_of, (source.train, source.validation, source.test, source.unlabelled))
    )
    labels, own_validation = source.train.labels, source.validation is not None and config.validation is None
    if source.validation is not None and not own_validation:
        text = "the validation part of the source, since data.validation holds one out of the training images"
        notes.append(note("left out", text))
    if source.test is None:
        test = train[stratified_sample(labels[train], round(config.test * len(train)))]
        train = np.setdiff1d(train, test)
        if config.source != "digits":
            notes.append(note("taken", f"{count(len(test), 'training image')} as test part, since there is none"))
    if config.limit is not None and config.limit < len(train):
        train = train[stratified_sample(labels[train], config.limit)]
    if not own_validation:
        validation = train[stratified_sample(labels[train], round((config.validation or VALIDATION) * len(train)))]
        train = np.setdiff1d(train, validation)
    rows = {"train": train, "validation": validation, "test": test, "unlabelled": unlabelled}
    if config.duplicates == "drop_train":
        rows |= _without_duplicates(source, rows, notes)
    if config.imbalance < 1:
        rows["train"] = rows["train"][long_tailed(labels[rows["train"]], config.imbalance)]
    made = {name: _part(source, rows[name]) for name in SPLITS}
    rest = _part(source, rows["unlabelled"]) if len(rows["unlabelled"]) else None
    parts = Parts(made["train"], made["validation"], made["test"], source.class_names, source, rows, unlabelled=rest)
    _check(parts, config)
    notes += doubts_of_classes({name: part.labels for name, part in made.items()}, source.class_names)
    return replace(parts, notes=tuple(notes))


def _part(source: Source, rows: np.ndarray) -> Part:
    """The images in these rows of a source, all of one of its parts."""
    start = 0
    for part in source.parts:
        if not len(rows) or rows[0] < start + len(part):
            return part.of(rows - start)
        start += len(part)
    raise IndexError(f"row {rows[0]} of {start}")


def _readable(config: DataConfig, source: Source, notes: list[Note]) -> np.ndarray:
    """The images of a source that may be used, a mask [M]; all, unless those that cannot be read are skipped."""
    if not config.skip_unreadable:
        return np.ones(sum(map(len, source.parts)), dtype=bool)
    readable = look_at(source).readable
    if not readable.all():
        names = [name for name, is_readable in zip(names_in(source), readable, strict=True) if not is_readable]
        notes.append(note("left out", count(len(names), "unreadable image"), names))
    return readable


def _without_duplicates(source: Source, rows: dict[str, np.ndarray], notes: list[Note]) -> dict[str, np.ndarray]:
    """The training and the unlabelled rows whose image is neither in validation nor in test."""
    digests, kept = _digests(source), {}
    held_out = np.concatenate([digests[rows["validation"]], digests[rows["test"]]])
    for split, noun in (("train", "training image"), ("unlabelled", "unlabelled image")):
        twice = in_both(digests[rows[split]], held_out)
        if twice.any():
            notes.append(note("left out", f"{count(int(twice.sum()), noun)} that validation or test has too"))
        kept[split] = rows[split][~twice]
    return kept


def _digests(source: Source) -> np.ndarray:
    """A digest of every image of a source, uint64 [M]: of the hashes that its identity has, or by a look."""
    return source.digests() if source.digests is not None else look_at(source).digests


def fingerprint_of(config: DataConfig, source: Source | None = None) -> str:
    """Sixteen hexadecimal digits that change with any image, label or split option, but not with the path.

    With unlabelled images, sixteen more follow after a +, which change with those: trials that see none of them take
    the part before it (`kd_core.config.identity`). They do not depend on streaming. Of large sources, only a part is
    read (`kd_core.data.images.identity_of`). A source that has just been read spares another look at its folder.
    """
    if source is None and config.source in ("folder", "parquet"):
        source = read_source(config)
    share = config.validation
    if share is None and (source is None or source.validation is None):
        share = VALIDATION
    identity = source_identity(config, source)
    unlabelled = identity.pop("unlabelled", None)
    labelled = digest(identity_of(config, path=identity, unlabelled=None, validation=share))
    return labelled if unlabelled is None else f"{labelled}+{digest(unlabelled)}"


def long_tailed(labels: np.ndarray, imbalance: float) -> np.ndarray:
    """Sorted indices of a long-tailed sample: of class c of K, at most n·imbalance^(c / (K − 1)) images (Cui 2019).

    n is the number of images of the largest class; every class keeps one. Deterministic for given labels.
    """
    counts = np.bincount(labels)
    exponents = np.arange(len(counts)) / max(1, len(counts) - 1)
    wanted = np.maximum(1, (counts.max() * imbalance**exponents).astype(np.int64))
    _, by_class, places = _shuffled(labels)
    return np.sort(by_class[places < wanted[labels[by_class]]])


def stratified_sample(labels: np.ndarray, size: int) -> np.ndarray:
    """Sorted indices [size] of a sample with the same share of every class; deterministic for given labels.

    Each sample gets a random rank within its class, as a fraction of the class; the smallest ranks are taken. Classes
    of three images or more get one where size allows it, however small their share.
    """
    draws, by_class, places = _shuffled(labels)
    counts = np.bincount(labels)
    sizes = counts[labels[by_class]]
    fractions = (places + 0.5) / sizes
    if size >= np.count_nonzero(counts):
        fractions[(places == 0) & (sizes >= 3)] = 0
    return np.sort(by_class[np.lexsort((draws[by_class], fractions))[:size]])


def _shuffled(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A draw for each label, the indices class by class in the order of draws, and their places in it, each [N]."""
    draws = np.random.Philox(key=[0, len(labels)]).random_raw(len(labels))
    by_class = np.lexsort((draws, labels))
    starts = np.searchsorted(labels[by_class], labels[by_class])
    return draws, by_class, np.arange(len(labels)) - starts


def _check(parts: Parts, config: DataConfig) -> None:
    """Raise DataError if no classifier can be trained, selected and tested on the data."""
    names = parts.class_names
    if len(names) < 2:
        raise DataError(f"data.path: {config.path}: has {len(names)} class, and a classifier needs two or more")
    for name, part in zip(SPLITS, parts.splits, strict=True):
        if not len(part.labels):
            raise DataError(f"data.{name}: leaves no {name} image; raise the share or give more images")
    missing = np.setdiff1d(np.arange(len(names)), parts.train.labels)
    if missing.size:
        lacking = some([names[number] for number in missing])
        given, remedy = f"data.path: {config.path}", "add images, or lower data.validation and data.test"
        if config.limit is not None:
            given, remedy = f"data.limit: {config.limit}", "raise data.limit or lower data.validation"
        raise DataError(f"{given}: leaves class {lacking} without a training image; {remedy}")
