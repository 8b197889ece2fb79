"""The journal of a product: what it was begun with, a row an epoch, and in the end the checksum of its weights.

Every line is a JSON object with its checksum. Lines are appended; what follows a damaged line is lost, and is made
again.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError
from upath import UPath

from kd_core.store.files import append_line, from_json, json_text, read_bytes, write_bytes
from kd_core.store.manifest import Begun, File

JOURNAL = "journal.jsonl"
Row = dict[str, Any]  # the metrics of an epoch by name, its number as "epoch", its end as "time" in seconds since 1970


@dataclass(frozen=True)
class Journal:
    """The lines of a journal before the first damaged one, as JSON and as text, and the problem of that one, or ""."""

    values: tuple[Row, ...] = ()
    lines: tuple[bytes, ...] = ()
    problem: str = ""

    @cached_property
    def begun(self) -> Begun | None:
        """What the product was begun with; None if it was not."""
        return Begun.model_validate(self.values[0]) if self.values else None

    @cached_property
    def epochs(self) -> list[Row]:
        """The rows of the epochs, in order."""
        return [value for value in self.values if "epoch" in value]

    @property
    def num_epochs(self) -> int:
        """The number of epochs that were trained."""
        return self.epochs[-1]["epoch"] if self.epochs else 0

    @property
    def weights_sha256(self) -> str:
        """The sha256 of the trained network's file; empty if it was not written."""
        return next((value["weights_sha256"] for value in reversed(self.values) if "weights_sha256" in value), "")


def read_journal(path: UPath) -> Journal:
    """Read a journal; empty if there is none."""
    try:
        lines = read_bytes(path).splitlines(keepends=True)
    except FileNotFoundError:
        return Journal()
    values: list[Row] = []
    problem = ""
    for line in lines:
        try:
            value = from_json(line)
            if not values:
                Begun.model_validate(value)
        except ValidationError:
            problem = "was written by another version of kd-sweeps"
            break
        except ValueError as error:
            problem = f"line {len(values) + 1} is damaged: {error}"
            break
        values.append(value)
    return Journal(tuple(values), tuple(lines[: len(values)]), f"{path}: {problem}" if problem else "")


class JournalWriter:
    """Appends to a journal; only one process does, the holder of the product's lease."""

    def __init__(self, path: UPath, begun: Begun, journal: Journal) -> None:
        """Go on with a journal, or begin one: its first line says what the product was begun with."""
        self.path, self.epochs, self.weights_sha256 = path, list(journal.epochs), journal.weights_sha256
        self.lines = [_line(begun.model_dump(mode="json")), *(line.rstrip() + b"\n" for line in journal.lines[1:])]
        if journal.problem or (*self.lines,) != journal.lines:  # else nothing has changed
            write_bytes(path, b"".join(self.lines))

    def append(self, row: Row) -> None:
        """Append an epoch's row unless the journal has it; an epoch repeated after a kill gives the same row."""
        if row["epoch"] > self.num_epochs:
            self._append(row)
            self.epochs.append(row)

    @property
    def num_epochs(self) -> int:
        """The number of epochs that were trained."""
        return self.epochs[-1]["epoch"] if self.epochs else 0

    def add_weights(self, sha256: str) -> None:
        """Append that the trained network was written, unless the journal says so."""
        if self.weights_sha256 != sha256:
            self._append({"weights_sha256": sha256})
            self.weights_sha256 = sha256

    def _append(self, value: Row) -> None:
        self.lines.append(_line(value))
        append_line(self.path, self.lines)

    @property
    def file(self) -> File:
        """Size and sha256 of the journal."""
        return File.of(b"".join(self.lines))


def _line(value: Row) -> bytes:
    return json_text(value, indent=None).encode()
