import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics.cases import CONTRADICTED, NOT_TESTABLE, SUPPORTED, UNDECIDED, Case, judge

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
