"""Checks that Tune gets every trial of a grid once, in order, and only when it asks for one."""

from sweeps.search.grid import GridSearcher


def test_trials_come_in_their_order_when_they_are_asked_for():
    expected = []
    searcher = GridSearcher("abc", lambda planned: expected.append(planned) or {"key": planned})
    assert searcher.suggest("1") == {"trial": {"key": "a"}}
    assert expected == ["a"]
    searcher.on_trial_complete("1", {}, error=True)
    assert [searcher.suggest(number) for number in "234"] == [
        {"trial": {"key": "b"}},
        {"trial": {"key": "c"}},
        GridSearcher.FINISHED,
    ]


def test_what_tune_keeps_of_it_is_empty():
    assert GridSearcher("abc", dict).__getstate__() == {}
