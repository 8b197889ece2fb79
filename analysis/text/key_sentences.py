"""What is said of the keys that matter, in a sentence an objective."""

from collections.abc import Sequence

from analysis.pareto import figure_of
from analysis.statistics.importance import IDLE, MATTERS, Importance
from analysis.text.names import share_text, title_of


def key_sentences(importances: Sequence[Importance]) -> list[str]:
    """For each objective, which keys explain how much of its variance over arms, and which do nothing visible."""
    return [
        _sentence(objective, [each for each in importances if each.objective == objective])
        for objective in dict.fromkeys(each.objective for each in importances)
    ]


def _sentence(objective: str, importances: Sequence[Importance]) -> str:
    matter = [f"{each.key} ({_share(each)})" for each in importances if each.verdict == MATTERS]
    idle = [each.key for each in importances if each.verdict == IDLE]
    parts = [f"what matters is {', '.join(matter)}" if matter else "no key visibly matters"]
    parts += [f"{', '.join(idle)} {'do' if len(idle) > 1 else 'does'} nothing visible"] if idle else []
    return f"For {title_of(figure_of(objective))}, {'; '.join(parts)}."


def _share(importance: Importance) -> str:
    ends = f"{100 * importance.low:.0f} to {100 * importance.high:.0f}"
    return f"{share_text(importance.share)} of the variance over arms, {ends}"
