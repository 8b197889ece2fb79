"""Prints what an evaluation found: a row a teacher or arm, with the few figures that its evaluators name."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from upath import UPath

from analysis.evaluations import evaluated_of
from analysis.snapshot import Snapshot
from analysis.text.trust import trust_table

_WIDTH = 132  # letters of a line in a log, which has no width of its own


def print_evaluations(
    snapshot: Snapshot,
    answers: Mapping[str, int],
    sentences: Sequence[str],
    problems: Sequence[str],
    report: UPath,
) -> None:
    """Print the figures of all evaluated models, what they mean, what failed, and where the report is, on stderr.

    answers counts those that were asked for, those among them that were there before (reused), and those missing.
    """
    console = Console(stderr=True, highlight=False)
    console.width = max(console.width, _WIDTH)
    content = trust_table(evaluated_of(snapshot))
    table = Table(title="beyond the test images, means over seeds", box=None, title_justify="left")
    for header, numeric in zip(content.headers, content.numeric, strict=True):
        table.add_column(header.lower(), justify="right" if numeric else "left", no_wrap=not numeric)
    for row in content.rows:
        table.add_row(*row)
    console.print(table)
    for line in (*sentences, *(f"failed: {problem}" for problem in problems)):
        console.print(line, markup=False, soft_wrap=True)
    finished = answers["asked"] - answers["missing"]
    console.print(f"{finished} of {answers['asked']} evaluations finished, {answers['reused']} of them before")
    console.print(f"report: {report}", soft_wrap=True)
