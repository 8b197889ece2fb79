"""What evaluations say, in words and tables: how far models can be trusted beyond their test images."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.paper import family_of
from analysis.statistics.beyond import Evaluated, corrupted_difference
from analysis.text.names import share_text
from analysis.text.table import Table
from kd_core.reliability.registry import EVALUATORS

_CELLS = ("accuracy", "ece", "ece_scaled")  # of each corruption and severity
_FILE = Path(__file__).parents[1] / "paper_reliability.json"
_BESIDE = {  # figures of Tables 5 and 6 with our names for them
    "nonlinearity": "nonlinearity",
    "nonlinearity_peak": "its peak",
    "gain_peak": "peak gain of students",
    "kl_real": "KL, real images",
    "kl_mixed": "KL, mixed images",
}


def by_arm(models: Sequence[Evaluated]) -> dict[str, list[Evaluated]]:
    """The evaluated models of each arm, and each teacher under its own label, in their order."""
    groups: dict[str, list[Evaluated]] = {}
    for each in models:
        groups.setdefault(each.arm or each.label, []).append(each)
    return groups


def short_name(label: str, models: Sequence[Evaluated]) -> str:
    """An arm's name without its teacher, if there is no other; a teacher's stays."""
    teachers = {each.teacher for each in models} - {""}
    words = label.split()
    return label if len(teachers) != 1 or len(words) < 3 else " ".join(word for word in words if word not in teachers)


def trust_table(models: Sequence[Evaluated]) -> Table:
    """A row a teacher or arm, averaged over its seeds, with the figures that evaluators take for the most telling."""
    groups = by_arm(models)
    words = {name: text for each in EVALUATORS.values() for name, text in each.headlines.items()}
    shown = {name: text for name, text in words.items() if any(name in each.metrics for each in models)}
    rows = [
        [short_name(label, models), *(_mean_text(group, name) for name in shown), str(len(group))]
        for label, group in groups.items()
    ]
    return Table(["Model", *map(_capital, shown.values()), "Seeds"], rows, [False, *[True] * (len(shown) + 1)])


def corruption_csv(models: Sequence[Evaluated]) -> str:
    """Accuracy and ECE of each teacher and arm by corruption and severity, means over seeds, as CSV (Table 7)."""
    rows = []
    for label, group in by_arm(models).items():
        cells = [each.arrays["corruption"] for each in group if each.arrays.get("corruption")]
        if not cells:
            continue
        means = {figure: np.mean([each[figure] for each in cells], axis=0) for figure in _CELLS}
        for place, corruption in enumerate(cells[0]["corruption"].tolist()):
            for step, severity in enumerate(cells[0]["severity"].tolist()):
                values = {figure: float(mean[place, step]) for figure, mean in means.items()}
                rows.append(
                    {"model": label, "seeds": len(cells), "corruption": corruption, "severity": severity} | values
                )
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def trust_sentences(models: Sequence[Evaluated], recommended: str) -> list[str]:
    """Whether the recommended student is also the one to trust on corrupted images and on images of other classes."""
    arms = {arm: group for arm, group in by_arm(models).items() if group[0].arm}
    ours = arms.get(recommended)
    if ours is None:
        return []
    sentences, others = [], {arm: group for arm, group in arms.items() if arm != recommended}
    if _mean(ours, "corruption/accuracy") is not None:
        sentences += _on_corrupted(recommended, ours, others)
    if (own := _mean(ours, "ood/auroc")) is not None:
        best, value = _best({recommended: ours, **others}, "ood/auroc", max)
        end = "the most of all evaluated arms" if best == recommended else f"{best} with {value:.3f}"
        sentences.append(f"It tells images of other classes from its own with an AUROC of {own:.3f}, {end}.")
    return sentences


def _on_corrupted(recommended: str, ours: Sequence[Evaluated], others: Mapping[str, Sequence[Evaluated]]) -> list[str]:
    """The accuracy and calibration of an arm on corrupted images, and which other arms are visibly better there."""
    accuracy, ece = _mean(ours, "corruption/accuracy"), _mean(ours, "corruption/ece_scaled")
    assert accuracy is not None
    begin = f"On corrupted images {recommended} is right in {share_text(accuracy, 1)}"
    begin += f" with an ECE of {ece:.3f} as shipped" if ece is not None else ""
    better = []
    for arm, group in others.items():
        difference = corrupted_difference(group, ours, [each for every in others.values() for each in every])
        if difference is not None and difference.low > 0:
            better.append((difference.value, arm, difference))
    if not better:
        none = (
            f"none of the {len(others)} other evaluated arms is"
            if len(others) > 1
            else "the other evaluated arm is not"
        )
        return [f"{begin}; {none} visibly more accurate there."] if others else [f"{begin}."]
    _, arm, difference = max(better)
    points = f"{100 * difference.value:.1f} points ({100 * difference.low:.1f} to {100 * difference.high:.1f})"
    return [f"{begin}; {arm} is visibly more accurate there, by {points.replace('-', '−')}."]


def paper_beside(models: Sequence[Evaluated], networks: Mapping[str, str], dataset: str) -> Table | None:
    """Tables 5 and 6 of the paper beside our figures, for teachers of its architectures; None if there are none.

    networks are the models of our teachers by name; dataset as of `analysis.paper.dataset_of`.
    """
    content, rows = _content(), []
    for each in models if dataset == content["dataset"] else ():
        theirs = content["teachers"].get(family_of(networks.get(each.teacher, "")))
        if theirs is None:
            continue
        for figure, words in _BESIDE.items():
            value = each.metrics.get(f"linearity/{figure}")
            if value is not None:
                rows.append([each.label, words, f"{value:.3f}", f"{theirs[figure]:.3f}"])
    return Table(["Model", "Figure, nats", "Here", "Paper"], rows, [False, False, True, True]) if rows else None


def paper_with_itself() -> list[str]:
    """Where section 7 of the paper contradicts itself, with the arithmetic."""
    teachers = _content()["teachers"]
    peaks = [f"{each['gain_peak']:.3f} and {each['gain_peak_figure5']:.3f}" for each in teachers.values()]
    ratios = [f"{each['kl_mixed'] / each['kl_real']:.1f}" for each in teachers.values()]
    return [
        "By eq. 11, H[p(x̃)] = H[p(x)] + L_NL with H[p(x)] ≥ 0, so D = L_NL / H[p(x̃)] could not exceed 1, as it is "
        "reported to do; the equation does not follow from the definitions (12) and (13), so D is computed from these.",
        f"Peaks of the linearity gain differ between Table 6 and Figure 5 ({'; '.join(peaks)}).",
        f"KL on mixed images is {', '.join(ratios)} times that on real ones by Table 6, which the text calls fourfold.",
    ]


def trust_source() -> str:
    """Where the paper's figures are from."""
    return _content()["source"]


def _content() -> dict[str, Any]:
    return json.loads(_FILE.read_text())


def _mean(group: Sequence[Evaluated], metric: str) -> float | None:
    """The mean of a metric over the seeds that have it."""
    values = [each.metrics[metric] for each in group if metric in each.metrics]
    return float(np.mean(values)) if values else None


def _mean_text(group: Sequence[Evaluated], metric: str) -> str:
    value = _mean(group, metric)
    return "" if value is None else f"{value:.3f}".replace("-", "−")


def _best(arms: Mapping[str, Sequence[Evaluated]], metric: str, best: Any) -> tuple[str, float]:
    known = {arm: value for arm, group in arms.items() if (value := _mean(group, metric)) is not None}
    arm = best(known, key=known.__getitem__)
    return arm, known[arm]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
