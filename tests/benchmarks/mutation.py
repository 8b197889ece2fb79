"""What the tests catch: a fixed sample of single-token mutants of the packages, each against its own module's tests."""

import ast
import contextlib
import hashlib
import io
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).parents[2]
COPIED = ("kd_core", "analysis", "sweeps", "tests", "pyproject.toml", "README.md")
ROOMS = [f"kd_core/{room}" for room in ("networks", "methods", "stream", "data", "measure", "store")]
ROOMS += ["analysis/statistics", "analysis/pareto.py", "sweeps/plan", "sweeps/search"]
SEED = 0
AT_ONCE = 2
MOST_S = 300.0  # that the tests of one module may take; a mutant that takes longer hangs, and so is caught
COMPARISONS = {"==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">"}
COMPARISONS |= {"is": "is not", "is not": "is", "in": "not in", "not in": "in"}
ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "//": "*", "%": "*", "**": "*"}
BOOLEAN = {"and": "or", "or": "and"}
EQUIVALENT: dict[str, str] = json.loads(Path(__file__).with_name("equivalent_mutants.json").read_text())
"""Mutants of the sample that no test can catch, by their names, and why."""


@dataclass(frozen=True)
class Mutant:
    """A module in which one token, between two offsets of its text, is replaced by another one."""

    path: str
    code: str  # the line with the token
    start: int
    stop: int
    token: str
    replacement: str
    number: int  # among the same swaps in equal lines of the file, from 1

    @property
    def name(self) -> str:
        """Where it is and what it does, the same whatever changes in other lines of the file."""
        swap = f"{self.token} → {self.replacement or 'nothing'}"
        return f"{self.path}: {self.code}: {swap}" + (f", number {self.number}" if self.number > 1 else "")

    @property
    def tests(self) -> tuple[str, ...]:
        """The files with the tests of its module."""
        path = Path(self.path)
        return (str(Path("tests") / path.with_name(f"test_{path.name}")),)


def measure(num_mutants: int = 100) -> dict[str, Any]:
    """The share of 100 single-token mutants that the tests of their own modules catch; two at a time, by seed."""
    started, sample = time.perf_counter(), sample_of(num_mutants)
    modules = sorted({mutant.tests for mutant in sample})
    with Copies() as copies:
        failing = [
            tests
            for tests, passes in zip(modules, copies.run((None, each) for each in modules), strict=False)
            if not passes
        ]
        assert not failing, f"these fail without any mutant: {failing}"
        caught = [not passes for passes in copies.run((mutant, mutant.tests) for mutant in sample)]
    survivors = [mutant.name for mutant, is_caught in zip(sample, caught, strict=True) if not is_caught]
    equivalent = EQUIVALENT.keys() & set(survivors)
    return {
        "mutants": len(sample),
        "of": len(all_mutants()),
        "caught": sum(caught),
        "equivalent": len(equivalent),
        "share": sum(caught) / (len(sample) - len(equivalent)),
        "survivors": [name for name in survivors if name not in equivalent],
        "seconds": time.perf_counter() - started,
    }


def all_mutants() -> list[Mutant]:
    """Every mutant of every module of the rooms."""
    files = [path for room in ROOMS for path in ([ROOT / room] if room.endswith(".py") else (ROOT / room).glob("*.py"))]
    return [mutant for path in sorted(files) for mutant in mutants_of(path)]


def sample_of(number: int) -> list[Mutant]:
    """The mutants whose hashes come first, so that editing a line changes only which mutants of that line are in it."""
    return sorted(all_mutants(), key=lambda mutant: hashlib.sha256(f"{SEED} {mutant.name}".encode()).digest())[:number]


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its text."""
    text = path.read_text()
    lines, seen = text.splitlines(keepends=True), Counter[tuple[str, str, str]]()
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    for (row, start), (last, stop), token, replacement in sorted(swaps_of(text)):
        code = lines[row - 1].strip()
        seen[code, token, replacement] += 1
        offsets = starts[row - 1] + start, starts[last - 1] + stop
        number = seen[code, token, replacement]
        yield Mutant(str(path.relative_to(ROOT)), code, *offsets, token, replacement, number)


Position = tuple[int, int]
Swap = tuple[Position, Position, str, str]


def swaps_of(text: str) -> Iterator[Swap]:
    """Where a token of a module may be another one: start, stop (line from 1, character from 0), both tokens."""
    tree, tokens = ast.parse(text), list(tokenize.generate_tokens(io.StringIO(text).readline))
    annotations = {id(inner) for node in ast.walk(tree) for inner in ast.walk(annotation_of(node) or ast.Pass())}
    lines = text.splitlines()

    def position(line: int, byte: int) -> Position:
        """The place of a node, whose columns are counted in bytes."""
        return line, len(lines[line - 1].encode()[:byte].decode())

    def between(left: ast.expr, right: ast.expr, swaps: dict[str, str]) -> Iterator[Swap]:
        """The operator between two operands."""
        begin = position(left.end_lineno or 0, left.end_col_offset or 0)
        end = position(right.lineno, right.col_offset)
        inside = [each for each in tokens if begin <= each.start and each.end <= end]
        words = [each for each in inside if each.string not in ("(", ")") and each.string.strip()]
        words = [each for each in words if each.type in (tokenize.OP, tokenize.NAME)]
        operator = " ".join(each.string for each in words)
        if operator in swaps:
            yield words[0].start, words[-1].end, operator, swaps[operator]

    for node in ast.walk(tree):
        if id(node) in annotations:
            continue
        match node:
            case ast.Compare(left=left, comparators=comparators):
                for one, other in zip([left, *comparators], comparators, strict=False):
                    yield from between(one, other, COMPARISONS)
            case ast.BinOp(left=left, right=right):
                yield from between(left, right, ARITHMETIC)
            case ast.BoolOp(values=values):
                for one, other in itertools.pairwise(values):
                    yield from between(one, other, BOOLEAN)
            case ast.UnaryOp(op=ast.Not()):
                start = position(node.lineno, node.col_offset)
                yield start, (start[0], start[1] + len("not ")), "not", ""
            case ast.Constant(value=bool() | int() | float() as value):
                ends = position(node.lineno, node.col_offset), position(node.end_lineno or 0, node.end_col_offset or 0)
                token = ast.get_source_segment(text, node) or ""
                yield *ends, token, str(not value) if isinstance(value, bool) else f"({token} + 1)"


def annotation_of(node: ast.AST) -> ast.expr | None:
    """The annotation that a node of the syntax tree has."""
    return getattr(node, "returns", None) if isinstance(node, ast.FunctionDef) else getattr(node, "annotation", None)


class Copies:
    """Copies of the project, in each of which one mutant at a time is tested."""

    def __enter__(self) -> "Copies":
        self._folder = tempfile.TemporaryDirectory(prefix="mutation-", ignore_cleanup_errors=True)
        self._free: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_ONCE):
            copy = Path(self._folder.name) / str(number)
            copy.mkdir()
            for name in COPIED:
                tree = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                tree(ROOT / name, copy / name)
            self._free.put(copy)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def run(self, pairs: Iterable[tuple[Mutant | None, tuple[str, ...]]]) -> Iterator[bool]:
        """Whether the tests pass, for each mutant, or none, and file of tests, in their order."""
        with ThreadPoolExecutor(AT_ONCE) as threads:
            for pair, passes in threads.map(lambda pair: (pair, self._passes(*pair)), pairs):
                print(
                    f"{'passes' if passes else 'fails'}: {pair[0].name if pair[0] else ' '.join(pair[1])}", flush=True
                )
                yield passes

    def _passes(self, mutant: Mutant | None, tests: tuple[str, ...]) -> bool:
        copy = self._free.get()
        try:
            if mutant is None:
                return _tests_pass(copy, tests)
            path = copy / mutant.path
            text = path.read_text()
            path.write_text(text[: mutant.start] + mutant.replacement + text[mutant.stop :])
            try:
                return _tests_pass(copy, tests)
            finally:
                path.write_text(text)
        finally:
            self._free.put(copy)


def _tests_pass(folder: Path, tests: tuple[str, ...]) -> bool:
    """Whether files of tests pass in a copy, in time."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(MOST_S) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
