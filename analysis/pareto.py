"""The accuracy–calibration Pareto front of a sweep's arms, selected on validation only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import moocore
import numpy as np
import pandas as pd

from analysis.objectives import OBJECTIVES, check_names, figure_of
from analysis.runs import RECIPE, SETTINGS, TRIAL_COLUMNS

WORST = {"accuracy": 0.0, "balanced_accuracy": 0.0, "brier": 2.0, "augrc": 0.5}
WORST |= dict.fromkeys(("ece", "ece_debiased", "classwise_ece", "abs_gap", "aurc"), 1.0)


def dominates(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether first [D] is nowhere worse than second [D] and somewhere better; smaller is better."""
    return bool(np.all(first <= second) and np.any(first < second))


def nondominated(values: np.ndarray) -> np.ndarray:
    """Which points [N, D] no other point dominates, boolean [N]; smaller is better, equal points are treated alike."""
    assert np.isfinite(values).all(), "a point with a missing value has no place in the order"
    return np.asarray(moocore.is_nondominated(values, keep_weakly=True), dtype=bool)


@dataclass(frozen=True)
class Front:
    """All finished arms, and which of them no other arm dominates.

    points: one row per arm, figures averaged over its `counted` replicates, with on_front, num_seeds and the list of
    the trials that its figures on test are of, and the trial and label of its best replicate by the first objective.
    hypervolume: the volume between the front and the reference point, in the product of the objectives' units; higher
    is better. attainment: the volume that the fronts of single seeds attain, in `every` seed, in `half` of them, in
    `any`; empty with one seed or one objective.
    """

    points: pd.DataFrame
    objectives: dict[str, str]
    reference: dict[str, float]
    hypervolume: float
    attainment: dict[str, float] = field(default_factory=dict)

    @property
    def values(self) -> np.ndarray:
        """The objectives of every arm, [A, D], with signs such that smaller is better."""
        return _oriented(self.points, self.objectives)

    @property
    def members(self) -> pd.DataFrame:
        """The arms on the front, the best by the first objective first."""
        name, direction = next(iter(self.objectives.items()))
        return self.points.loc[self.points["on_front"]].sort_values(name, ascending=[direction == "min"], kind="stable")


def front_of(runs: pd.DataFrame, objectives: Mapping[str, str] | None = None) -> Front:
    """The front of a table of runs (`analysis.runs.runs_of`); without a finished run it is empty.

    An arm that lacks an objective is never on it. Raises ValueError for an objective that is not a validation figure.
    """
    objectives = dict(OBJECTIVES if objectives is None else objectives)
    check_names(objectives)
    points = _arms_of(runs, *next(iter(objectives.items())))
    values = _oriented(points, objectives)
    comparable = np.isfinite(values).all(axis=1)
    on_front = np.zeros(len(points), dtype=bool)
    on_front[comparable] = nondominated(values[comparable])
    reference = {name: _worst(points, name, direction) for name, direction in objectives.items()}
    (corner,) = _oriented(pd.DataFrame([reference]), objectives)
    return Front(
        points=points.assign(on_front=on_front),
        objectives=objectives,
        reference=reference,
        hypervolume=_hypervolume(values[on_front], corner),
        attainment=_attainment(counted(runs), objectives, corner),
    )


def staircase(values: np.ndarray, directions: Sequence[str]) -> np.ndarray:
    """The corners [C, 2], from left to right, of the line that bounds the region attained by points [N, 2].

    directions are two of max and min. Dominated points do not touch the line.
    """
    signs = [-1.0 if direction == "max" else 1.0 for direction in directions]
    best = np.unique(values[nondominated(values * signs)], axis=0)
    horizontal, vertical = np.repeat(best, 2, axis=0).T
    pair = (horizontal[:-1], vertical[1:]) if directions[0] == "max" else (horizontal[1:], vertical[:-1])
    return np.stack(pair, axis=1)


def counted(runs: pd.DataFrame, split: str = "validation") -> pd.DataFrame:
    """The finished runs that the figures of arms on a split come from: those on which nothing was decided.

    With early stopping these are an arm's followers (column `role`). Its scout was selected, and looks better than it
    is; it counts where no follower has finished, as with one seed an arm. Runs that confirm an arm have no part in
    selecting, and on test they alone count. Arms are in the order of their first runs.
    """
    finished = runs.loc[runs["status"] == "finished"]
    if "role" not in finished or not finished["role"].isin(["follower", "confirmation"]).to_numpy().any():
        return finished
    rank = finished["role"].map({"follower": 1, "confirmation": 2}).fillna(0)
    selecting = finished.loc[rank < 2]
    if split == "validation":
        finished = selecting
    best = rank[finished.index].groupby(finished["arm"]).transform("max")
    used = finished.loc[rank[finished.index] == best]
    places = {arm: place for place, arm in enumerate(selecting["arm"].drop_duplicates())}
    return used.loc[used["arm"].isin(list(places))].sort_values("arm", key=lambda arms: arms.map(places), kind="stable")


def _arms_of(runs: pd.DataFrame, name: str, direction: str) -> pd.DataFrame:
    """One row per arm: its best replicate by name, with every figure replaced by the mean over `counted` replicates."""
    selecting, tested = counted(runs), counted(runs, "test")
    figures = runs.columns.difference(TRIAL_COLUMNS, sort=False)
    on_test = figures[figures.str.startswith("test/")]
    tested_arms = tested.groupby("arm", sort=False)
    best = selecting.sort_values(name, ascending=[direction == "min"], kind="stable").drop_duplicates("arm")
    means = pd.DataFrame(selecting.groupby("arm", sort=False)[figures.drop(on_test)].mean())
    return (
        best[["arm", "trial", "label", *RECIPE, *({SETTINGS} & set(best.columns))]]
        .set_index("arm")
        .assign(num_seeds=tested_arms.size(), trials=tested_arms["trial"].agg(list))
        .join([means, pd.DataFrame(tested_arms[on_test].mean())])
        .reindex(selecting["arm"].drop_duplicates())
        .reset_index(names="arm")
    )


def _oriented(points: pd.DataFrame, objectives: Mapping[str, str]) -> np.ndarray:
    """The objectives of points [N, D], with signs such that smaller is better."""
    signs = [-1.0 if direction == "max" else 1.0 for direction in objectives.values()]
    return points[list(objectives)].to_numpy(dtype=float) * signs


def _worst(points: pd.DataFrame, name: str, direction: str) -> float:
    """The worst value of a bounded figure (accuracy 0, calibration errors 1, Brier 2), else the worst in points."""
    figure = figure_of(name).removesuffix("_scaled")
    if figure in WORST:
        return WORST[figure]
    return float(points[name].agg("min" if direction == "max" else "max"))  # type: ignore[arg-type]


def _hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    return float(moocore.hypervolume(values, ref=reference)) if len(values) else 0.0


def _attainment(runs: pd.DataFrame, objectives: Mapping[str, str], corner: np.ndarray) -> dict[str, float]:
    """The hypervolume under the empirical attainment surfaces of the seeds (Grunert da Fonseca 2001)."""
    values, seeds = _oriented(runs, objectives), runs["seed"].to_numpy()
    whole = np.isfinite(values).all(axis=1)
    number = len(np.unique(seeds[whole]))
    if number < 2 or len(objectives) < 2:
        return {}
    levels = {"every": 100.0, "half": 50.0, "any": 100.0 / number}
    surfaces = {name: moocore.eaf(values[whole], seeds[whole], percentiles=[level]) for name, level in levels.items()}
    return {name: _hypervolume(surface[:, :-1], corner) for name, surface in surfaces.items()}
