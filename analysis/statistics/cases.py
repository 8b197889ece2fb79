"""The verdict on a claim, which gives a number one sign, by the cases in which a sweep shows it.

The cases are teachers, or pairs of arms. A claim is supported if the interval of every case is on its side of zero,
contradicted if that of any case is on the other side, and undecided otherwise. The intervals of all cases of a claim
hold together with 95 % (Bonferroni's correction), so that many cases do not contradict a true statement by chance.
Estimate and interval are those of the case that is least favourable.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.statistics.bootstrap import COVERAGE, Estimate

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_TESTABLE = "supported", "contradicted", "undecided", "not testable"
_LISTED = 4  # cases that a detail lists one by one


@dataclass(frozen=True)
class Claim:
    """A statement, the verdict on it, and the trials that it rests on.

    estimate and interval (95 %) are of the number that the statement names in brackets; both are None where the sweep
    cannot tell, and detail says what it lacks. Else detail lists the cases.
    """

    claim: str
    verdict: str
    estimate: float | None
    interval: tuple[float, float] | None
    trials: list[str]
    detail: str

    def as_json(self) -> dict[str, Any]:
        """The claim as JSON values, without its detail."""
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "estimate": self.estimate,
            "interval": None if self.interval is None else list(self.interval),
            "trials": self.trials,
        }


@dataclass(frozen=True)
class Case:
    """Draws [R] of a claim's number for one teacher or pair of arms, and the trials that they come from."""

    name: str
    draws: np.ndarray
    trials: list[str]


def judge(claim: str, sign: int, cases: Sequence[Case], needs: str, points: bool = False) -> Claim:
    """The claim that the number has this sign in all cases; points writes it in percentage points."""
    cases = [case for case in cases if np.isfinite(case.draws).all()]
    if not cases:
        return Claim(claim, NOT_TESTABLE, None, None, [], f"needs {needs}")
    found = [_estimate(case.draws, len(cases)) for case in cases]
    sides = [_side(each, sign) for each in found]
    verdict = CONTRADICTED if -1 in sides else SUPPORTED if set(sides) == {1} else UNDECIDED
    least = min(range(len(cases)), key=lambda index: (sides[index], _nearest(found[index], sign)))
    texts = [f"{case.name}: {_text(each, points)}" for case, each in zip(cases, found, strict=True)]
    counts = f"{sides.count(1)} of {len(cases)} cases for it, {sides.count(-1)} against it"
    detail = "; ".join(texts) if len(cases) <= _LISTED else f"{counts}; least favourable is {texts[least]}"
    chosen, trials = found[least], list(dict.fromkeys(key for case in cases for key in case.trials))
    return Claim(claim, verdict, chosen.value, (chosen.low, chosen.high), trials, detail)


def _estimate(draws: np.ndarray, num_cases: int) -> Estimate:
    """The median of draws and an interval that holds, together with those of all cases, with 95 %."""
    tail = (1 - COVERAGE) / 2 / num_cases
    low, median, high = np.quantile(draws, [tail, 0.5, 1 - tail])
    return Estimate(float(median), float(low), float(high))


def _side(estimate: Estimate, sign: int) -> int:
    """1 if the interval is on the claimed side of zero, −1 if on the other, 0 if it holds zero."""
    return sign * (int(estimate.low > 0) - int(estimate.high < 0))


def _nearest(estimate: Estimate, sign: int) -> float:
    """The end of the interval that speaks least for the claim, in its direction."""
    return min(sign * estimate.low, sign * estimate.high)


def _text(estimate: Estimate, points: bool) -> str:
    write: Callable[[float], str] = (lambda x: f"{100 * x:+.2f}") if points else (lambda x: f"{x:+.4f}")
    unit = " points" * points
    return f"{write(estimate.value)}{unit} ({write(estimate.low)} to {write(estimate.high)})".replace("-", "−")
