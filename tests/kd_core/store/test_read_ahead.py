"""Records are read at once, in their order, and not too far ahead."""

import itertools
import threading

import pytest

from kd_core.store.files import NUM_AT_ONCE, read_ahead


def test_results_have_the_order_of_the_items_and_many_are_read_at_once():
    everyone = threading.Barrier(NUM_AT_ONCE, timeout=60)  # raises in a thread that waits alone

    def read(item):
        everyone.wait()
        return -item

    assert list(read_ahead(read, range(3 * NUM_AT_ONCE))) == [-item for item in range(3 * NUM_AT_ONCE)]
    assert list(read_ahead(read, [])) == []


def test_what_is_read_ahead_is_bounded():
    asked = []
    results = read_ahead(asked.append, itertools.count())
    next(results)
    results.close()
    assert len(asked) <= 2 * NUM_AT_ONCE + 1


def test_an_error_is_raised_in_its_turn():
    results = read_ahead([10, 11].__getitem__, range(3))
    assert [next(results), next(results)] == [10, 11]
    with pytest.raises(IndexError):
        next(results)
