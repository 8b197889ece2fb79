"""Registries that fill themselves: whatever the modules of a room hold of one kind, by its name."""

import pkgutil
from importlib import import_module
from typing import Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str:
        """What it is found by."""
        ...

    @property
    def place(self) -> int:
        """Where it is listed."""
        ...


_Kind = TypeVar("_Kind", bound=_Named)


def named_in(package: str, kind: type[_Kind]) -> dict[str, _Kind]:
    """Every value of a kind in the modules of a package by its name, in the order of their place and name."""
    infos = pkgutil.iter_modules(import_module(package).__path__, f"{package}.")
    values = {value for info in infos for value in vars(import_module(info.name)).values() if isinstance(value, kind)}
    by_name = {value.name: value for value in sorted(values, key=lambda value: (value.place, value.name))}
    assert len(by_name) == len(values), f"two of {package} have one name"
    return by_name
