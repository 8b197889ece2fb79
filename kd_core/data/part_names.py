"""The names that people give to the parts of a data set, in any case, and what in a folder is nobody's data."""

import re

_NAMES: dict[str, tuple[str, ...]] = {
    "train": ("train", "training", "trainset"),
    "validation": ("val", "valid", "validation", "dev", "valset"),
    "test": ("test", "testing", "eval", "evaluation", "testset"),
}
_PART_OF: dict[str, str] = {name: part for part, names in _NAMES.items() for name in names}
_OF_SYSTEMS = {"__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found", "#recycle"}


def part_named(name: str) -> str | None:
    """The part that a folder's name means, such as validation for `Valid` or `val2017`; None if it means none."""
    return _PART_OF.get(re.sub(r"[\W_\d]+$", "", name.lower()))


def part_in(stem: str) -> str | None:
    """The part that the words of a file's name mean, such as test for `test-00000-of-00001`; None if not just one."""
    parts = {_PART_OF[word] for word in re.findall("[a-z]+", stem.lower()) if word in _PART_OF}
    return parts.pop() if len(parts) == 1 else None


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or one that an operating system leaves: .ipynb_checkpoints, __MACOSX."""
    return name.startswith(".") or name.lower() in _OF_SYSTEMS
