"""A search as a searcher of Ray Tune, which keeps no state: its study is rebuilt from the records at every start."""

import random
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

from kd_core.config.errors import SpecError
from kd_core.config.identity import canonical_json
from kd_core.config.trial import TrialConfig
from kd_core.store.product import State
from kd_core.store.records import Store
from sweeps.config.space import Settings, Space
from sweeps.config.sweep import objective_in
from sweeps.plan.plan import Plan, TrialPlan
from sweeps.plan.schedule import Step
from sweeps.plan.scouts import status_in
from sweeps.plan.wanted import proposed_points
from sweeps.search.steps import Engine, StepSearcher
from sweeps.search.study import Study, Trial

_MOST_REPEATS = 50  # proposals in a row of points that were proposed before


@dataclass
class _Point:
    """A point of the search: its trial of the study, its trials, one for every seed, and how many are still to end."""

    trial: Trial
    planned: list[TrialPlan]
    num_open: int
    values: list[float] | None = None


class PointSearcher(StepSearcher):
    """Gives Tune the trials that a search has left, and then those of points that it proposes.

    A point is written to the sweep's index.json before its trials start. Trials that are finished in the store are
    answered from there, whichever sweep has trained them.
    """

    def __init__(self, plan: Plan, store: Store, engine: Engine) -> None:
        self.spec, self.store, self.engine = plan.spec, store, engine
        self.space = Space(plan.spec)
        self.points: dict[str, _Point] = {}
        self.rng = random.Random(f"{plan.spec.search.seed} {len(plan.trials)}")
        self.is_exhausted = False
        known: dict[str, list[TrialPlan]] = {}
        for planned in plan.trials:
            if planned.role != "confirmation":
                known.setdefault(self.space.identity(planned.trial.settings), []).append(planned)
        elsewhere = list(self._warm_start())
        self.study = Study(self.space, num_known=len(known) + len(elsewhere))
        with self.study.replaying():
            for settings, values in elsewhere:
                if self.space.identity(settings) not in known:
                    self.study.tell(self.study.begin(settings), values)
            for trials in known.values():
                self._add(self.study.begin(trials[0].trial.settings), trials)
        super().__init__(plan, store, engine)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to start, now or later."""
        return super().is_over and (self.is_exhausted or not self.schedule.plan.num_unproposed)

    def has_room(self) -> bool:
        """Whether to give out a trial now: not while one that was given out before waits for room.

        So a point is proposed late, when most is known, and an autoscaler sees that there is more to do.
        """
        return len(self.running) <= self.engine.num_at_once() and super().has_room()

    def next_trial(self) -> TrialPlan | None:
        """The next trial that may start now, of a new point if there is no other.

        No more points are proposed ahead than there is room for, if all of them wait for teachers and labels.
        """
        while (planned := super().next_trial()) is None and self.schedule.plan.num_unproposed:
            if self.schedule.num_behind_upstream >= self.engine.num_at_once() or not self._propose():
                return None
        return planned

    def end(self, step: Step) -> None:
        """Tell the study what came of a point once its last trial has ended, by the records."""
        super().end(step)
        if isinstance(step, TrialPlan):
            self._trial_ended(step)

    def give_up(self, planned: TrialPlan, needed: Step) -> None:
        """Count a trial that is not to run as ended."""
        super().give_up(planned, needed)
        self._trial_ended(planned)

    def _trial_ended(self, planned: TrialPlan) -> None:
        if planned.role != "confirmation":
            point = self.points[self.space.identity(planned.trial.settings)]
            point.num_open -= 1
            self._tell_if_ended(point)

    def _add(self, trial: Trial, planned: list[TrialPlan]) -> None:
        """Add a point; one without a trial to run has ended."""
        point = _Point(trial, planned, sum(not each.done for each in planned))
        self.points[self.space.identity(planned[0].trial.settings)] = point
        self._tell_if_ended(point)

    def _tell_if_ended(self, point: _Point) -> None:
        if point.num_open:
            return
        planned = point.planned
        states = [trial.state if trial.done else trial.product.state() for trial in planned]
        trials = list(zip(planned, states, strict=True))
        statuses = [status_in(self.spec, trial.role, state, trial.made_from) for trial, state in trials]
        stopped = "stopped" in statuses
        whole = [(trial.role, values) for trial, state in trials if (values := self._values(state)) is not None]
        point.values = _mean_objectives(whole) if whole and not stopped else None
        self.study.tell(point.trial, point.values, stopped=stopped)

    def _values(self, state: State) -> list[float] | None:
        """The objectives of a finished trial."""
        result = state.result
        figures = result.metrics | {"num_parameters": result.num_parameters} if result else {}
        values = [objective_in(figures, name) for name in self.spec.objectives]
        return None if None in values else [value for value in values if value is not None]

    def _propose(self) -> bool:
        """Add one more point, of another process or of the study; False if all points were proposed before."""
        for identity, settings in proposed_points(self.space, self.store).items():
            if identity not in self.points:
                self._admit(self.study.begin(settings), settings)
                return True
        proposal = self._new_point()
        self.is_exhausted = proposal is None
        if proposal is not None:
            self._admit(*proposal)
            try:
                self.schedule.plan.write(self.store)
            except OSError as error:
                self.engine.note(f"{self.spec.name}: index.json: not written: {error}")
        return proposal is not None

    def _admit(self, trial: Trial, settings: Settings) -> None:
        before = self.schedule.plan
        self.schedule.plan = before.with_trials(self.space.trials(settings), self.store)
        added = list(self.schedule.plan.trials[len(before.trials) :])
        for planned in added:
            self.engine.propose(planned, self.schedule.plan)
        self._add(trial, added)
        self.schedule.join(added)

    def _new_point(self) -> tuple[Trial, Settings] | None:
        """A point that was not proposed before, or None if there is none; repeats are answered at once."""
        for _ in range(_MOST_REPEATS):
            trial, settings = self.study.ask()
            try:
                known = self.points.get(self.space.identity(settings))
            except SpecError:  # valid at the ends of its ranges, but not here
                self.study.tell(trial, None)
                continue
            if known is None:
                return trial, settings
            self.study.tell(trial, known.values)
        for settings in self._random_points():
            with suppress(SpecError):
                if self.space.identity(settings) not in self.points:
                    return self.study.begin(settings), settings
        return None

    def _random_points(self) -> Iterable[Settings]:
        """Points in a random order: all of a space that has not too many."""
        if self.space.size == float("inf"):
            return (self.space.drawn(self.rng) for _ in range(_MOST_REPEATS))
        points = list(self.space.points())
        self.rng.shuffle(points)
        return points

    def _warm_start(self) -> Iterable[tuple[Settings, list[float]]]:
        """The points of other sweeps that lie in the space, with their objectives."""
        for name in self.spec.search.warm_start:
            points: dict[str, tuple[Settings, list[tuple[str, list[float]]]]] = {}
            num_finished = 0
            for role, state in _finished(self.store, name):
                num_finished += 1
                config = TrialConfig.model_validate(state.config)
                settings, values = self.space.settings_of(config), self._values(state)
                if settings is not None and values is not None:
                    points.setdefault(canonical_json(settings), (settings, []))[1].append((role, values))
            num_used = sum(len(values) for _, values in points.values())
            lying = f"{num_used} of {num_finished} finished trials of {name} lie in the space"
            self.engine.note(f"search.warm_start: {lying}")
            yield from ((settings, _mean_objectives(seeds)) for settings, seeds in points.values())


def _mean_objectives(seeds: Sequence[tuple[str, list[float]]]) -> list[float]:
    """The mean of each objective over the seeds of a point, (role, values); over its followers, if it has any."""
    followers = [values for role, values in seeds if role == "follower"]
    return list(map(fmean, zip(*(followers or [values for _, values in seeds]), strict=True)))


def _finished(store: Store, name: str) -> Iterable[tuple[str, State]]:
    """Role and state of each finished trial of a sweep."""
    entries = store.sweep(name).index().trials
    states = store.states(store.trial(entry.key) for entry in entries)
    return [(entry.role, state) for entry, state in zip(entries, states, strict=True) if state.manifest]
