"""Which keys of a sweep matter: the share of an objective's variance over arms that each key explains.

Arms are described by a sum of effects, one a key: keys with few values have one for each value, numbers of a search a
parabola over their ranks, which sees an optimum between the ends. The share of a key is ε² (Kelley 1935): by how much
the squares left over grow without it, less what as many regressors explain by chance, so that a key that does nothing
has a share of 0 on average. What keys do only together, and noise of seeds and images, is the rest. Of a grid the share
is the main effect of fANOVA (Hutter 2014), whose forests, of 15 arms of a search, gave an idle key 6 % and one that
explains 17 % half of that, and take too long to be resampled (tests/benchmarks/coverage has the designs). Of 15 arms of
a search, the 95 % intervals held true shares in only 77 to 88 % of simulations, so of few arms nothing is said.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.pareto import Front
from analysis.statistics.bootstrap import COVERAGE, resample

MATTERS, IDLE, OPEN = "matters", "does nothing visible", "open"
FEWEST_ARMS, FEWEST_LEFT = 30, 2  # to say anything, and beside a sum of effects
NEGLIGIBLE = 0.1  # a key that explains less than this share, with confidence, does nothing
_KEYS = ("method", "teacher", "temperature", "alpha", "student")  # and those of the column settings
_MOST_VALUES = 8  # of a number that are compared one by one
_MOST_RESAMPLES, _FEWEST_RESAMPLES, _MOST_DRAWS = 300, 100, 200_000


@dataclass(frozen=True)
class Importance:
    """The share of an objective's variance over arms that a key explains, and its 95 % interval over resampled arms.

    key: its name, or those of all keys that always change together. num_arms: those that have the key; others differ
    from them by another one. verdict: it matters if the interval is above 0, and the share above what 95 % of permuted
    labels give (for all keys of the objective together); it does nothing visible if the interval ends below NEGLIGIBLE,
    and permuted labels stay below it, too.
    NaN, and open, where it only changes together with other keys.
    """

    objective: str
    key: str
    num_values: int
    num_arms: int
    share: float
    low: float
    high: float
    verdict: str


def importances_of(front: Front) -> list[Importance]:
    """The importance of each key in which arms differ, for each objective, the largest share first.

    Keys of which nearly every arm has a value of its own, other than numbers, are left out. Empty for fewer than
    FEWEST_ARMS arms.
    """
    made = []
    for objective in front.objectives:
        points = front.points.loc[np.isfinite(front.points[objective].to_numpy(float))]
        if len(points) < FEWEST_ARMS or points[objective].nunique() == 1:
            continue
        factors, values = _factors(points), points[objective].to_numpy(float)
        importances = [_importance(objective, factor, factors, values) for factor in factors]
        made += sorted(importances, key=lambda importance: -importance.share)
    return made


def keys_of(points: pd.DataFrame) -> dict[str, list[str | float | None]]:
    """The value of every key of each arm, None where it has none; a temperature or a setting may be a number."""
    settings = points["settings"].tolist() if "settings" in points else [{}] * len(points)
    columns = {key: points[key].tolist() for key in _KEYS}
    columns |= {key: [of_arm.get(key) for of_arm in settings] for key in sorted(set().union(*settings))}
    return {key: [_value(value) for value in values] for key, values in columns.items()}


def _value(value: object) -> str | float | None:
    """A number, text, or None for what is not set."""
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return json.dumps(value, sort_keys=True)
    try:
        return float(value)
    except ValueError:
        return str(value)


@dataclass(frozen=True)
class _Factor:
    """A key as regressors [A, C], whose columns have mean 0 over the arms that have the key, and are 0 for others."""

    key: str
    num_values: int
    has: np.ndarray
    design: np.ndarray


def _factors(points: pd.DataFrame) -> list[_Factor]:
    """The keys in which arms differ and have arms to compare; keys that always change together are one."""
    made: dict[bytes, _Factor] = {}
    for key, values in keys_of(points).items():
        codes = pd.factorize(pd.Series(values, dtype=object))[0]
        has, num_values = codes >= 0, int(codes.max()) + 1
        numbers = [value for value in values if isinstance(value, float)]
        if num_values <= min(_MOST_VALUES, has.sum() / 2) or len(numbers) < has.sum():
            likeness, columns = codes, [codes == code for code in range(num_values) if num_values < has.sum()]
        else:
            likeness = np.zeros(len(codes))
            likeness[has] = (pd.Series(numbers).rank().to_numpy() - (len(numbers) + 1) / 2) / len(numbers)
            likeness *= np.sign(likeness[np.flatnonzero(likeness)[:1]]).sum()  # a falling key is like a rising one
            columns = [likeness, likeness**2]
        if num_values > 1 and has.sum() > len(columns) > 0:
            design = np.stack(columns, axis=1).astype(float)
            design = (design - design[has].mean(axis=0)) * has[:, None]
            same = made.get(likeness.tobytes())
            made[likeness.tobytes()] = _Factor(f"{same.key}, {key}" if same else key, num_values, has, design)
    return list(made.values())


def _importance(objective: str, factor: _Factor, factors: Sequence[_Factor], values: np.ndarray) -> Importance:
    count = len(values)
    num_resamples = max(_FEWEST_RESAMPLES, min(_MOST_RESAMPLES, _MOST_DRAWS // count))
    others = [np.ones((count, 1)), *(other.design for other in factors if other is not factor)]
    if count - np.linalg.matrix_rank(np.hstack([*others, factor.design])) < FEWEST_LEFT:
        others = others[:1]  # too few arms for a sum of effects: each key alone
    rest, once, designs = np.hstack(others), np.ones((1, count)), factor.design[None]
    observed = float(_shares(rest, designs, values, once)[0])
    again = _shares(rest, designs, values, resample(count, num_resamples))
    about = (objective, factor.key, factor.num_values, int(factor.has.sum()))
    if np.isnan(observed) or np.isnan(again).all():
        return Importance(*about, share=np.nan, low=np.nan, high=np.nan, verdict=OPEN)
    ends = np.nanquantile(again, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]) - (np.nanmean(again) - observed)
    low, high = np.clip(ends, 0, 1).tolist()
    permuted = _shares(rest, _permuted(factor, num_resamples), values, once)
    by_chance = np.nanquantile(permuted, 1 - (1 - COVERAGE) / len(factors))
    verdict = MATTERS if low > 0 and observed > by_chance else IDLE if max(high, by_chance) < NEGLIGIBLE else OPEN
    return Importance(*about, share=max(0.0, observed), low=low, high=high, verdict=verdict)


def _shares(rest: np.ndarray, designs: np.ndarray, values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """ε² [R] of regressors designs [R, A, C] (or [1, A, C]) beside others, rest [A, D], of values [A].

    Arms occur so many times, weights [R, A] (or [1, A]). NaN where the regressors add nothing to the others.
    """
    size, (whole, _) = weights.sum(axis=1), _left(np.ones((1, len(values), 1)), values, weights)
    without, rank_without = _left(rest[None], values, weights)
    left, rank = _left(np.concatenate([np.tile(rest, (len(designs), 1, 1)), designs], axis=2), values, weights)
    usable = (rank > rank_without) & (size > rank) & (whole > 0)
    by_chance = (rank - rank_without) * left / np.where(usable, size - rank, 1)
    return np.where(usable, (without - left - by_chance) / np.where(usable, whole, 1), np.nan)


def _left(designs: np.ndarray, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weighted squares that a regression of values [A] on designs [R, A, C] leaves, and its rank, both [R]."""
    centred = values - values.mean()
    weighted = designs * weights[:, :, None]
    gram, moments = np.swapaxes(weighted, 1, 2) @ designs, np.swapaxes(weighted, 1, 2) @ centred
    inverse = np.linalg.pinv(gram, rcond=1e-9, hermitian=True)
    explained = np.einsum("rk,rkl,rl->r", moments, inverse, moments)
    rank = np.rint(np.einsum("rkl,rlk->r", inverse, gram))
    return np.maximum(0.0, weights @ centred**2 - explained), rank


def _permuted(factor: _Factor, num_resamples: int) -> np.ndarray:
    """The regressors [R, A, C] of a key if the arms that have it had exchanged its values."""
    count = int(factor.has.sum())
    order = np.random.Philox(key=count).random_raw(num_resamples * count).reshape(num_resamples, count).argsort(axis=1)
    made = np.tile(factor.design, (num_resamples, 1, 1))
    made[:, factor.has] = factor.design[factor.has][order]
    return made
