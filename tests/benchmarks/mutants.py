"""Specs and `--set` options that a seeded generator has spoilt: each must be a sweep, or one sentence."""

import copy
import json
import random
import re
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from kd_core.config.errors import SpecError
from sweeps.cli import main
from sweeps.config.arms import trials_of
from sweeps.config.reader import read_spec, shipped_specs

PLANNED = "quickstart"  # its mutants are planned, networks included; those of the other specs are read
MOST_CHARACTERS = 700  # of a sentence: it shows up to 80 of each key and value, and the words between
LONGEST_WORD = 160  # a place of two keys
ODD = [
    *(
        "",
        "~",
        "true",
        "no",
        "0",
        "-1",
        "1",
        "2",
        "3",
        "1.5",
        "1e3",
        "2e-1",
        ".inf",
        "-.inf",
        ".nan",
        "1_000",
        "0o7",
        "1:30",
    ),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", str(10**30), str(10**400), "1" * 5000),
    *("0x" + "f" * 5000, "300000000", "2147483648", "1e308", "1e-308", "4300000000.5", "1e999"),
    *("2020-13-45", "2020-01-01", "2020-02-30T25:61:61Z", "12:30:45", "1:99:99.5"),
    *("!!bool c", "!!timestamp y", "!!int x", "!!int ''", "!!float y", "!!binary '='", "!!binary YQ==", "!!null x"),
    *("!!str 1", "!!seq x", "!!map [1]", "!!set {a, b}", "!!omap [a: 1]", "!!pairs [a: 1]", "!!pairs [1]", "!!merge x"),
    *("!!python/object/apply:os.getcwd []", "!unknown x", "!", "!!", "&a [*a]", "&b {c: *b}", "*undefined", "=", "<<"),
    *(
        "{}",
        "[]",
        "[[]]",
        "[~]",
        "{a: 1}",
        "{1: 2}",
        "{~: 1}",
        "{[1, 2]: 3}",
        "{{a: 1}: 2}",
        "[1, {a: [2]}]",
        "{<<: 1}",
    ),
    *('"\\ud800"', '"\\0"', '"a\\nb\\tc"', '"\\e[31m"', '"\\u2028"', "'é ü 漢字 🙂'", "x" * 5000, "x " * 2000, "[x]"),
    *("[" * 1500 + "]" * 1500, "{a: " * 1500 + "1" + "}" * 1500, "[" * 60 + "]" * 60, "[" * 3000, "- " * 500),
    *("auto", "sigma", "off", "uniform", "kd", "cud", "dkd", "classic", "[kd, mixup]", "{mode: stored, max_gib: 1}"),
    *(
        "../../up",
        "~nobody/x",
        "/" + "x" * 300,
        "/no/where",
        "'null'",
        '"1"',
        "%",
        "@x",
        "`x`",
        "? x",
        "a: b: c",
        "#",
        ",",
    ),
    *("[1, 2, 3, 4]", "[0, 0]", "{distribution: beta, concentration: 1e-300}", "test_resnet", "resnet18", "hf_hub:x/y"),
]
PREFIXES = ["", "", "", "\ufeff", "---\n", "%YAML 9.9\n---\n", "a\n---\n", "\x00", "\t", "&x ", "!!omap ", "- "]


class Raw(str):
    """A piece of YAML that is written as it is."""


@dataclass(frozen=True)
class Mutant:
    """A spoilt spec and its `--set` options."""

    origin: str
    text: str
    overrides: tuple[str, ...]


def measure(num_mutants: int = 10_000, seed: int = 0) -> dict[str, Any]:
    """How many of 10,000 spoilt specs are sweeps, one sentence each, or (none may be) anything else; and the seconds.

    Those of the quickstart are planned on the command line, the others read and expanded.
    """
    started, counts = time.perf_counter(), Counter({"sweep": 0, "sentence": 0})
    wrong, slowest = [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for each in mutants(num_mutants, seed):
            began = time.perf_counter()
            problem = problem_of(each, Path(folder), counts)
            slowest = max(slowest, time.perf_counter() - began)
            if problem:
                wrong.append(problem)
                print(f"{each.origin} {list(each.overrides)}: {problem}", flush=True)
    return {
        "mutants": num_mutants,
        "sweeps": counts["sweep"],
        "sentences": counts["sentence"],
        "wrong": len(wrong),
        "slowest_s": slowest,
        "seconds": time.perf_counter() - started,
    }


def mutants(number: int, seed: int) -> Iterator[Mutant]:
    """Mutants of all shipped specs in turn, each with one to four mistakes."""
    generator = random.Random(seed)
    folder = files("sweeps").joinpath("specs")
    origins = {name: yaml.safe_load(folder.joinpath(f"{name}.yaml").read_text()) for name in shipped_specs()}
    for index in range(number):
        origin = list(origins)[index % len(origins)]
        spec = copy.deepcopy(origins[origin])
        spec["data"] |= {"source": "digits"}  # which every machine has
        for key in ("path", "label_column", "streaming"):
            spec["data"].pop(key, None)
        for teacher in spec["teachers"].values():  # so that plan has nothing to measure
            teacher["precision"] = "bfloat16"
        overrides = []
        for _ in range(generator.choice([1, 1, 2, 4])):
            kind = generator.random()
            if kind < 0.75:
                generator.choice(MUTATIONS)(spec, generator)
            elif kind < 0.95:
                overrides.append(_override(spec, generator))
        text = _text(spec)
        if generator.random() < 0.15:
            text = _torn(text, generator)
        yield Mutant(origin, text, tuple(overrides))


def problem_of(mutant: Mutant, folder: Path, counts: Counter[str]) -> str:
    """What is wrong with the answer to a mutant, or ""; counts it as a sweep or a sentence."""
    path = folder / "mutant.yaml"
    path.write_bytes(mutant.text.encode("utf-8", "surrogatepass"))
    answer = _planned if mutant.origin == PLANNED else _read
    try:
        said = answer(path, mutant.overrides)
    except SpecError as error:
        said = str(error)
    except Exception:
        return traceback.format_exc(limit=-4)
    counts["sentence" if said else "sweep"] += 1
    said = said.replace(str(path), "")
    words = [word for word in re.split(r"\s", said) if len(word) > LONGEST_WORD]
    if len(said) > MOST_CHARACTERS or words or not said.isprintable():
        return f"is no sentence: {said!r}"
    return ""


def _planned(path: Path, overrides: tuple[str, ...]) -> str:
    """What `kdsweep plan` says on the command line."""
    options = [f"--set={override}" for override in overrides]
    done = CliRunner().invoke(main, ["plan", str(path), f"--storage={path.parent / 'runs'}", "--json", *options])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in (0, 2), f"exit code {done.exit_code}"
    assert done.exit_code == 0 or not done.stdout, f"{done.stdout} on stdout"
    return done.stderr.removesuffix("\n") if done.exit_code else ""


def _read(path: Path, overrides: tuple[str, ...]) -> str:
    trials_of(read_spec(str(path), overrides))
    return ""


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container below a value with each of its keys or indices."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    here = [(value, key) for key in keys]
    return here + [place for key in keys for place in _places(value[key])]


def _replace(spec: Any, generator: random.Random) -> None:
    container, key = _place(spec, generator)
    container[key] = Raw(generator.choice(ODD))


def _remove(spec: Any, generator: random.Random) -> None:
    container, key = _place(spec, generator)
    del container[key]


def _rename(spec: Any, generator: random.Random) -> None:
    container, key = _place(spec, generator)
    if isinstance(container, dict):
        name = str(key)
        spoilt = [name[1:], name + name[-1:], name.upper(), name.replace("e", ""), Raw(generator.choice(ODD))]
        container[generator.choice(spoilt)] = container.pop(key)


def _repeat(spec: Any, generator: random.Random) -> None:
    """Give a key twice, or a list twice over."""
    container, key = _place(spec, generator)
    value = container[key]
    if isinstance(value, list):
        container[key] = value * 2
    elif isinstance(value, dict) and value:
        first = next(iter(value))
        container[key] = Raw(f"{_text(value)[:-1]}, {_text(first)}: {generator.choice(ODD)}}}")


def _wrap(spec: Any, generator: random.Random) -> None:
    container, key = _place(spec, generator)
    container[key] = generator.choice([[container[key]], {"a": container[key]}, [container[key]] * 3])


def _swap(spec: Any, generator: random.Random) -> None:
    """Put a copy of one value in the place of another."""
    (container, key), (other, place) = _place(spec, generator), _place(spec, generator)
    container[key] = copy.deepcopy(other[place])


def _add(spec: Any, generator: random.Random) -> None:
    """Add an odd element, under a key that is known elsewhere."""
    container, _ = _place(spec, generator)
    odd = Raw(generator.choice(ODD))
    if isinstance(container, list):
        container.append(odd)
    else:
        names = [key for other, key in _places(spec) if isinstance(other, dict)] + ["bottleneck", "recycle", "limit"]
        container[generator.choice(names)] = odd


MUTATIONS: list[Callable[[Any, random.Random], None]] = [
    _replace,
    _replace,
    _remove,
    _rename,
    _repeat,
    _wrap,
    _swap,
    _add,
]


def _place(spec: Any, generator: random.Random) -> tuple[Any, Any]:
    return generator.choice(_places(spec) or [({"a": 1}, "a")])


def _override(spec: Any, generator: random.Random) -> str:
    """A `--set` option: a path that mostly leads somewhere, and an odd value."""
    value, path = spec, []
    while isinstance(value, dict | list) and value and generator.random() < 0.8:
        key = generator.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value = value[key]
        path.append(str(key))
    if generator.random() < 0.2:
        path.append(generator.choice(["x", "0", "-1", "99", "", "é", "x" * 500, "a\nb", "1" * 5000]))
    return ".".join(path) + generator.choice(["=", "=", "=", "=", "=", "", " = ", "=="]) + generator.choice(ODD)


def _text(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(key)}: {_text(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return value if isinstance(value, Raw) else json.dumps(value)


def _torn(text: str, generator: random.Random) -> str:
    """The text with a prefix, cut, or with a part of it lost, doubled or replaced."""
    start, stop = sorted(generator.choices(range(len(text) + 1), k=2))
    stop = min(stop, start + generator.choice([1, 1, 3, 30]))
    between = generator.choice(
        ["", text[start:stop] * 2, generator.choice("{}[]:,&*!|>%@`'\"\\#\n\t\x07\x85é"), "\n  - "]
    )
    return generator.choice(PREFIXES) + generator.choice([text[:stop], text[:start] + between + text[stop:]])


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
