"""Checks the design rules: import directions, subpackages (rooms), users of Ray and MLflow, docstrings."""

import ast
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("kd_core", "analysis", "sweeps")
FORBIDDEN = {
    "kd_core": {"ray", "mlflow", "optuna", "sweeps", "analysis"},
    "analysis": {"ray", "optuna", "sweeps", "torch", "timm"},
    "sweeps": set(),
}
ANALYSIS = ("statistics", "text", "drawing")
ROOMS = {  # each imports only from those before it; modules outside the rooms import from all of them
    "kd_core": (
        *("fields", "discovery"),  # single modules, on which all rooms stand
        *("methods", "config", "measure", "reliability", "store", "stream", "data", "networks", "teachers"),
        *("evaluate", "training"),
    ),
    "sweeps": ("config", "plan", "search", "terminal", "tracking", "engine", "cluster", "promotion"),
}
FOLDERS = {"kd_core": ROOMS["kd_core"][2:], "sweeps": (*ROOMS["sweeps"], "commands"), "analysis": ANALYSIS}
KNOWN_ONLY_TO = {
    "ray": {f"sweeps/engine/{name}.py" for name in ("cluster", "evaluations", "measuring", "steps", "tasks", "worker")}
    | {
        "sweeps/search/steps.py",
        "sweeps/search/scheduler.py",
        "sweeps/cluster/job_server.py",
        "sweeps/cluster/visibility.py",
    },
    "optuna": {"sweeps/search/study.py"},
    "onnxruntime": {"sweeps/promotion/formats.py", "sweeps/promotion/predictor.py"},
    "mlflow": {f"sweeps/tracking/{name}.py" for name in ("sync", "runs", "trial_run")}
    | {"sweeps/promotion/registry.py", "sweeps/promotion/predictor.py", "analysis/runs.py"},
}
HEAVY = "ray mlflow torch timm matplotlib"  # needed only if there is work to do
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@cache
def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it, by its full name."""
    return imported_by(ast.walk(ast.parse(path.read_text())))


def imported_by(nodes: Iterable[ast.AST]) -> set[str]:
    """Every module that one of these statements imports, by its full name."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{ast.unparse(node)}: relative import"
            names.add(node.module or "")
    return names


def is_public(node: ast.stmt) -> bool:
    """Whether a statement defines a public function or class."""
    return isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")


@cache
def roots_of(path: Path) -> set[str]:
    """The top-level packages that a file imports."""
    return {name.split(".")[0] for name in imports_of(path)}


def test_arrows_between_packages_run_one_way():
    forbidden = {path: roots_of(path) & FORBIDDEN[path.relative_to(ROOT).parts[0]] for path in FILES}
    assert not {str(path): names for path, names in forbidden.items() if names}


def floor_of(module: str) -> int:
    """The level of a module in its package: the index of its room, or one above all rooms."""
    package, *rest = module.split(".")
    rooms = ROOMS.get(package, ())
    return rooms.index(rest[0]) if rest and rest[0] in rooms else len(rooms)


def test_arrows_between_rooms_run_one_way():
    upward = []
    for path in FILES:
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        inside = {name for name in imports_of(path) if name.split(".")[0] == module.split(".")[0]}
        upward += [(module, name) for name in inside if floor_of(name) > floor_of(module)]
    assert not upward


def test_statistics_know_nothing_of_how_they_are_told():
    for path in (ROOT / "analysis" / "statistics").glob("*.py"):
        inside = {name for name in imports_of(path) if name.startswith("analysis")}
        allowed = ("analysis.statistics.", "analysis.pareto", "analysis.objectives")
        assert not [name for name in inside if not name.startswith(allowed)], path


@pytest.mark.parametrize("package", FOLDERS)
def test_rooms_are_known(package):
    folders = {path.name for path in (ROOT / package).iterdir() if (path / "__init__.py").exists()}
    assert folders == set(FOLDERS[package])


def test_what_a_trial_is_knows_no_library_but_pydantic():
    libraries = {name for path in (ROOT / "kd_core" / "config").glob("*.py") for name in roots_of(path)}
    for path in (ROOT / "kd_core" / "methods").glob("*.py"):  # a loss imports torch where it calls it
        libraries |= {name.split(".")[0] for name in imported_by(ast.parse(path.read_text()).body)}
    assert libraries - sys.stdlib_module_names <= {"kd_core", "pydantic", "upath"}


@pytest.mark.parametrize("library", KNOWN_ONLY_TO)
def test_a_library_stays_in_its_rooms(library):
    users = {path.relative_to(ROOT).as_posix() for path in FILES if library in roots_of(path)}
    assert users == KNOWN_ONLY_TO[library]


def test_training_meets_ray_in_one_file():
    training = {
        "kd_core.training.loop",
        "kd_core.training.trial",
        "kd_core.teachers.teacher",
        "kd_core.teachers.signal",
    }
    both = [path.name for path in FILES if "ray" in roots_of(path) and training & imports_of(path)]
    assert both == ["worker.py"]


def test_analysis_knows_no_training_loop():
    loops = {
        "kd_core.training.loop",
        "kd_core.training.trial",
        "kd_core.teachers.teacher",
        "kd_core.teachers.signal",
        "kd_core.evaluate.evaluation",
    }
    assert not [path for path in (ROOT / "analysis").rglob("*.py") if loops & imports_of(path)]


def test_nobody_imports_a_package_root():
    rooms = {f"{package}.{room}" for package in FOLDERS for room in FOLDERS[package]}
    for path in FILES:
        assert not imports_of(path) & (rooms | set(PACKAGES)), path


@pytest.mark.parametrize("package", PACKAGES)
def test_package_roots_are_empty_and_nothing_is_called_utils(package):
    assert all(path.read_text() == "" for path in (ROOT / package).rglob("__init__.py"))
    assert not list((ROOT / package).rglob("util*.py"))


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("analysis.drawing.page", "ray mlflow torch"),
        ("kd_core.data.splits", "torch torchvision sklearn"),
        ("kd_core.config.identity", f"{HEAVY} numpy"),
        ("sweeps.cli, sweeps.terminal.console, sweeps.terminal.status", f"{HEAVY} numpy pandas scipy.special"),
        ("sweeps.config.reader, sweeps.plan.plan, sweeps.plan.cost", HEAVY),
        ("sweeps.run, sweeps.terminal.progress", HEAVY),
        ("sweeps.engine.cluster", "torch timm ray.tune mlflow"),
    ],
)
def test_an_import_loads_nothing_heavier_than_it_needs(module, absent):
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in {absent.split()}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_whatever_is_public_has_a_docstring():
    bare = []
    for path in FILES:
        tree = ast.parse(path.read_text())
        public = [node for node in tree.body if is_public(node)]
        methods = [
            node for owner in public if isinstance(owner, ast.ClassDef) for node in owner.body if is_public(node)
        ]
        bare += [f"{path}: {node.name}" for node in public + methods if ast.get_docstring(node) is None]
        bare += [str(path)] if path.name != "__init__.py" and not ast.get_docstring(tree) else []
    assert not bare


def test_every_module_has_its_tests():
    modules = [path.relative_to(ROOT) for path in FILES if path.name != "__init__.py"]
    tests = {path: ROOT / "tests" / path.with_name(f"test_{path.name}") for path in modules}
    assert not [str(path) for path, tested in tests.items() if not tested.exists()]


def test_the_top_level_is_the_fixed_one():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    top = {name.split("/")[0] for name in files if not name.startswith(".")}
    fixed = {"pyproject.toml", "README.md", "Makefile", "constraints.txt", "LICENSE", "tests", *PACKAGES}
    assert top <= fixed
