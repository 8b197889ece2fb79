"""Fixtures shared by the tests of plans."""

import pytest

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep


@pytest.fixture
def empty(tmp_path):
    """A store that holds nothing."""
    return Store.at(tmp_path / "empty")


@pytest.fixture
def planned(tiny, empty):
    """Returns the plan of the tiny spec with overrides, in the empty store or another."""

    def plan(*overrides, store=empty):
        spec = read_spec(str(tiny), overrides)
        return plan_sweep(spec, store, summarize(spec.data))

    return plan
