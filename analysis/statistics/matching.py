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
    def keys(self) -> dict[int, dict[str, str]]:
        """The value of each key as text, "" where it is not set, of each arm by its index in points."""
        named = self.points.loc[:, ["method", "teacher", "temperature", "alpha", "student"]].to_dict("records")
        settings = self.points["settings"] if "settings" in self.points else [{}] * len(named)
        rows = [{**one, **other} for one, other in zip(named, settings, strict=True)]
        keys = list(dict.fromkeys(str(key) for row in rows for key in row))
        texts = [{key: _text(row.get(key)) for key in keys} for row in rows]
        return dict(zip(self.points.index.tolist(), texts, strict=True))

    def of(self, *methods: str, fixed: bool = False) -> pd.DataFrame:
        """The points of some methods; fixed leaves out temperature sigma."""
        points = self.points
        return points.loc[points["method"].isin(methods) & ((points["temperature"] != "sigma") | (not fixed))]

    def groups(self, rows: pd.DataFrame, about: frozenset[str] = frozenset()) -> Iterator[tuple[str, pd.DataFrame]]:
        """The rows that are alike but for the keys of about, with a name: the teacher, and the keys that vary."""
        groups: dict[tuple[str, ...], list[int]] = {}
        for row in rows.index.tolist():
            groups.setdefault(self._but(about, row), []).append(row)
        values = {key: {self.keys[row][key] for row in rows.index} for key in self._beside(about)}
        varied = [key for key, seen in values.items() if len(seen) > 1 and key not in ("teacher", "student")]
        for members in groups.values():
            first = self.keys[members[0]]
            names = [first["teacher"] or first["student"]]
            names += [first["student"]] * (len(values["student"]) > 1 and first["teacher"] != "")
            yield ", ".join([*names, *(f"{key} {first[key]}" for key in varied)]), rows.loc[members]

    def pairs(self, first: pd.DataFrame, second: pd.DataFrame, about: frozenset[str]) -> dict[int, int]:
        """Each row of first (its index) with the one of second that is like it but for the keys of about, if any is."""
        partners = {self._but(about, row): row for row in second.index[::-1].tolist()}
        likes = {row: partners.get(self._but(about, row)) for row in first.index.tolist()}
        return {row: partner for row, partner in likes.items() if partner is not None}

    def apart(self, first: pd.DataFrame, second: pd.DataFrame, about: frozenset[str]) -> str:
        """The keys beside those of about in which the nearest two arms differ that differ in a key of about.

        One arm is of first, the other of second; "" if no two differ in a key of about.
        """
        columns = np.array(list(next(iter(self.keys.values()), {})))
        beside = np.isin(columns, self._beside(about))
        codes = {text: code for code, text in enumerate({text for row in self.keys.values() for text in row.values()})}
        one, other = (
            np.array([[codes[text] for text in self.keys[row].values()] for row in rows.index])
            for rows in (first, second)
        )
        fewest, nearest = np.inf, ""
        for arm in one if len(other) else ():
            differ = other != arm
            counts = np.where(differ[:, ~beside].any(axis=1), differ[:, beside].sum(axis=1), np.inf)
            if counts.min() < fewest:
                fewest, nearest = counts.min(), ", ".join(columns[differ[counts.argmin()] & beside])
        return nearest

    def draws(self, figure: str, weights: pd.Series) -> np.ndarray:
        """Draws [R] of a weighted sum of a figure over arms; weights are by the index of points."""
        columns = [self.test.arms.index(arm) for arm in self.points.loc[weights.index, "arm"]]
        return self.test.draws[figure][:, columns] @ weights.to_numpy(dtype=float)

    def case(self, name: str, draws: np.ndarray, weights: pd.Series, figure: str) -> Case:
        """A case of a claim by its draws, which are those of a weighted sum of the figure over arms."""
        rows = self.points.loc[weights.index]
        by_arm: dict[str, float] = {}
        for arm, weight in zip(rows["arm"], weights, strict=True):
            by_arm[arm] = by_arm.get(arm, 0.0) + weight
        num_seeds = self.test.num_seeds
        return Case(
            name=name,
            draws=draws,
            trials=[key for keys in rows["trials"] for key in keys],
            num_seeds=min(num_seeds[arm] for arm in by_arm),
            seed_variance=sum(w**2 * self.test.seed_variance(figure, arm) for arm, w in by_arm.items()),
            widened=max(0.0, float(np.var(self.draws(figure, weights))) - self.test.image_variance(figure, by_arm)),
            freedom=self.test.freedom,
        )

    def needs(self, what: str, first: pd.DataFrame, second: pd.DataFrame, about: frozenset[str]) -> str:
        """What a claim needs, and, if arms of first and second differ in too much for it, in which keys."""
        keys = self.apart(first, second, about)
        return f"{what}, alike in all else; the nearest differ in {keys}" if keys else what

    def _beside(self, about: frozenset[str]) -> list[str]:
        return [key for key in next(iter(self.keys.values()), {}) if key.split(".")[0] not in about]

    def _but(self, about: frozenset[str], row: int) -> tuple[str, ...]:
        return tuple(self.keys[row][key] for key in self._beside(about))


def _text(value: object) -> str:
    """A setting as people write it: `0.2`, `sigma`, `[5, 10]`; "" for none."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
