"""The figures of evaluations: linearity between images, accuracy under corruption, and maps of features."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.drawing.embedding import Embedding, draw_embeddings
from analysis.drawing.linearity import LinearityCurves, draw_gain, draw_linearity
from analysis.drawing.panels import Panel, inline
from analysis.drawing.robustness import CorruptionCurves, draw_gains, draw_severities
from analysis.drawing.style import NO_TEACHER, TEACHER_COLOURS
from analysis.statistics.beyond import Evaluated, corrupted_gain
from analysis.text.trust import by_arm, short_name

MOST_MODELS = 6  # of a figure


def trust_figures(models: Sequence[Evaluated], arms: Sequence[str], baseline: str) -> dict[str, Any]:
    """The figures of evaluated models, each in two widths: teachers, then those arms, the likeliest first.

    Gains are over the arm `baseline`, of which there are none without it.
    """
    groups = by_arm(models)
    plain, teachers = groups.get(baseline), [label for label, group in groups.items() if not group[0].arm]
    order = dict.fromkeys([*teachers, *arms, baseline, *groups])
    chosen = [label for label in order if label in groups][:MOST_MODELS]
    shown = {short_name(label, models): groups[label] for label in chosen}
    colours = dict(zip(shown, cycle((*TEACHER_COLOURS, NO_TEACHER)), strict=False))
    linearity = [each for label, group in shown.items() if (each := _linearity(label, group)) is not None]
    corruption = [each for label, group in shown.items() if (each := _corruption(label, group, plain)) is not None]
    gaining = [each for each in linearity if each.gain is not None]
    robust = [each for each in corruption if each.gain is not None]
    gains = {
        "Linearity gained over the teacher": draw_gain(gaining, colours) if gaining else None,
        f"Accuracy gained over {baseline}": draw_gains(robust, colours, baseline) if robust else None,
    }
    return {
        "linearity": _both(linearity, lambda narrow: draw_linearity(linearity, colours, narrow), "On mixed images"),
        "gains": [Panel(inline(figure, name), name) for name, figure in gains.items() if figure is not None],
        "severities": _both(corruption, lambda narrow: draw_severities(corruption, colours, narrow), "By severity"),
        "maps": _maps(shown),
    }


def _both(curves: Sequence[Any], draw: Callable[[bool], Figure], name: str) -> dict[str, Markup] | None:
    """A figure for a desktop and one for a phone; None without curves."""
    if not curves:
        return None
    return {"wide": inline(draw(False), name), "narrow": inline(draw(True), f"{name}, narrow")}


def _linearity(label: str, group: Sequence[Evaluated]) -> LinearityCurves | None:
    """The curves of an arm, averaged over its seeds, as the ends of its intervals are."""
    names = [f"{name}{end}" for name in ("nonlinearity", "gain") for end in ("", "_low", "_high")]
    means = {name: _mean(group, "linearity", name) for name in ("lambda", "entropy", "dominance", *names)}
    lambdas = means.pop("lambda")
    if lambdas is None or means["nonlinearity"] is None:
        return None
    return LinearityCurves(label, lambdas, **means)  # type: ignore[arg-type]  # those of the gain may be None


def _corruption(
    label: str, group: Sequence[Evaluated], baseline: Sequence[Evaluated] | None
) -> CorruptionCurves | None:
    correct = _mean(group, "corruption", "correct")
    names, severities = (group[0].array("corruption", name) for name in ("corruption", "severity"))
    if correct is None or names is None or severities is None:
        return None
    share = correct.mean(axis=-1)
    half = 1.96 * correct.std(axis=-1, ddof=1) / np.sqrt(correct.shape[-1])
    made: dict[str, Any] = {}
    if baseline is not None and group[0].arm not in ("", baseline[0].arm):
        estimates = corrupted_gain(group, baseline)
        if estimates is not None:
            made = dict(zip(("gain", "gain_low", "gain_high"), estimates, strict=True))
    ends = np.clip(share - half, 0, 1), np.clip(share + half, 0, 1)
    return CorruptionCurves(label, tuple(names.tolist()), tuple(severities.tolist()), share, *ends, **made)


def _maps(shown: Mapping[str, Sequence[Evaluated]]) -> dict[str, Markup] | None:
    """Maps of the features of one model an arm, of the classes that all of them show."""
    chosen, maps = None, []
    for label, (first, *_) in shown.items():
        points, classes, names = (
            first.array("geometry", name) for name in ("embedding", "embedding_label", "chosen_names")
        )
        if points is None or classes is None or names is None:
            continue
        chosen = names.tolist() if chosen is None else chosen
        if names.tolist() == chosen:
            figures = (first.metrics["geometry/v_measure_chosen"], first.metrics["geometry/accuracy_chosen"])
            maps.append(Embedding(label, points, classes, *figures))
    if chosen is None:
        return None
    name = "t-SNE of the features"
    drawn = (draw_embeddings(maps, chosen, name, narrow=narrow) for narrow in (False, True))
    return dict(zip(("wide", "narrow"), map(Markup, drawn), strict=True))


def _mean(group: Sequence[Evaluated], evaluator: str, name: str) -> np.ndarray | None:
    """The mean of an array over the seeds that have it."""
    arrays = [array for each in group if (array := each.array(evaluator, name)) is not None]
    return np.mean(arrays, axis=0) if arrays else None
