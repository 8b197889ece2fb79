"""The design's rules, held against the code: arrows between packages, who knows Ray and MLflow, docstrings, rooms."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("kd_core", "analysis", "sweeps")
FORBIDDEN = {
    "kd_core": {"ray", "mlflow", "optuna", "sweeps", "analysis"},
    "analysis": {"ray", "optuna", "sweeps", "torch", "timm"},
    "sweeps": set(),
}
KNOWN_ONLY_TO = {
    "ray": {"sweeps/engine.py", "sweeps/trial.py", "sweeps/labelling.py"},
    "mlflow": {"sweeps/tracking.py", "analysis/runs.py"},
}
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, by its full name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def is_public(node: ast.stmt) -> bool:
    """Whether a statement defines a function or class for others."""
    return isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")


def roots_of(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in imports_of(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_between_packages_run_one_way(path):
    package = path.relative_to(ROOT).parts[0]
    assert not roots_of(path) & FORBIDDEN[package]


@pytest.mark.parametrize("library", KNOWN_ONLY_TO)
def test_a_library_stays_in_its_rooms(library):
    users = {path.relative_to(ROOT).as_posix() for path in FILES if library in roots_of(path)}
    assert users == KNOWN_ONLY_TO[library]


def test_training_meets_ray_in_one_file():
    training = {"kd_core.training", "kd_core.trial", "kd_core.teacher", "kd_core.signal"}
    both = [path.name for path in FILES if "ray" in roots_of(path) and training & imports_of(path)]
    assert both == ["trial.py"]


def test_analysis_knows_no_training_loop():
    loops = {"kd_core.training", "kd_core.trial", "kd_core.teacher", "kd_core.signal", "kd_core.evaluation"}
    assert not [path for path in (ROOT / "analysis").rglob("*.py") if loops & imports_of(path)]


def test_nobody_imports_a_package_root():
    for path in FILES:
        assert not imports_of(path) & set(PACKAGES), path


@pytest.mark.parametrize("package", PACKAGES)
def test_package_roots_are_empty_and_nothing_is_called_utils(package):
    assert (ROOT / package / "__init__.py").read_text() == ""
    assert not list((ROOT / package).rglob("util*.py"))


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("kd_core.training", "ray mlflow"),
        ("analysis.report", "ray mlflow"),
        ("sweeps.cli, sweeps.console", "ray mlflow torch timm"),  # a status shows at once
    ],
)
def test_an_import_loads_nothing_heavier_than_it_needs(module, absent):
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in {absent.split()}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_whatever_is_public_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    public = [node for node in tree.body if is_public(node)]
    methods = [node for owner in public if isinstance(owner, ast.ClassDef) for node in owner.body if is_public(node)]
    assert not [node.name for node in public + methods if ast.get_docstring(node) is None]
    assert path.name == "__init__.py" or ast.get_docstring(tree)


def test_every_module_has_its_tests():
    for path in FILES:
        package = path.relative_to(ROOT).parts[0]
        if path.name != "__init__.py":
            assert (ROOT / "tests" / package / f"test_{path.name}").exists(), f"{path.name} has no tests"


def test_the_top_level_is_the_fixed_one():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {name.split("/")[0] for name in files if not name.startswith(".")}
    fixed = {"pyproject.toml", "README.md", "Makefile", "constraints.txt", "LICENSE", "tests", *PACKAGES}
    assert top <= fixed
