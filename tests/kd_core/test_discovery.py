import sys

import pytest

from kd_core.discovery import named_in
from kd_core.methods.method import Method


def package(folder, monkeypatch, **modules: str) -> str:
    """A package of these modules that can be imported; its name."""
    name = f"found_{folder.name}".replace("-", "_")
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    for module, text in modules.items():
        (folder / name / f"{module}.py").write_text(f"from kd_core.methods.method import Method\n{text}\n")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return name


def test_values_are_found_in_all_modules_and_listed_by_their_place(tmp_path, monkeypatch):
    name = package(
        tmp_path,
        monkeypatch,
        last='B = Method("b", "nobody")\nA = Method("a", "nobody")\nOTHER = 3',
        first='C = Method("c", "nobody", place=1)',
        borrowing=f"from found_{tmp_path.name}.last import A".replace("-", "_"),
    )
    assert list(named_in(name, Method)) == ["c", "a", "b"]


def test_two_of_one_name_are_a_mistake(tmp_path, monkeypatch):
    name = package(tmp_path, monkeypatch, one='A = Method("a", "x")', two='A = Method("a", "y")')
    with pytest.raises(AssertionError, match="have one name"):
        named_in(name, Method)
