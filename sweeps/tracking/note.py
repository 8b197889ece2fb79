"""The note of a sweep's parent run: what was asked, the answer, the front, and how far it is, in Markdown."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis.objectives import figure_of
from analysis.report import PAGE
from analysis.statistics.bootstrap import Estimate
from analysis.text.names import estimate_text, share_text, title_of
from analysis.text.page_tables import header_of
from analysis.text.table import Table, one_line
from analysis.text.table import plain as literal
from kd_core.measure.predictions import SCALED
from kd_core.store.index import Index

_MOST_ROWS = 15
_LIMIT = 8000  # characters of a tag of MLflow
_LONGEST = 160  # characters of an arm or an error
_METRICS = ("accuracy", "ece", "ece_scaled")


def note_of(
    index: Index,
    statuses: Sequence[str],
    hours: float,
    failures: Iterable[tuple[str, str]],
    content: Mapping[str, Any],
) -> str:
    """The note, from the sweep's index, its trials' statuses and (label, error) of failures, and front.json."""
    paragraphs = [_question(index), *map(plain, content.get("answer", []))]
    front = content.get(SCALED, {}).get("front", [])
    paragraphs += [_table(front), _left_out(len(front), "on the front")] if front else []
    paragraphs += [_progress(statuses, hours), _failures(list(failures))]
    if content:
        paragraphs.append(
            f"**The report:** Artifacts → {PAGE} shows it here; `kdsweep report {index.sweep}` writes it anew."
        )
    return "\n\n".join(filter(None, paragraphs))[:_LIMIT]


def plain(text: str) -> str:
    """A text as it is, neither Markdown nor HTML, on one line, and of a very long one the beginning."""
    text = one_line(text)
    return literal(text if len(text) <= _LONGEST * 4 else text[: _LONGEST * 4] + "…")


def _question(index: Index) -> str:
    trials = [trial for trial in index.trials if trial.role != "confirmation"]
    arms, seeds = len({trial.arm for trial in trials}), len({trial.seed for trial in trials})
    directions = {"max": "high", "min": "low"}
    aims = [f"{directions[way]} {title_of(figure_of(name))}" for name, way in index.objectives.items()]
    return (
        f"**Which of {_count(arms, 'arm')} is the best choice for {plain(' and '.join(aims))}?** "
        f"Chosen on validation images, reported on test images; {_count(seeds, 'seed')} an arm."
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    titles, lines = ["On the front", *map(header_of, _METRICS), "Probability", "Trials"], []
    for row in rows[:_MOST_ROWS]:
        probability = row.get("front_probability")
        chance = "" if probability is None else plain(share_text(probability))
        values = [_estimate_text(row, metric) for metric in _METRICS]
        lines.append([plain(row["arm"][:_LONGEST]), *values, chance, str(row["num_seeds"])])
    numeric = [False, *[True] * (len(titles) - 1)]
    return Table(titles, lines, numeric).markdown(gap="&ensp;| ")  # the UI puts no space in between


def _estimate_text(row: Mapping[str, Any], metric: str) -> str:
    """A metric on test, its unbiased estimate where there is one, with its interval."""
    estimate, interval = row.get(f"{metric}_estimate"), row.get(f"{metric}_interval")
    value = row.get(metric) if estimate is None else estimate  # an estimate may be 0
    if value is None:
        return ""
    return estimate_text(metric, Estimate(value, *(interval or [math.nan, math.nan])))


def _progress(statuses: Sequence[str], hours: float) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in sorted(Counter(statuses).items()))
    training = f" **Training:** {hours:.2g} hours in all." if hours else ""
    return f"**Trials:** {counts or 'none'}.{training}"


def _failures(failures: Sequence[tuple[str, str]]) -> str:
    if not failures:
        return ""
    lines = [f"- {plain(label[:_LONGEST])}: {plain(error[:_LONGEST])}" for label, error in failures[:_MOST_ROWS]]
    return "\n".join(["**Failures:**\n", *lines]) + _left_out(len(failures), "")


def _left_out(count: int, what: str) -> str:
    return f"\n\nand {count - _MOST_ROWS} more {what}".rstrip() if count > _MOST_ROWS else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
