"""The arms of a front with their draws on test, and which of them differ in nothing but what a claim is about."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.statistics.cases import Case
from analysis.statistics.evidence import Evidence

# what a claim may be about: keys, or the sections that they are in
MIXUP = frozenset({"method", "mixup"})
TEACHING = frozenset({"method", "teacher", "temperature", "alpha", "beta"})
TEMPERATURE, TEACHER = frozenset({"temperature"}), frozenset({"teacher"})


@dataclass(frozen=True)
class Arms:
    """The arms of a front (points) with their draws on test.

    Two arms are alike but for some keys if all their others are equal: method, teacher, temperature, alpha, student
    and, where points have a column settings (`analysis.runs`), all else in which the sweep's trials differ.
    """

    points: pd.DataFrame
    test: Evidence

    @cached_property
    def keys(self) -> pd.DataFrame:
        """The value of each key of each arm as text, "" where it is not set; rows are those of points."""
        named = self.points.loc[:, ["method", "teacher", "temperature", "alpha", "student"]]
        settings = self.points["settings"] if "settings" in self.points else [{}] * len(named)
        rows = [{**one, **other} for one, other in zip(named.to_dict("records"), settings, strict=True)]
        keys = list(dict.fromkeys(key for row in rows for key in row))
        return pd.DataFrame([[_text(row.get(key)) for key in keys] for row in rows], named.index, keys)

    def of(self, *methods: str, fixed: bool = False) -> pd.DataFrame:
        """The points of some methods; fixed leaves out temperature sigma."""
        points = self.points
        return points.loc[points["method"].isin(methods) & ((points["temperature"] != "sigma") | (not fixed))]

    def groups(self, rows: pd.DataFrame, about: frozenset[str] = frozenset()) -> Iterator[tuple[str, pd.DataFrame]]:
        """The rows that are alike but for the keys of about, with a name: the teacher, and the keys that vary."""
        columns = self._beside(about)
        varied = [key for key in columns if key != "teacher" and self.keys.loc[rows.index, key].nunique() > 1]
        for _, group in self.keys.loc[rows.index].groupby(columns, sort=False):
            first = group.iloc[0]
            whose = first["teacher"] if "teacher" in columns and first["teacher"] else first["student"]
            names = [whose, *(f"{key} {first[key]}" for key in varied if key != "student" or whose != first["student"])]
            yield ", ".join(map(str, names)), rows.loc[group.index]

    def pairs(self, first: pd.DataFrame, second: pd.DataFrame, about: frozenset[str]) -> list[tuple[int, int]]:
        """Each row of first (its index) with the one of second that is like it but for the keys of about, if any is."""
        columns = self._beside(about)
        partners = {keys: row for row, keys in _rows(self.keys.loc[second.index[::-1], columns])}
        return [(row, partners[keys]) for row, keys in _rows(self.keys.loc[first.index, columns]) if keys in partners]

    def apart(self, first: pd.DataFrame, second: pd.DataFrame, about: frozenset[str]) -> str:
        """The keys beside those of about in which the nearest two arms differ that differ in a key of about.

        One arm is of first, the other of second; "" if no two differ in a key of about.
        """
        codes = self.keys.apply(lambda column: pd.Series(pd.factorize(column)[0], column.index))
        beside, others = codes.columns.isin(self._beside(about)), codes.loc[second.index].to_numpy()
        fewest, nearest = np.inf, ""
        for arm in codes.loc[first.index].to_numpy():
            differ = others != arm
            counts = np.where(differ[:, ~beside].any(axis=1), differ[:, beside].sum(axis=1), np.inf)
            if counts.min(initial=np.inf) < fewest:
                fewest, closest = counts.min(), differ[counts.argmin()]
                nearest = ", ".join(codes.columns[closest & beside])
        return nearest

    def draws(self, figure: str, weights: pd.Series) -> np.ndarray:
        """Draws [R] of a weighted sum of a figure over arms; weights are by the index of points."""
        columns = [self.test.arms.index(arm) for arm in self.points.loc[weights.index, "arm"]]
        return self.test.draws[figure][:, columns] @ weights.to_numpy(dtype=float)

    def case(self, name: str, draws: np.ndarray, weights: pd.Series) -> Case:
        """A case of a claim by its draws, which are those of a weighted sum over arms."""
        return Case(name, draws, [key for keys in self.points.loc[weights.index, "trials"] for key in keys])

    def needs(self, what: str, first: pd.DataFrame, second: pd.DataFrame, about: frozenset[str]) -> str:
        """What a claim needs, and, if arms of first and second differ in too much for it, in which keys."""
        keys = self.apart(first, second, about)
        return f"{what}, alike in all else; the nearest differ in {keys}" if keys else what

    def _beside(self, about: frozenset[str]) -> list[str]:
        return [key for key in self.keys if key.split(".")[0] not in about]


def _rows(keys: pd.DataFrame) -> Iterator[tuple[int, tuple[str, ...]]]:
    return zip(keys.index, keys.itertuples(index=False, name=None), strict=True)


def _text(value: object) -> str:
    """A setting as people write it: `0.2`, `sigma`, `[5, 10]`; "" for none."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
