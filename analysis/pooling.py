"""Where the noise of seeds, which is estimated from all arms together, decides whether a difference is visible."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.statistics.bootstrap import COVERAGE
from analysis.statistics.evidence import Evidence


def pooling_text(evidence: Evidence, arms: Sequence[str], baseline: str, figures: Sequence[str]) -> str:
    """Over how many arms the noise of seeds is pooled, and how many of these differences it decides.

    "" where nothing is pooled: with one seed an arm, or one arm that has several.
    """
    counts = [number for number in evidence.num_seeds.values() if number > 1]
    if len(counts) < 2:
        return ""
    seeds = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    text = f"How much seeds differ is pooled over {len(counts)} arms of {seeds} seeds, so another arm may change it."
    decided = sum(seeds_decide(evidence, figure, arm, baseline) for arm in arms for figure in figures)
    total = len(arms) * len(figures)
    if not decided:
        return f"{text} It hides none of these differences."
    return f"{text} It hides {decided} of these {total} differences, which would be visible if seeds did not differ."


def seeds_decide(evidence: Evidence, figure: str, arm: str, other: str) -> bool:
    """Whether a difference that may be none would be visible if all seeds gave the same."""
    difference = evidence.difference(figure, arm, other)
    deviation = evidence.seed_deviation.get(figure, np.nan)
    if not np.isfinite(deviation) or not difference.low <= 0 <= difference.high:
        return False
    of_images = evidence.image_variance(figure, {arm: 1.0, other: -1.0})
    return bool(abs(difference.value) > stats.norm.ppf((1 + COVERAGE) / 2) * np.sqrt(of_images))
