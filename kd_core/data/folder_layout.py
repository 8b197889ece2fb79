"""Which of a folder's folders are its parts, and which are classes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from kd_core.data.part_names import part_named
from kd_core.data.source import some


@dataclass(frozen=True)
class Layout:
    """The folder of each part, "" where the whole is the training part; folders beside them; and what is wrong."""

    folders: dict[str, str]
    beside: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def layout_of(folders: Sequence[str]) -> Layout:
    """The layout of a folder with images in these of its folders, such as train/cat; "" is itself.

    A folder named like a part is one if the training folder holds class folders; if it holds images, as all others do,
    it is a class that is called train.
    """
    tops = dict.fromkeys(folder.split("/", 1)[0] for folder in folders if folder)
    nested = {folder.split("/", 1)[0] for folder in folders if "/" in folder}
    named: dict[str, list[str]] = defaultdict(list)
    for top in tops:
        if part := part_named(top):
            named[part].append(top)
    problems = _one_level_below(folders)
    if not nested.intersection(named["train"]):
        called = [top for top in tops if part_named(top)]
        flat = [top for top in called if top not in nested]
        if len({*map(part_named, flat)}) > 1 or (flat and nested.difference(called)):
            remedy = "sort them into one folder a class, or give their labels in a file as data.labels"
            problems.append(f"holds images in {some(flat)} and no class folders there; {remedy}")
        return Layout({"train": ""}, problems=problems + without_training([top for top in called if top in nested]))
    parts = {part: names[0] for part, names in named.items() if names}
    problems += [
        f"holds {some(names)}, each of which may be the {part} part; keep one there and move the others away"
        for part, names in named.items()
        if len(names) > 1
    ]
    return Layout(parts, [top for top in tops if part_named(top) is None], problems)


def _one_level_below(folders: Sequence[str]) -> list[str]:
    """Whether the parts are in one of the folders, or in each class folder, instead of beside each other.

    Two parts in a folder are such, or one that holds folders itself; a single one with images only may be a class.
    """
    inner: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))  # by folder, by part: what it holds
    for top, *below in (folder.split("/") for folder in folders):
        if below and (part := part_named(below[0])):
            inner[top][part].update(below[1:2])
    holding = sorted(top for top, parts in inner.items() if len(parts) > 1 or any(parts.values()))
    if len(holding) > 1:
        remedy = "make one folder a part, with the classes in it, or give data.labels"
        return [f"has parts in each of the folders {some(holding)}; {remedy}"]
    return [f"has its parts in the folder {some(holding)}; give that one as data.path"] if holding else []


def without_training(parts: Sequence[str]) -> list[str]:
    """What is wrong with a folder of these parts, of which none is for training."""
    remedy = "name the folder of the training images train, with one folder a class in it"
    return [f"holds {some(parts)} and no training part; {remedy}"] if parts else []
