"""Prints what an evaluation found: a row a model, with the few figures that its evaluators name."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from upath import UPath

from analysis.snapshot import Snapshot
from kd_core.reliability.registry import EVALUATORS

_WIDTH = 120  # letters of a line in a log, which has no width of its own


def print_evaluations(snapshot: Snapshot, answers: Mapping[str, int], problems: Sequence[str], report: UPath) -> None:
    """Print the figures of all evaluated models, what failed, and where the report is, on stderr.

    answers counts those that were asked for, those among them that were there before (reused), and those missing.
    """
    console = Console(stderr=True, highlight=False)
    console.width = max(console.width, _WIDTH)
    known = {each.key: f"teacher {each.entry.name}" for each in snapshot.teachers}
    known |= {each.key: each.entry.label for each in snapshot.trials}
    metrics = {
        known[key]: {name: value for each in answers.values() for name, value in each.metrics.items()}
        for key, answers in snapshot.evaluations.items()
        if key in known
    }
    headlines = {name: words for each in EVALUATORS.values() for name, words in each.headlines.items()}
    shown = {name: words for name, words in headlines.items() if any(name in figures for figures in metrics.values())}
    table = Table(title="beyond the test images", box=None, title_justify="left")
    table.add_column("model", no_wrap=True)
    for words in shown.values():
        table.add_column(words, justify="right")
    for label, figures in metrics.items():
        table.add_row(label, *(f"{figures[name]:.3f}" if name in figures else "" for name in shown))
    console.print(table)
    for problem in problems:
        console.print(f"failed: {problem}", markup=False, soft_wrap=True)
    finished = answers["asked"] - answers["missing"]
    console.print(f"{finished} of {answers['asked']} evaluations finished, {answers['reused']} of them before")
    console.print(f"report: {report}", soft_wrap=True)
