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

    A folder named like a part is one if the training folder holds class folders; if it holds images, it is a class that
    is called train.
    """
    tops = dict.fromkeys(folder.split("/", 1)[0] for folder in folders if folder)
    nested = {folder.split("/", 1)[0] for folder in folders if "/" in folder}
    named: dict[str, list[str]] = defaultdict(list)
    for top in tops:
        if part := part_named(top):
            named[part].append(top)
    if not nested.intersection(named["train"]):
        return Layout({"train": ""}, problems=_without_training([top for top in tops if part_named(top)], nested))
    parts = {part: names[0] for part, names in named.items() if names}
    problems = [
        f"holds {some(names)}, each of which may be the {part} part; keep one there and move the others away"
        for part, names in named.items()
        if len(names) > 1
    ]
    return Layout(parts, [top for top in tops if part_named(top) is None], problems)


def _without_training(named: Sequence[str], nested: set[str]) -> list[str]:
    parts = [top for top in named if top in nested]
    remedy = "name the folder of the training images train, with one folder a class in it"
    return [f"holds {some(parts)} and no training part; {remedy}"] if parts else []
