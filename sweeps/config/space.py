"""The space of a search: the points that its arms' lists and ranges allow, and the trials of each point."""

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kd_core.config.errors import SpecError
from kd_core.config.identity import canonical_json
from kd_core.config.trial import TrialConfig
from kd_core.fields import number_of
from sweeps.config.arms import PlannedTrial, dimensions_of, number, planned_trial
from sweeps.config.search import RangeConfig
from sweeps.config.sweep import SweepSpec

Settings = dict[str, Any]
_DIGITS = 3  # of a number that a search proposes; more make no difference, and nobody can read them
_MOST_POINTS = 2_000  # of a space that is searched to its last point


@dataclass(frozen=True)
class Range:
    """The numbers from low to high, on a logarithmic scale or not, perhaps whole ones only."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def rounded(self, value: float) -> float:
        """The nearest number of the range that a search proposes: whole, or of three significant digits."""
        value = round(value) if self.whole else float(f"{value:.{_DIGITS}g}")
        return number(min(max(value, self.low), self.high))

    @property
    def middle(self) -> float:
        """The number in the middle."""
        return self.rounded((self.low + self.high) / 2)

    def drawn(self, rng: random.Random) -> float:
        """A random number of the range."""
        if self.log:
            return self.rounded(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))
        return self.rounded(rng.uniform(self.low, self.high))

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.whole or float(value).is_integer())


Dimension = Range | list[Any]


class Space:
    """The arms of a search. A point is given by the settings of an arm, one value a key."""

    def __init__(self, spec: SweepSpec, source: str = "spec") -> None:
        """Raises SpecError where an arm's values make no sense."""
        self.spec, self.source = spec, source
        self._identities: dict[str, str] = {}
        self.arms = [self._arm(index, arm) for index, arm in enumerate(spec.arms)]

    def _arm(self, index: int, arm: dict[str, Any]) -> dict[str, Dimension]:
        dimensions = dimensions_of(arm, self._where(index), grid=False)
        return {
            key: Range(each.low, each.high, each.log, self._takes_whole_numbers_only(index, key, dimensions))
            if isinstance(each, RangeConfig)
            else each
            for key, each in dimensions.items()
        }

    def _takes_whole_numbers_only(
        self, index: int, key: str, dimensions: Mapping[str, RangeConfig | list[Any]]
    ) -> bool:
        """Whether an arm's key is refused a number between two whole ones, although it takes those."""
        low = {
            name: number(each.low) if isinstance(each, RangeConfig) else each[0] for name, each in dimensions.items()
        }
        dimension = dimensions[key]
        if not (isinstance(low[key], int) and isinstance(dimension, RangeConfig) and dimension.high.is_integer()):
            return False
        try:
            planned_trial(self.spec, low | {key: low[key] + 0.5}, self.spec.seeds[0], self._where(index))
        except SpecError:
            planned_trial(self.spec, low, self.spec.seeds[0], self._where(index))  # if this fails, low is at fault
            return True
        return False

    def _where(self, index: int) -> str:
        return f"{self.source}: arms[{index}]"

    def index_of(self, settings: Settings) -> int | None:
        """The first arm that allows these settings, or None."""
        for index, arm in enumerate(self.arms):
            if arm.keys() == settings.keys() and all(settings[key] in values for key, values in arm.items()):
                return index
        return None

    def trials(self, settings: Settings) -> list[PlannedTrial]:
        """The trials of a point, one for every seed; raises SpecError."""
        where = self._where(self.index_of(settings) or 0)
        return [planned_trial(self.spec, settings, seed, where) for seed in self.spec.seeds]

    def identity(self, settings: Settings) -> str:
        """A text that points of equal trials share."""
        text = canonical_json(settings)
        if text not in self._identities:
            self._identities[text] = self.trials(settings)[0].identity
        return self._identities[text]

    @property
    def size(self) -> float:
        """The number of points, infinite if there are too many to count."""
        sizes = [[_size(values) for values in arm.values()] for arm in self.arms]
        if sum(map(math.prod, sizes)) > _MOST_POINTS:
            return math.inf
        return len({self.identity(settings) for settings in self.points()})

    def points(self) -> Iterator[Settings]:
        """Every point of a space that has not too many."""
        for arm in self.arms:
            for values in itertools.product(*map(_values, arm.values())):
                yield dict(zip(arm, values, strict=True))

    def middles(self) -> Iterator[Settings]:
        """Every combination of the choices, with each number in the middle of its range."""
        for arm in self.arms:
            values = ([each.middle] if isinstance(each, Range) else each for each in arm.values())
            for chosen in itertools.product(*values):
                yield dict(zip(arm, chosen, strict=True))

    def drawn(self, rng: random.Random) -> Settings:
        """A random point: a random arm, and random values of its keys."""
        arm = rng.choice(self.arms)
        return {
            key: values.drawn(rng) if isinstance(values, Range) else rng.choice(values) for key, values in arm.items()
        }

    def settings_of(self, config: TrialConfig) -> Settings | None:
        """The point that has a trial of this config, of any seed; None if it lies outside of the space."""
        content, seed = config.model_dump(mode="json"), config.seed
        for index, arm in enumerate(self.arms):
            known = [self._values_of(content, key, values) for key, values in arm.items()]
            for each in itertools.product(*known):
                settings = dict(zip(arm, each, strict=True))
                with suppress(SpecError):
                    if planned_trial(self.spec, settings, seed, self._where(index)).config == config:
                        return settings
        return None

    def _values_of(self, content: Mapping[str, Any], key: str, values: Dimension) -> list[Any]:
        """Which values of an arm's key a config may have been made from."""
        if key == "teacher":
            teachers = {name: self.spec.teacher_config(name).model_dump(mode="json") for name in self.spec.teachers}
            return [name for name in _values(values) if teachers.get(str(name)) == content["teacher"]]
        place: Any = content
        for part in key.split("."):
            place = place.get(part) if isinstance(place, dict) else None
        if isinstance(values, Range):
            return [number(place)] if place in values else []
        return [value for value in values if isinstance(value, dict) or _comparable(value) == _comparable(place)]


def _comparable(value: Any) -> Any:
    return (type(value), value) if isinstance(value, bool) else number_of(value)


def _size(values: Dimension) -> float:
    if isinstance(values, Range):
        return values.high - values.low + 1 if values.whole else math.inf
    return len(values)


def _values(values: Dimension) -> list[Any]:
    return list(range(int(values.low), int(values.high) + 1)) if isinstance(values, Range) else values
