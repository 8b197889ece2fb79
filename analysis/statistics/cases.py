"""The verdict on a claim, which gives a number one sign, by the cases in which a sweep shows it.

The cases are teachers, or pairs of arms. A claim is supported if the interval of every case is on its side of zero,
contradicted if that of any case is on the other side, and undecided otherwise. The intervals of all cases of a claim
hold together with 95 % (Bonferroni's correction), so that many cases do not contradict a true statement by chance; and
the verdicts of all claims of a page do (Holm 1979, see `held`). Estimate and interval are those of the case that is
least favourable. What rests on one seed gets no verdict: another seed may turn it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import stats

from analysis.statistics.bootstrap import COVERAGE, Estimate

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
ONE_SEED, NOT_TESTABLE = "one seed", "not testable"
_LISTED = 4  # cases that a detail lists one by one
_Z = float(stats.norm.ppf((1 + COVERAGE) / 2))


@dataclass(frozen=True)
class Claim:
    """A statement, the verdict on it, and the trials that it rests on.

    estimate and interval (95 %) are of the number that the statement names in brackets; both are None where the sweep
    cannot tell, and detail says what it lacks. Else detail lists the cases. p_value is that of the verdict, two-sided,
    over all cases and, on a page, over all its claims; None where there is no verdict.
    """

    claim: str
    verdict: str
    estimate: float | None
    interval: tuple[float, float] | None
    trials: list[str]
    detail: str
    p_value: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The claim as JSON values, without its detail."""
        return {
            "claim": self.claim,
            "verdict": self.verdict,
            "estimate": self.estimate,
            "interval": None if self.interval is None else list(self.interval),
            "p_value": self.p_value,
            "trials": self.trials,
        }


@dataclass(frozen=True)
class Case:
    """Draws [R] of a claim's number for one teacher or pair of arms, and the trials that they come from.

    num_seeds: the fewest of an arm. seed_variance: that of the number by the choice of seeds, with its degrees of
    freedom. widened: what seeds add to the variance of the draws, which is more, as their variance is uncertain.
    """

    name: str
    draws: np.ndarray
    trials: list[str]
    num_seeds: int = 2
    seed_variance: float = 0.0
    widened: float = 0.0
    freedom: float = np.inf

    @cached_property
    def value(self) -> float:
        """The estimate: the median of the draws."""
        return float(np.median(self.draws))

    def interval(self, tail: float) -> tuple[float, float]:
        """The interval that leaves out this probability at either end, by t quantiles, and by the draws if wider."""
        below, above = self._deviations
        factor = float(stats.t.isf(tail, self._noise[1]))
        low = float(np.quantile(self.draws, tail, method="lower"))
        high = float(np.quantile(self.draws, 1 - tail, method="higher"))
        return min(low, self.value - factor * below), max(high, self.value + factor * above)

    def p_value(self, sign: int) -> float:
        """The one-sided p-value of the statement that the number has this sign; at least the share of draws without."""
        deviation, share = self._deviations[0 if self.value > 0 else 1], float(np.mean(sign * self.draws <= 0))
        if deviation == 0:
            return share
        return max(share, float(stats.t.sf(sign * self.value / deviation, self._noise[1])))

    @cached_property
    def _deviations(self) -> tuple[float, float]:
        """The deviation of the noise below and above the estimate, by the 95 % interval of the draws."""
        low, high = np.quantile(self.draws, stats.norm.cdf([-_Z, _Z]))
        part = self._noise[0] / _Z
        return float(self.value - low) * part, float(high - self.value) * part

    @cached_property
    def _noise(self) -> tuple[float, float]:
        """What share of the draws' deviation is noise, not widening, and its degrees of freedom (Satterthwaite 1946).

        With t quantiles of this deviation and freedom, p-values may be smaller than what so many draws resolve.
        """
        drawn = float(np.var(self.draws))
        noise = max(drawn - self.widened, 0.0) + self.seed_variance
        if noise == 0 or self.seed_variance == 0:
            return 1.0, np.inf
        freedom = self.freedom * (noise / self.seed_variance) ** 2
        return float(np.sqrt(noise / max(drawn, self.widened, noise))), freedom


def judge(claim: str, sign: int, cases: Sequence[Case], needs: str, points: bool = False) -> Claim:
    """The claim that the number has this sign in all cases; points writes it in percentage points.

    It is judged by the cases of arms with several seeds, if there are any.
    """
    cases = [case for case in cases if np.isfinite(case.draws).all()]
    if not cases:
        return Claim(claim, NOT_TESTABLE, None, None, [], f"needs {needs}")
    replicated = [case for case in cases if case.num_seeds > 1]
    num_left_out, cases = (len(cases) - len(replicated), replicated) if replicated else (0, cases)
    estimates = [Estimate(case.value, *case.interval((1 - COVERAGE) / 2 / len(cases))) for case in cases]
    sides = [sign * (int(estimate.low > 0) - int(estimate.high < 0)) for estimate in estimates]
    worst_ends = [min(sign * estimate.low, sign * estimate.high) for estimate in estimates]
    least = min(range(len(cases)), key=lambda index: (sides[index], worst_ends[index]))
    texts = [f"{case.name}: {_text(estimate, points)}" for case, estimate in zip(cases, estimates, strict=True)]
    counts = f"{sides.count(1)} of {len(cases)} cases for it, {sides.count(-1)} against it"
    detail = "; ".join(texts) if len(cases) <= _LISTED else f"{counts}; least favourable is {texts[least]}"
    detail += f"; left out, with one seed: {num_left_out}" * (num_left_out > 0)
    chosen, trials = estimates[least], list(dict.fromkeys(key for case in cases for key in case.trials))
    verdict, p_value = _verdict(cases, sign) if replicated else (ONE_SEED, None)
    return Claim(claim, verdict, chosen.value, (chosen.low, chosen.high), trials, detail, p_value)


def _verdict(cases: Sequence[Case], sign: int) -> tuple[str, float]:
    """The verdict on a claim by itself, and its two-sided p-value, both over all its cases."""
    supports = 2 * len(cases) * max(case.p_value(sign) for case in cases)
    contradicts = 2 * len(cases) * min(case.p_value(-sign) for case in cases)
    p_value = min(supports, contradicts, 1.0)
    if p_value > 1 - COVERAGE:
        return UNDECIDED, p_value
    return (CONTRADICTED if contradicts <= supports else SUPPORTED), p_value


def held(claims: Sequence[Claim]) -> list[Claim]:
    """The claims of a page, with verdicts that all hold together with 95 %, and p-values for that (Holm 1979)."""
    p_values = {index: claim.p_value for index, claim in enumerate(claims) if claim.p_value is not None}
    adjusted, together = 0.0, list(claims)
    for rank, index in enumerate(sorted(p_values, key=lambda index: p_values[index])):
        adjusted = max(adjusted, min(1.0, (len(p_values) - rank) * p_values[index]))
        verdict = claims[index].verdict if adjusted <= 1 - COVERAGE else UNDECIDED
        together[index] = replace(claims[index], verdict=verdict, p_value=adjusted)
    return together


def _text(estimate: Estimate, points: bool) -> str:
    write: Callable[[float], str] = (lambda x: f"{100 * x:+.2f}") if points else (lambda x: f"{x:+.4f}")
    unit = " points" * points
    return f"{write(estimate.value)}{unit} ({write(estimate.low)} to {write(estimate.high)})".replace("-", "−")
