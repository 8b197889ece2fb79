"""How sure a front is: the probability of each arm, the arms that cannot be ruled out, and what would decide."""

import functools
from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.objectives import figure_of
from analysis.pareto import Front, nondominated
from analysis.statistics.evidence import Evidence

PLAUSIBLE = 0.95  # of sweeps, in which every arm truly on the front is plausible
_CLEAR = 3.0  # standard deviations of a difference beyond which an arm is taken to be better than its rival
_NOTHING = 1e-9  # a deviation of a difference, relative to the objective, that is rounding: the difference is known


def judged(front: Front, validation: Evidence | None) -> Front:
    """The same front with columns front_probability, plausible, rival and rival_share for every arm.

    front_probability: in how many resamples no other arm dominates the arm. plausible: whether the arm is in a set that
    holds all arms that are truly on the front, in 95 % of sweeps (`p_values`, above .05); it promises nothing about
    arms that have no business being in it: with few images, all are. rival: the arm that most surely dominates the arm,
    and does in rival_share of the resamples ("" if in none). Arms that lack an objective have probability 0.
    """
    count = len(front.points)
    probability, share, rival = np.zeros(count), np.ones(count), np.full(count, "", dtype=object)
    plausible = np.zeros(count, dtype=bool)
    comparable = np.flatnonzero(np.isfinite(front.values).all(axis=1))
    if validation is not None and comparable.size:
        draws = oriented_draws(front, validation)
        comparable = np.intersect1d(comparable, np.flatnonzero(np.isfinite(draws).all(axis=(0, 2))))
    if validation is not None and comparable.size:
        draws = draws[:, comparable]
        probability[comparable] = front_probability(draws)
        leads, noise = leads_of(draws)
        plausible[comparable] = p_values(leads.max(axis=1), noise) > 1 - PLAUSIBLE
        nearest = leads.argmax(axis=1)
        share[comparable] = _share_dominated(draws, nearest)
        names = front.points["arm"].to_numpy()[comparable]
        rival[comparable] = np.where(share[comparable] > 0, names[nearest], "")
    points = front.points.assign(front_probability=probability, plausible=plausible, rival=rival, rival_share=share)
    return replace(front, points=points)


def leads_of(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How surely each arm is dominated by each other one [A, A], and how surely noise alone would show it so [R, A].

    draws are [R, A, D], smaller being better. A rival's lead over an arm is the difference of the two in standard
    deviations, in the objective in which it is the least: the rival dominates if it leads in all. If the arm is truly
    on the front, the rival truly leads in one objective by nothing or less. So the noise [R, A], the greatest lead of
    any rival in each resample, is that about differences that are less by the estimated lead, which then is zero.
    Rivals that the arm clearly beats in some objective cannot seem to dominate it, and do not count (Hansen 2005).
    """
    estimate, noise = draws.mean(axis=0).T, (draws - draws.mean(axis=0)).transpose(2, 0, 1)
    differences, scales = np.stack([_standardized(*pair) for pair in zip(estimate, noise, strict=True)], axis=1)
    leads = differences.min(axis=0)
    counts = (leads > -_CLEAR) & np.isfinite(leads) & ~np.eye(len(leads), dtype=bool)
    beyond = np.where(counts, differences - np.where(counts, leads, 0), -np.inf).astype(np.float32)
    scales, greatest = scales.astype(np.float32), np.empty(draws.shape[:2])
    for number, rows in enumerate(noise.astype(np.float32).transpose(1, 0, 2)):
        by_chance = [(row[:, None] - row) * scale + over for row, scale, over in zip(rows, scales, beyond, strict=True)]
        greatest[number] = functools.reduce(np.minimum, by_chance).max(axis=1, initial=0)
    better = (estimate[:, :, None] > estimate[:, None, :]).any(axis=0)
    return np.where(np.isposinf(leads) & ~better, -np.inf, leads), greatest


def _standardized(estimate: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By how many deviations each arm [A] is worse than each other one [A, A], and the inverse of the deviations.

    A difference without noise is infinite, and so is none: it does not keep a rival from dominating.
    """
    covariance = noise.T @ noise / len(noise)
    variance = np.diagonal(covariance)
    deviation = np.sqrt(np.maximum(variance[:, None] + variance - 2 * covariance, 0))
    difference = estimate[:, None] - estimate
    certain = deviation <= _NOTHING * np.abs(estimate).max()
    scale = np.where(certain, 0.0, 1 / np.where(certain, 1.0, deviation))
    return np.where(certain, np.where(difference < 0, -np.inf, np.inf), difference * scale), scale


def p_values(leads: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """For each arm, the p-value of its being on the front, [A], from its greatest lead [A] and the noise [R, A].

    The model confidence set of Hansen, Lunde & Nason 2011, for fronts: the arm with the greatest lead leaves if noise
    would show as great a one for any arm in fewer than 5 % of resamples, then the next among those that are left.
    """
    order = np.argsort(-leads, kind="stable")
    remaining = np.maximum.accumulate(noise[:, order[::-1]], axis=1)[:, ::-1]
    values = np.empty(len(leads))
    values[order] = np.maximum.accumulate(np.mean(remaining >= leads[order], axis=0))
    return values


def _share_dominated(draws: np.ndarray, rivals: np.ndarray) -> np.ndarray:
    """In how many resamples its rival dominates each arm, [A]."""
    rival = draws[:, rivals]
    return np.mean((rival <= draws).all(axis=2) & (rival < draws).any(axis=2), axis=0)


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
