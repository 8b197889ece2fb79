"""The trials that a spec wants: all of a grid, or of a search those proposed so far, and what it may still propose."""

import itertools
import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from kd_core.config.identity import canonical_json, signal_identity
from kd_core.store.records import Store
from sweeps.config.arms import PlannedTrial, trials_of
from sweeps.config.errors import SpecError
from sweeps.config.space import Space
from sweeps.config.sweep import SweepSpec
from sweeps.plan.confirmation import confirming_trials


@dataclass(frozen=True)
class Wanted:
    """The trials of a spec, those of a search in the order of its proposals.

    num_unproposed counts the points that a search is still to propose. unproposed holds stand-ins for their trials:
    those of as many random points, and the longest one of every signal that may be needed. foreseen holds the teacher
    inputs that no range changes, so that their signals can be labelled before the first trial; None means all.
    """

    trials: list[PlannedTrial]
    num_unproposed: int = 0
    unproposed: list[PlannedTrial] = field(default_factory=list)
    foreseen: set[str] | None = None

    def foresees(self, trial: PlannedTrial) -> bool:
        """Whether the signal of a trial is known before the first trial."""
        return self.foreseen is None or self.foreseen.issuperset(_teacher_inputs(trial))


def trials_wanted(spec: SweepSpec, store: Store) -> Wanted:
    """The trials that a spec wants; a search goes on from what it has proposed by its index.

    Last come those on fresh seeds, if the sweep is confirmed.
    """
    at_ends = trials_of(spec)
    if spec.search.trials is None:
        return Wanted(at_ends + confirming_trials(spec, store, at_ends))
    for name in spec.search.warm_start:
        if name == spec.name:
            remedy = "it goes on from its own points anyway; remove it, or give this sweep another name"
            raise SpecError(f"search.warm_start: {name}: is the search itself; {remedy}")
        try:
            store.sweep(name).index()
        except FileNotFoundError as error:
            remedy = "run it with this storage first, or remove it from the list"
            raise SpecError(f"search.warm_start: {name}: {error}; {remedy}") from None
    space = Space(spec)
    points = proposed_points(space, store)
    trials = [trial for settings in points.values() for trial in space.trials(settings)]
    in_the_middle = [trial for settings in space.middles() for trial in space.trials(settings)]
    foreseen = _all_inputs(at_ends) & _all_inputs(in_the_middle)
    num_unproposed = max(0, int(min(spec.search.trials, space.size)) - len(points))
    rng = random.Random(spec.search.seed)
    drawn = [trial for _ in range(num_unproposed) for trial in space.trials(space.drawn(rng))]
    longest: dict[str, PlannedTrial] = {}
    if num_unproposed:
        for trial in sorted(at_ends, key=lambda each: -each.config.num_stream_epochs):
            for needed in foreseen.intersection(_teacher_inputs(trial)):
                longest.setdefault(needed, trial)
    trials += confirming_trials(spec, store, trials)
    stand_ins = {id(trial): trial for trial in longest.values()}
    return Wanted(trials, num_unproposed, [*drawn, *stand_ins.values()], foreseen)


def proposed_points(space: Space, store: Store) -> dict[str, dict[str, Any]]:
    """The points that a search has proposed and that still lie in its space, by the identity of their trials."""
    try:
        index = store.sweep(space.spec.name).index()
    except FileNotFoundError:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for entry in index.trials:
        settings = entry.settings
        if settings is not None and space.index_of(settings) is not None:
            with suppress(SpecError):  # its spec was another one
                found.setdefault(space.identity(settings), settings)
    return dict(itertools.islice(found.items(), space.spec.search.trials))


def _all_inputs(trials: Iterable[PlannedTrial]) -> set[str]:
    return {text for trial in trials for text in _teacher_inputs(trial)}


def _teacher_inputs(trial: PlannedTrial) -> list[str]:
    """Of each network that it learns from, a text that is the same for trials for which that sees the same images."""
    members = zip(trial.members, trial.config.teachers, strict=True)
    return [canonical_json(signal_identity(trial.config.taught_by(config), "", name)) for name, config in members]
