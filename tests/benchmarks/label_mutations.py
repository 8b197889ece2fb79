"""A labels file before it is written, the truth that it tells, and what happens to such files in life."""

import random
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.data_truth import Item

_PARTS = {"train": "train", "Training": "train", "val": "validation", "dev": "validation", "test": "test"}


@dataclass(eq=False)
class Line:
    """The image that a line means, its path, and the label and the part that it gives."""

    item: Item
    path: str
    label: str
    part: str


@dataclass
class LabelsFile:
    """A table of lines, as it will be written: columns in their order under these words, or without a header.

    style says how paths are written; spoil is what happens to the text at last.
    """

    lines: list[Line]
    columns: list[str] = field(default_factory=lambda: ["path", "label"])
    words: dict[str, str] = field(default_factory=dict)
    has_header: bool = True
    delimiter: str = ","
    newline: str = "\n"
    encoding: str = "utf-8"
    quote: str = ""
    style: str = "{path}"
    spoil: list[Callable[[list[str]], list[str]]] = field(default_factory=list)

    def decide(self, items: list[Item]) -> None:
        """Give images their label and part by the lines that name them; two labels are none."""
        for item in items:
            item.label = ""
            item.gone.append("that data.labels does not name")
        for line in self.lines:
            label = unicodedata.normalize("NFC", line.label.strip())
            line.item.label = label if line.item.label in ("", label) else "\0"
            if "part" in self.columns and line.part:
                line.item.part, line.item.due = _PARTS.get(line.part, "unknown"), ""

    def write(self, path: Path, root: Path) -> None:
        """Write the file, with absolute paths below root where they are absolute."""
        rows = [[self.words.get(column, column) for column in self.columns]] if self.has_header else []
        for row, line in enumerate(self.lines):
            rows.append([self._cell(column, row, line, root) for column in self.columns])
        quoted = [[f"{self.quote}{cell}{self.quote}" for cell in row] for row in rows]
        texts = [self.delimiter.join(row) for row in quoted]
        for spoil in self.spoil:
            texts = spoil(texts)
        content = "".join(text + self.newline for text in texts)
        path.write_bytes(content.encode(self.encoding, "surrogateescape" if self.encoding == "utf-8" else "replace"))

    def _cell(self, column: str, row: int, line: Line, root: Path) -> str:
        name = line.path.rpartition("/")[2]
        written = {
            "path": self.style.format(path=line.path, name=name, stem=name.rpartition(".")[0], root=root),
            "label": line.label,
            "part": line.part,
            "id": str(row),
            "score": f"{row % 7 / 7:.2f}",
            "category": "animal" if row % 2 else "fish",
        }
        return written[column]


def labels_mutation(labels: LabelsFile, generator: random.Random) -> str:
    """Let one thing happen to a labels file; its name."""
    mutation = generator.choice(_MUTATIONS)
    mutation(labels, generator)
    return mutation.__name__


def _word_the_header(labels: LabelsFile, generator: random.Random) -> None:
    words = {
        "path": ["file", "filename", "FILE_NAME", "image", "img", "name", "id", "picture", "image path", "", "x"],
        "label": ["Label", "class", "category", "target", " label", "species", "y", "", "labels"],
        "part": ["split", "set", "Subset", "fold"],
    }
    column = generator.choice(sorted(words))
    labels.words |= {"category": "group", column: generator.choice(words[column])}


def _drop_the_header(labels: LabelsFile, _: random.Random) -> None:
    labels.has_header = False


def _order_columns(labels: LabelsFile, generator: random.Random) -> None:
    generator.shuffle(labels.columns)


def _add_a_column(labels: LabelsFile, generator: random.Random) -> None:
    """A row number, a score, a second label, or the part."""
    column = generator.choice(["id", "score", "category", "part"])
    if column not in labels.columns:
        labels.columns.insert(generator.randrange(len(labels.columns) + 1), column)
    if column == "part":
        parts = generator.choice([["train", "train", "test"], ["Training", "val", "test"], ["train", "holdout"]])
        for line in labels.lines:
            line.part = generator.choice(parts)
    if column == "category":
        labels.words.setdefault("category", generator.choice(["category", "group", "class"]))


def _some(labels: LabelsFile, generator: random.Random) -> list[Line]:
    return generator.sample(labels.lines, min(len(labels.lines), generator.choice([1, 2, 5])))


def _drop_lines(labels: LabelsFile, generator: random.Random) -> None:
    for line in _some(labels, generator):
        labels.lines.remove(line)


def _double_lines(labels: LabelsFile, generator: random.Random) -> None:
    """With the same label, or with another one."""
    label = generator.choice(["", "", "cat"])
    labels.lines += [Line(line.item, line.path, label or line.label, line.part) for line in _some(labels, generator)]


def _label_otherwise(labels: LabelsFile, generator: random.Random) -> None:
    """Some lines say something else, which is so then."""
    label = generator.choice(["cat", "dog", "Cat", "", " ", "cat ", "new", "é", "e\u0301", "nan", "0", "a b", "label"])
    for line in _some(labels, generator):
        line.label = label


def _rename_labels(labels: LabelsFile, generator: random.Random) -> None:
    """All labels: as numbers, or of several words."""
    names = generator.choice(
        [{"cat": "0", "dog": "1", "eel": "10"}, {"cat": "big cat", "dog": "big dog", "eel": "eel"}]
    )
    for line in labels.lines:
        line.label = names.get(line.label, line.label)


def _part_otherwise(labels: LabelsFile, generator: random.Random) -> None:
    part = generator.choice(["", "holdout", "test", "dev"])
    for line in _some(labels, generator):
        line.part = part


def _write_otherwise(labels: LabelsFile, generator: random.Random) -> None:
    attribute, values = generator.choice(
        [
            ("delimiter", ["\t", ";", " ", "|", ", ", ",,"]),
            ("newline", ["\r\n", "\r", "\n\n", ",\n", " \n"]),
            ("encoding", ["utf-8-sig", "utf-16", "latin-1", "utf-16-le"]),
            ("quote", ['"', "'"]),
            (
                "style",
                ["./{path}", "{root}/{path}", "../set/{path}", "{name}", "{stem}", " {path}", "/{path}", "X/{path}"],
            ),
        ]
    )
    setattr(labels, attribute, generator.choice(values))


def _spoil_text(labels: LabelsFile, generator: random.Random) -> None:
    """A stray quote, an empty or an odd line, or the end is missing."""
    place, kind = generator.random(), generator.choice(["quote", "open", "empty", "comment", "nul", "cut", "twice"])

    def spoil(texts: list[str]) -> list[str]:
        row = int(place * len(texts))
        before, text, after = texts[:row], "".join(texts[row : row + 1]), texts[row + 1 :]
        cell, delimiter, rest = text.partition(labels.delimiter)
        return {
            "quote": [*before, f'{cell}{delimiter}"{rest}', *after],
            "open": [*before, f'"{text}', *after],
            "empty": [*before, "", "  ", text, *after],
            "comment": [*before, "# a comment", text, *after],
            "nul": [*before, f"{text}\0", *after],
            "cut": [*before, cell],
            "twice": texts + texts,
        }[kind]

    labels.spoil.append(spoil)


_MUTATIONS = [
    *(_word_the_header, _drop_the_header, _order_columns, _add_a_column, _add_a_column, _drop_lines, _double_lines),
    *(_label_otherwise, _rename_labels, _part_otherwise, _write_otherwise, _write_otherwise, _spoil_text),
]
