from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics.cases import (
    CONTRADICTED,
    NOT_TESTABLE,
    ONE_SEED,
    SUPPORTED,
    UNDECIDED,
    Case,
    Claim,
    held,
    judge,
)

mathematics = settings(deadline=None, derandomize=True)
NUM_RESAMPLES = 1000


def normal(mean, deviation=1.0, seed=0):
    return Case(f"case {mean}", mean + deviation * np.random.default_rng(abs(seed)).standard_normal(NUM_RESAMPLES), [])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("means", "verdict"),
    [
        ([9], SUPPORTED),
        ([-9], CONTRADICTED),
        ([1], UNDECIDED),
        ([-1], UNDECIDED),
        ([9, 8], SUPPORTED),
        ([9, 1], UNDECIDED),
        ([9, -9], CONTRADICTED),
        ([9, 1, -9], CONTRADICTED),
    ],
)
def test_a_claim_holds_only_in_all_its_cases(means, sign, verdict):
    claim = judge("it does", sign, [normal(sign * mean, seed=mean) for mean in means], "more")
    assert (claim.claim, claim.verdict) == ("it does", verdict)
    assert claim.estimate == pytest.approx(sign * min(means), abs=0.2)  # the least favourable case
    assert [f"case {sign * mean}: " in claim.detail for mean in means] == [True] * len(means)


@mathematics
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=6), st.sampled_from([1, -1]))
def test_the_interval_shows_why_the_verdict_is_what_it_is(means, sign):
    cases = [normal(mean, seed=number) for number, mean in enumerate(means)]
    claim = judge("it does", sign, cases, "more")
    assert claim.interval is not None
    low, high = sorted(sign * end for end in claim.interval)
    assert claim.verdict == (SUPPORTED if low > 0 else CONTRADICTED if high < 0 else UNDECIDED)
    assert claim.interval[0] <= claim.estimate <= claim.interval[1]
    if claim.verdict == SUPPORTED:
        assert all((sign * case.draws > 0).mean() > 0.97 for case in cases)


def test_many_cases_rarely_contradict_what_is_hardly_true():
    generator, wrong = np.random.default_rng(0), 0
    for _ in range(200):
        samples = 0.001 + generator.standard_normal(20)  # twenty arms, each hardly better than its rival
        cases = [Case("", each + generator.standard_normal(NUM_RESAMPLES), []) for each in samples]
        wrong += judge("they are better", 1, cases, "").verdict == CONTRADICTED
    assert wrong <= 15  # 5 % and twice its deviation; one by one, intervals would contradict it in 40 %


def test_a_claim_of_many_cases_counts_them():
    cases = [normal(mean, seed=mean) for mean in (9, 9, 9, 1, -9)]
    detail = judge("it does", 1, cases, "").detail
    assert "3 of 5 cases for it, 1 against it" in detail
    assert "case -9" in detail
    assert "case 9" not in detail


def test_cases_without_figures_are_left_out():
    missing = Case("blank", np.full(NUM_RESAMPLES, np.nan), [])
    assert judge("it does", 1, [normal(9), missing], "more").verdict == SUPPORTED
    claim = judge("it does", 1, [missing], "more arms")
    assert (claim.verdict, claim.estimate, claim.interval, claim.trials) == (NOT_TESTABLE, None, None, [])
    assert claim.detail == "needs more arms"


def claims_with(*p_values: float | None) -> list[Claim]:
    """Claims that are supported by themselves, or, without a p-value, not testable."""
    verdicts = [NOT_TESTABLE if p is None else (UNDECIDED, SUPPORTED)[bool(p <= 0.05)] for p in p_values]
    return [
        Claim(str(place), verdict, 0.0, (0.0, 0.0), [], "", p_value=p)
        for place, (verdict, p) in enumerate(zip(verdicts, p_values, strict=True))
    ]


def test_verdicts_hold_over_all_claims_of_a_page():
    claims = held(claims_with(0.02, None, 0.012, 0.3, 0.001))  # Holm: 4·.001, 3·.012, 2·.02, 1·.3
    assert [claim.p_value for claim in claims] == pytest.approx([0.04, None, 0.036, 0.3, 0.004])
    assert [claim.verdict for claim in claims] == [SUPPORTED, NOT_TESTABLE, SUPPORTED, UNDECIDED, SUPPORTED]
    claims = held(claims_with(0.02, 0.018, 0.03, 0.9))  # the first fails, and with it all that are no surer
    assert [claim.p_value for claim in claims] == pytest.approx([0.072, 0.072, 0.072, 0.9])
    assert {claim.verdict for claim in claims} == {UNDECIDED}


def test_p_values_of_normal_draws_are_those_of_the_normal_distribution_beyond_what_draws_resolve():
    draws = stats.norm.ppf((np.arange(NUM_RESAMPLES) + 0.5) / NUM_RESAMPLES)
    for mean in (0.5, 1.96, 5.0, -5.0):
        for sign in (1, -1):
            exact = stats.norm.sf(sign * mean)
            assert Case("", mean + draws, []).p_value(sign) == pytest.approx(exact, rel=0.3)
    assert Case("", 5.0 + draws, []).interval(1e-5) == pytest.approx((5 - 4.265, 5 + 4.265), abs=0.03)


def test_noise_of_few_seeds_has_the_tails_of_student_s_t():
    draws = stats.norm.ppf((np.arange(NUM_RESAMPLES) + 0.5) / NUM_RESAMPLES)
    widening = float(stats.t.isf(0.025, 4) / stats.norm.isf(0.025))
    case = Case("", 5.0 + widening * draws, [], seed_variance=1.0, widened=widening**2, freedom=4)
    assert case.p_value(1) == pytest.approx(stats.t.sf(5.0, 4), rel=0.05)
    assert case.interval(0.025) == pytest.approx(tuple(np.quantile(case.draws, [0.025, 0.975])), abs=0.05)
    mixed = Case("", 10.0 + np.sqrt(9 + widening**2) * draws, [], 2, 1.0, widening**2, 4)  # mostly of images
    assert mixed.p_value(1) == pytest.approx(stats.t.sf(10 / np.sqrt(10), 400), abs=2e-4)


def test_draws_that_are_not_normal_have_no_smaller_p_value_than_their_share():
    draws = np.where(np.arange(NUM_RESAMPLES) < 0.02 * NUM_RESAMPLES, -1.0, 1.0) * np.linspace(0.9, 1.1, NUM_RESAMPLES)
    assert Case("", draws, []).p_value(1) == pytest.approx(0.02)
    assert Case("", draws, []).interval(0.01)[0] < 0


def test_one_seed_gives_an_estimate_and_no_verdict():
    claim = judge("it does", 1, [replace(normal(9), num_seeds=1)], "more")
    assert (claim.verdict, claim.p_value) == (ONE_SEED, None)
    assert claim.estimate == pytest.approx(9, abs=0.2)
    assert claim.interval is not None
    claim = judge("it does", 1, [normal(9), replace(normal(-9, seed=1), num_seeds=1)], "more")
    assert claim.verdict == SUPPORTED
    assert claim.detail.endswith("; left out, with one seed: 1")
