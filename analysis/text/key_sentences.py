"""What is said of the keys that matter, in a sentence an objective."""

from collections.abc import Sequence

from analysis.objectives import figure_of
from analysis.statistics.importance import FEWEST_ARMS, IDLE, MATTERS, Importance
from analysis.text.names import share_text, title_of


def key_sentences(importances: Sequence[Importance], num_arms: int) -> list[str]:
    """For each objective, which keys explain how much of its variance over arms, and which do nothing visible.

    Of fewer than FEWEST_ARMS arms, one sentence says that they are too few to tell; of a single arm, nothing is said.
    """
    if not importances and 1 < num_arms < FEWEST_ARMS:
        return [f"Too few arms to tell which key matters ({num_arms}; {FEWEST_ARMS} are needed)."]
    objectives = dict.fromkeys(importance.objective for importance in importances)
    return [
        _sentence(name, [importance for importance in importances if importance.objective == name])
        for name in objectives
    ]


def _sentence(objective: str, importances: Sequence[Importance]) -> str:
    matter = [_with_share(importance) for importance in importances if importance.verdict == MATTERS]
    idle = [importance.key for importance in importances if importance.verdict == IDLE]
    parts = [f"what matters is {', '.join(matter)}" if matter else "no key visibly matters"]
    parts += [f"{', '.join(idle)} {'do' if len(idle) > 1 else 'does'} nothing visible"] if idle else []
    return f"For {title_of(figure_of(objective))}, {'; '.join(parts)}."


def _with_share(importance: Importance) -> str:
    ends = f"{100 * importance.low:.0f} to {100 * importance.high:.0f}"
    return f"{importance.key} ({share_text(importance.share)} of the variance over arms, {ends})"
