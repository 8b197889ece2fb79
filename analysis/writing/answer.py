"""The answer that a report begins with: what to take, how much better than the baseline it is, and how sure."""

import numpy as np

from analysis.pareto import Front, figure_of
from analysis.statistics.bootstrap import COVERAGE, Estimate
from analysis.statistics.evidence import Evidence
from analysis.writing.names import share_text, title_of

BASELINES = ("classic", "mixup")  # methods that a distilled student is compared with, the first that was run


def baseline_of(front: Front) -> str:
    """The arm that all others are compared with: the first of BASELINES, else the first arm; "" without arms."""
    points = front.points
    for method in BASELINES:
        for arm in points.loc[points["method"] == method, "arm"]:
            return str(arm)
    return str(points["arm"].iloc[0]) if len(points) else ""


def recommended_of(front: Front) -> str:
    """The arm to take for the first objective: the best on validation of those that are probably on the front."""
    return _best(front, next(iter(front.objectives)))


def _best(front: Front, objective: str) -> str:
    """The best arm by one objective, of those on the front with a probability of a half, else of all plausible ones."""
    plausible = front.points.loc[front.points["plausible"]]
    probable = plausible.loc[plausible["front_probability"] > 0.5]
    candidates = probable if len(probable) else plausible
    if candidates.empty:
        return ""
    ascending = front.objectives[objective] == "min"
    return str(candidates.sort_values(objective, ascending=ascending, kind="stable")["arm"].iloc[0])


def answer_of(front: Front, test: Evidence | None, baseline: str, recommended: str) -> list[str]:
    """The answer in two sentences: what to take, how much better than the baseline it is on test, and how sure."""
    if test is None or not recommended:
        return ["No trial has finished yet, so there is no front to show."]
    count, names = len(front.points), list(front.objectives)
    first, final = (title_of(figure_of(names[place])) for place in (0, -1))
    plausible = np.count_nonzero(front.points["plausible"])
    others = f"{plausible} of {count} arm{'s' * (count > 1)} cannot be ruled out as optimal"
    sentences = [f"For {first}, take {_case(front, test, baseline, recommended)}."]
    last = _best(front, names[-1])
    if last == recommended:
        return [
            *sentences,
            f"No arm that is likely on the front beats it in {final}; {others}.",
        ]
    return [*sentences, f"For {final}, take {_case(front, test, baseline, last)}; {others}."]


def _case(front: Front, test: Evidence, baseline: str, arm: str) -> str:
    """An arm with its figures, or its differences to the baseline, on test, and its front probability."""
    figures = [figure for figure in map(figure_of, front.objectives) if figure in test.draws]
    probability = dict(zip(front.points["arm"], front.points["front_probability"], strict=True))[arm]
    sure = f"on the front in {share_text(probability)} of validation resamples"
    if arm == baseline:
        values = [f"{title_of(figure)} {_value(figure, test.estimate(figure, arm))}" for figure in figures]
        return f"{arm}, the baseline ({'; '.join(values)}), {sure}"
    changes = " and ".join(_change(figure, test.difference(figure, arm, baseline)) for figure in figures)
    return f"{arm}: {changes} than {baseline} on {test.num_images:,} test images, {sure}"


def _value(figure: str, estimate: Estimate) -> str:
    if figure == "accuracy":
        value, low, high = (share_text(each, 1) for each in (estimate.value, estimate.low, estimate.high))
    else:
        value, low, high = (f"{each:.3f}" for each in (estimate.value, estimate.low, estimate.high))
    return f"{value}, {share_text(COVERAGE)} interval {low} to {high}"


def _change(figure: str, difference: Estimate) -> str:
    """A difference in words, with its interval, oriented so that the value is positive; or that there may be none."""
    up = difference.value >= 0
    value, *ends = (each if up else -each for each in (difference.value, difference.low, difference.high))
    unit, digits = (100, 1) if figure == "accuracy" else (1, 3)
    low, high = (f"{unit * end:.{digits}f}".replace("-", "−") for end in sorted(ends))
    if difference.low <= 0 <= difference.high:
        word = "accuracy" if figure == "accuracy" else title_of(figure)
        return f"{word} not visibly {'higher' if up else 'lower'} ({low} to {high}{' points' * (unit > 1)})"
    if figure == "accuracy":
        return f"{unit * value:.{digits}f} points ({low} to {high}) {'more' if up else 'less'} accurate"
    return f"{title_of(figure)} {value:.{digits}f} ({low} to {high}) {'higher' if up else 'lower'}"
