"""The points of a search as trials of an Optuna study in memory, with all of the sweep's objectives."""

import random
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from sweeps.config.search import SearchConfig
from sweeps.config.space import Range, Settings, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Study:
    """A study that is told the points of a search and what came of them, and proposes others.

    Parameters are the arm, if there are several, and each key of it with more than one value. Keys of the same values
    in several arms are one parameter, so that what was seen in one arm counts in the others.
    """

    def __init__(self, space: Space, num_known: int) -> None:
        """A study for a space; num_known, the number of points known before, gives its proposals another seed."""
        self.space, search = space, space.spec.search
        self._names = [{key: self._name(index, key) for key in arm} for index, arm in enumerate(space.arms)]
        free = [(self._names[index][key], values) for index, key, values in self._dimensions()]
        ranges = {name: values for name, values in free if isinstance(values, Range)}
        seed = random.Random(f"{search.seed} {num_known}").getrandbits(31)
        self._sampler = _sampler(search, seed, ranges)
        ways = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
        directions = [ways[way] for way in space.spec.objectives.values()]
        self._study = optuna.create_study(directions=directions, sampler=self._sampler)

    def _dimensions(self) -> Iterator[tuple[int, str, Any]]:
        for index, arm in enumerate(self.space.arms):
            yield from ((index, key, values) for key, values in arm.items() if _is_free(values))

    def _name(self, index: int, key: str) -> str:
        values = self.space.arms[index][key]
        alike = all(others == values for _, name, others in self._dimensions() if name == key)
        return key if alike else f"arms[{index}].{key}"

    @contextmanager
    def replaying(self) -> Iterator[None]:
        """Within the block, begin points that are known already, which takes no time."""
        self._study.sampler = RandomSampler()
        yield
        self._study.sampler = self._sampler

    def begin(self, settings: Settings) -> Trial:
        """A trial of the study for a given point."""
        index = self.space.index_of(settings)
        assert index is not None, settings
        params: dict[str, Any] = {"arm": index} if len(self.space.arms) > 1 else {}
        for key, values in self.space.arms[index].items():
            if _is_free(values):
                value = settings[key]
                params[self._names[index][key]] = value if isinstance(values, Range) else values.index(value)
        self._study.enqueue_trial(params)
        trial, proposed = self.ask()
        assert proposed == settings, (proposed, settings)
        if isinstance(self._sampler, NSGAIISampler):  # which breeds only from trials of a generation
            self._sampler.get_trial_generation(self._study, self.trials[trial.number])
        return trial

    def ask(self) -> tuple[Trial, Settings]:
        """A trial of the study for a point that the sampler proposes."""
        trial = self._study.ask()
        num_arms = len(self.space.arms)
        index = trial.suggest_categorical("arm", list(range(num_arms))) if num_arms > 1 else 0
        arm, names = self.space.arms[index], self._names[index]
        return trial, {key: _suggested(trial, names[key], values) for key, values in arm.items()}

    def tell(self, trial: Trial, values: Sequence[float] | None, *, stopped: bool = False) -> None:
        """Say what came of a trial: its objectives, or None if it failed or was stopped early."""
        state = TrialState.COMPLETE if values is not None else TrialState.PRUNED if stopped else TrialState.FAIL
        self._study.tell(trial, values=list(values) if values is not None else None, state=state)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials of the study, in the order in which they began."""
        return self._study.get_trials(deepcopy=False)


def _is_free(values: Range | list[Any]) -> bool:
    return isinstance(values, Range) or len(values) > 1


def _suggested(trial: Trial, name: str, values: Range | list[Any]) -> Any:
    if not isinstance(values, Range):
        return values[trial.suggest_categorical(name, list(range(len(values))))] if _is_free(values) else values[0]
    if values.whole:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return values.rounded(trial.suggest_float(name, values.low, values.high, log=values.log))


def _sampler(search: SearchConfig, seed: int, ranges: Mapping[str, Range]) -> BaseSampler:
    """Optuna's sampler with numbers rounded; NSGA-II has generations that leave time for several of them."""
    kinds: dict[str, tuple[type[BaseSampler], dict[str, Any]]] = {
        "nsga2": (NSGAIISampler, {"population_size": population_of(search.trials or 1)}),
        "tpe": (TPESampler, {"constant_liar": True}),
        "gp": (GPSampler, {}),
        "random": (RandomSampler, {}),
    }
    kind, options = kinds[search.sampler]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        rounding: Any = type(kind.__name__, (_Rounding, kind), {"ranges": ranges})
        return rounding(seed=seed, **options)


def population_of(num_trials: int) -> int:
    """The size of NSGA-II's generations in a search of so many trials."""
    return min(50, max(6, num_trials // 10))


class _Rounding:
    """Rounds the numbers of a sampler before the study sees them, so that it knows what was really tried."""

    ranges: Mapping[str, Range]

    def _rounded(self, name: str, value: Any) -> Any:
        return type(value)(self.ranges[name].rounded(value)) if name in self.ranges else value

    def sample_relative(self, *arguments: Any) -> dict[str, Any]:
        """Parameters that are sampled together, rounded."""
        params = super().sample_relative(*arguments)  # type: ignore[misc]
        return {name: self._rounded(name, value) for name, value in params.items()}

    def sample_independent(self, study: Any, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        """One parameter, rounded."""
        value = super().sample_independent(study, trial, param_name, param_distribution)  # type: ignore[misc]
        return self._rounded(param_name, value)
