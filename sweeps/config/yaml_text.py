"""Reads YAML as people mean it: what a reader of YAML would silently take for something else is refused."""

import re
from collections import Counter
from typing import Any

import yaml

from kd_core.config.errors import SpecError
from kd_core.fields import shown

_MOST_VALUES, _MOST_LEVELS = 100_000, 50  # of a text; more are a mistake, or aliases of aliases
_INT, _FLOAT, _MERGE = (f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "merge"))
_OCTAL = re.compile(r"[-+]?0(o|_*[0-7])[0-7_]*$")  # 010 is 8 in YAML 1.1 and 10 in YAML 1.2, where 0o10 is 8


def yaml_value(text: str) -> Any:
    """The value of a YAML text, a tree; raises SpecError, a sentence that gives the line where there are several."""
    try:
        return _unshared(_loaded(text))
    except yaml.YAMLError as error:
        raise SpecError(_sentence(error, text)) from None


def yaml_text(value: Any) -> str:
    """The YAML of a value, which yaml_value reads back as the same."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Problem(yaml.MarkedYAMLError):
    """What a text may not say, although it is YAML."""


class _Loader(yaml.SafeLoader):
    """A loader that rejects duplicate keys, of which YAML would use the last, and shows what it cannot read."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._checked: set[int] = set()

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Check the keys of a mapping, before it is merged with others by `<<`, of whose keys its own win."""
        if id(node) not in self._checked:
            self._checked.add(id(node))
            keys = Counter(
                repr("<<" if key.tag == _MERGE else self.construct_object(key, deep=True)) for key, _ in node.value
            )
            for key, count in keys.items():
                if count > 1:
                    raise _Problem(problem=f"the key {shown(key)} is given twice", problem_mark=node.start_mark)
        super().flatten_mapping(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of one node."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # half a surrogate pair is no text
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError):  # by int, datetime and others
            problem = f"{shown(node.value)} is no valid {node.tag.rpartition(':')[2]}; quote it if it is text"
            raise _Problem(problem=problem, problem_mark=node.start_mark) from None
        base = _unusual_base(node)
        if base is not None:
            read = f"{shown(node.value)}: YAML reads this as {shown(value)}, a number of base {base}"
            problem = f"{read}; write the number in decimal, or quote it if it is text"
            raise _Problem(problem=problem, problem_mark=node.start_mark)
        return value


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes text which the loader would refuse as a number."""


_Loader.add_implicit_resolver(_INT, _OCTAL, list("-+0"))
_Dumper.add_implicit_resolver(_INT, _OCTAL, list("-+0"))


def _unusual_base(node: yaml.Node) -> int | None:
    """The base in which YAML reads a number that most people would read in another one, or as text."""
    if node.tag in (_INT, _FLOAT) and ":" in node.value:
        return 60
    return 8 if node.tag == _INT and _OCTAL.match(node.value) else None


def _sentence(error: yaml.YAMLError, text: str) -> str:
    """What is wrong with a text, and in which line, if it has several."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
    words = " ".join(map(shown, str(problem).split()))
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark and "\n" in text.strip() else ""
    return where + words if isinstance(error, _Problem) else f"is no valid YAML: {where}{words}; quote what is text"


def _loaded(text: str) -> Any:
    """The value of a YAML text; raises YAMLError, also where aliases would make it deep or large beyond use."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        size, depth = _extent(node, {}) if node is not None else (0, 0)
        if size > _MOST_VALUES or depth > _MOST_LEVELS:
            raise RecursionError
        return loader.construct_document(node) if node is not None else None
    except RecursionError:
        raise yaml.YAMLError(f"it has more than {_MOST_LEVELS} levels or {_MOST_VALUES} values") from None
    finally:
        loader.dispose()


def _unshared(value: Any) -> Any:
    """A copy in which each alias is a value of its own, so that a change of one changes no other."""
    if isinstance(value, dict):
        return {key: _unshared(part) for key, part in value.items()}
    return [_unshared(part) for part in value] if isinstance(value, list) else value


def _extent(node: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The number of values and levels of a node, aliases followed; a node inside itself counts as too large."""
    if id(node) not in known:
        known[id(node)] = _MOST_VALUES + 1, 1
        inside = node.value if isinstance(node, yaml.CollectionNode) else []
        inside = [part for each in inside for part in (each if isinstance(each, tuple) else (each,))]
        sizes, depths = zip((0, 0), *(_extent(each, known) for each in inside), strict=True)
        known[id(node)] = 1 + sum(sizes), 1 + max(depths)
    return known[id(node)]
