"""All methods: every Method that a module of this room holds, so that a new method is one new file and no more."""

import pkgutil
from importlib import import_module

from kd_core.methods.method import Method


def methods_in(package: str) -> dict[str, Method]:
    """Every Method in the modules of a package by its name, in the order in which they are listed."""
    infos = pkgutil.iter_modules(import_module(package).__path__, f"{package}.")
    values = [value for info in infos for value in vars(import_module(info.name)).values()]
    methods = {value for value in values if isinstance(value, Method)}  # a module may import that of another one
    by_name = {method.name: method for method in sorted(methods, key=lambda method: (method.place, method.name))}
    assert len(by_name) == len(methods), f"two methods of {package} have one name"
    return by_name


METHODS = methods_in("kd_core.methods")
