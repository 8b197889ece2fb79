"""How sure a front is: the probability of each arm, the arms that cannot be ruled out, and what would decide."""

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.pareto import Front, figure_of, nondominated
from analysis.statistics.evidence import Evidence

PLAUSIBLE = 0.95  # of resamples


def judged(front: Front, validation: Evidence | None) -> Front:
    """The same front with columns front_probability, plausible, rival and rival_share for every arm.

    front_probability: in how many resamples no other arm dominates the arm. rival: the arm that dominates it most
    often, in rival_share of the resamples ("" if none ever does). plausible: rival_share < 0.95. The set of plausible
    arms promises this: an arm that is truly on the front is in it with a probability of about 95 % or more, for each
    rival that it is truly level with. It promises less if many rivals are level with an arm (checked by simulation in
    tests/benchmarks/coverage), and nothing about arms that have no business being in it: with few images, all are.
    Arms that lack an objective have probability 0.
    """
    count = len(front.points)
    probability, share, rival = np.zeros(count), np.ones(count), np.full(count, "", dtype=object)
    comparable = np.flatnonzero(np.isfinite(front.values).all(axis=1))
    if validation is not None and comparable.size:
        draws = oriented_draws(front, validation)[:, comparable]
        probability[comparable] = front_probability(draws)
        dominated = domination(draws)
        share[comparable] = dominated.max(axis=0)
        names = front.points["arm"].to_numpy()[comparable]
        rival[comparable] = np.where(dominated.max(axis=0) > 0, names[dominated.argmax(axis=0)], "")
    points = front.points.assign(
        front_probability=probability, plausible=share < PLAUSIBLE, rival=rival, rival_share=share
    )
    return replace(front, points=points)


def likeliest(points: pd.DataFrame, most: int) -> pd.DataFrame:
    """The arms that a figure shows if it shows so many at most: the likeliest on the front, plausible ones first."""
    order = points.sort_values(["plausible", "front_probability"], ascending=False, kind="stable")
    return points.loc[order.index[:most].sort_values()]


def oriented_draws(front: Front, evidence: Evidence) -> np.ndarray:
    """The objectives [R, A, D] of the front's arms, smaller being better; without draws (sizes), they are constant."""
    columns = []
    for name, direction in front.objectives.items():
        figure, sign = figure_of(name), -1.0 if direction == "max" else 1.0
        constant = np.tile(front.points[name].to_numpy(dtype=float), (evidence.num_resamples, 1))
        columns.append(sign * evidence.draws.get(figure, constant))
    return np.stack(columns, axis=2)


def front_probability(draws: np.ndarray) -> np.ndarray:
    """In how many resamples each arm is on the front, [A], from draws [R, A, D]; smaller is better."""
    return np.mean([nondominated(values) for values in draws], axis=0)


def domination(draws: np.ndarray) -> np.ndarray:
    """In how many resamples the first arm dominates the second, [A, A], from draws [R, A, D]; smaller is better."""
    count = np.zeros((draws.shape[1],) * 2, dtype=np.int32)
    for values in draws:
        first, *others = np.ascontiguousarray(values.T)
        no_worse, better = first[:, None] <= first, first[:, None] < first
        for column in others:
            no_worse &= column[:, None] <= column
            better |= column[:, None] < column
        count += no_worse & better
    return count / len(draws)


def selected_on_test(front: Front) -> pd.DataFrame:
    """The plausible arms, and which of them make the optimistic and the pessimistic front on test (Feurer 2022).

    Columns arm, optimistic (no selected arm dominates it on test) and pessimistic (it dominates no selected arm): the
    best and the worst front that somebody who chooses among the selected arms can end with. Objectives are the front's.
    """
    selected = front.points.loc[front.points["plausible"]]
    names = {name: name.replace("validation/", "test/") for name in front.objectives}
    signs = [-1.0 if direction == "max" else 1.0 for direction in front.objectives.values()]
    values = selected[list(names.values())].to_numpy(dtype=float) * signs
    dominates = domination(values[None]) > 0
    return pd.DataFrame(
        {"arm": selected["arm"], "optimistic": ~dominates.any(axis=0), "pessimistic": ~dominates.any(axis=1)}
    ).reset_index(drop=True)
