"""A table of text for readers, how it is written in Markdown, and text that is never markup."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+!|~])")
_BARE_PIPE = re.compile(r"(?<!\\)\|")


@dataclass(frozen=True)
class Table:
    """Headers, rows of cells, and which columns are numeric; without a word on that, none is."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool] = field(default_factory=list)

    def markdown(self, gap: str = " | ") -> str:
        """The table in Markdown; cells are Markdown, on one line, and gap parts them."""
        marks = ["---:" if numeric else ":---" for numeric in self.numeric or [False] * len(self.headers)]
        cells = [[_BARE_PIPE.sub(r"\\|", one_line(cell)) for cell in row] for row in (self.headers, *self.rows)]
        header, *rows = (f"| {gap.join(row)} |" for row in cells)
        return "\n".join([header, f"| {' | '.join(marks)} |", *rows])


def one_line(text: str) -> str:
    """Text on one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def plain(text: str) -> str:
    """A text as it is, neither Markdown nor HTML, on one line."""
    return html.escape(_MARKUP.sub(r"\\\1", one_line(text)), quote=False)
