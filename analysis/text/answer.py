"""The answer that a report begins with: what to take, what it costs to take another, and how sure that is."""

from collections.abc import Sequence

import numpy as np

from analysis.choices import KNEE, Choices, best_of, better_than, gain, is_too_dear, value_of
from analysis.objectives import figure_of
from analysis.statistics.bootstrap import Estimate
from analysis.statistics.evidence import Evidence
from analysis.text.names import READING_TITLES, share_text, title_of, value_text
from kd_core.measure.names import ACCURACIES
from kd_core.measure.predictions import SCALED

NOTHING = "Nothing is recommended."


def answer_of(
    name: str,
    reading: str,
    choices: Choices,
    validation: Evidence | None,
    test: Evidence | None,
    baseline: str,
) -> list[str]:
    """The answer to the sweep of this name in one reading, a few sentences; figures are of test.

    The first says which arm to take by the first objective, with its figures and its differences to the baseline. For
    each other objective, the next ones name an arm and its price, or say that none is worth it.
    """
    if validation is None or test is None or not choices.named:
        return ["No trial has finished yet, so there is no front to show."]
    front, telling = choices.front, _Telling(reading, choices, test, baseline)
    sentences = [telling.first()]
    sentences += [telling.other(objective, validation) for objective in list(front.objectives)[1:]]
    if not baseline:
        sentences.append("No classic arm was trained, so nothing is compared with plain training.")
    count = len(front.points)
    plausible = np.count_nonzero(front.points["plausible"])
    sentences.append(f"{plausible} of {count} arm{'s' * (count > 1)} cannot be ruled out as optimal.")
    if test.selected:
        sentences.append("What being chosen adds to figures, by lucky seeds, is taken off.")
    if max(test.num_seeds.values()) == 1 and count > 1:
        sentences.append("With one seed an arm, this speaks of these networks: another seed may turn it.")
    if reading == SCALED:
        sentences.append(telling.knee(name))
    return sentences


class _Telling:
    """Sentences on the arms that one reading names."""

    def __init__(self, reading: str, choices: Choices, test: Evidence, baseline: str) -> None:
        self.reading, self.choices, self.front = reading, choices, choices.front
        self.test, self.baseline = test, baseline

    def first(self) -> str:
        """Which arm to take, its figures, and how much better than the baseline it is."""
        arm, objective = self.choices.recommended, next(iter(self.front.objectives))
        begin = f"{READING_TITLES[self.reading]}, for {self._title(objective)} take {self._named(arm)}"
        images = f"on {self.test.num_images:,} test images"
        probability = dict(zip(self.front.points["arm"], self.front.points["front_probability"], strict=True))[arm]
        sure = f"It is on the front in {share_text(probability)} of validation resamples."
        if arm == self.baseline or not self.baseline:
            return f"{begin}: {self._levels(arm)} {images}. {sure}"
        return f"{begin}: {self._levels(arm)}; {self._changes(arm, self.baseline)}, {images}. {sure}"

    def other(self, objective: str, validation: Evidence) -> str:
        """The arm to take for another objective with its price, or that there is none."""
        first, title = self.choices.recommended, self._title(objective)
        named = [arm for arm in self.choices.named if self._is_better(arm, objective, validation)]
        if named:
            arm = best_of(self.front, named, objective)
            return f"For {title}, {self._named(arm)} is worth naming: {self._levels(arm)}; {self._changes(arm, first)}."
        dear = [
            arm
            for arm in better_than(self.front, validation, first)
            if is_too_dear(self.front, validation, arm, self.baseline) and self._is_better(arm, objective, validation)
        ]
        if not dear:
            return f"No other arm that may be optimal is visibly better in {title}."
        price = self._title(next(iter(self.front.objectives)))
        return f"What is visibly better in {title} ({_listed(dear)}) is visibly worse in {price} than {self.baseline}."

    def knee(self, name: str) -> str:
        """The knee, and how it is shipped."""
        arm = self.choices.by_word[KNEE]
        command = f"kdsweep promote {name} {KNEE} --as champion"
        if arm == self.choices.recommended:
            return f"{arm} is also the knee of the front, which is shipped by: {command}"
        return f"The knee of the front is {self._named(arm)}: {self._levels(arm)}; it is shipped by: {command}"

    def _is_better(self, arm: str, objective: str, validation: Evidence) -> bool:
        first = self.choices.recommended
        return arm != first and gain(self.front, validation, objective, arm, first).low > 0

    def _title(self, objective: str) -> str:
        figure = figure_of(objective)
        return title_of(figure.removesuffix("_scaled") if self.reading == SCALED else figure)

    def _named(self, arm: str) -> str:
        return f"{arm}, the baseline" if arm == self.baseline else arm

    def _levels(self, arm: str) -> str:
        """The figures of an arm, by objective."""
        texts = [f"{self._title(name)} {_level(name, self._estimate(name, arm))}" for name in self.front.objectives]
        return " and ".join(texts)

    def _changes(self, arm: str, other: str) -> str:
        """The differences of an arm to another one, by objective."""
        texts = []
        for name, direction in self.front.objectives.items():
            better = gain(self.front, self.test, name, arm, other)
            texts.append(_change(figure_of(name), self._title(name), better, rising=direction == "max"))
        return f"{' and '.join(texts)} than {other}"

    def _estimate(self, objective: str, arm: str) -> Estimate:
        figure = figure_of(objective)
        if figure in self.test.draws:
            return self.test.estimate(figure, arm)
        return Estimate(value_of(self.front, objective, arm), np.nan, np.nan)


def _level(objective: str, estimate: Estimate) -> str:
    figure = figure_of(objective)
    if np.isnan(estimate.low):
        return value_text(figure, estimate.value)
    if figure in ACCURACIES:
        return f"{share_text(estimate.value, 1)} ({100 * estimate.low:.1f} to {100 * estimate.high:.1f})"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _change(figure: str, title: str, gain: Estimate, rising: bool) -> str:
    """A gain in words, with its interval, oriented so that the value is positive; or that there may be none."""
    up = (gain.value >= 0) == rising
    value, *ends = vars(gain if gain.value >= 0 else gain.negative).values()
    if figure in ACCURACIES:
        unit, digits, points = 100, 1, " points"
    else:
        unit, digits, points = 1, 3, ""
    low, high = (f"{unit * end:.{digits}f}".replace("-", "−") for end in sorted(ends))
    if gain.low <= 0 <= gain.high and gain.low < gain.high:
        return f"{title} not visibly {'higher' if up else 'lower'} ({low} to {high}{points})"
    if gain.low == gain.high:  # a size
        return f"{title} {value_text(figure, value)} {'higher' if up else 'lower'}" if value else f"equal {title}"
    if figure == "accuracy":
        return f"{unit * value:.{digits}f}{points} ({low} to {high}) {'more' if up else 'less'} accurate"
    if figure in ACCURACIES:
        return f"{title} {unit * value:.{digits}f}{points} ({low} to {high}) {'higher' if up else 'lower'}"
    return f"{title} {value:.{digits}f} ({low} to {high}) {'higher' if up else 'lower'}"


def _listed(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
