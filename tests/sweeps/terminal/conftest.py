"""Fixture shared by the tests of what is shown of a sweep."""

import pytest

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec, to_yaml
from sweeps.plan.plan import plan_sweep


@pytest.fixture
def planned(tiny, tmp_path):
    """An empty store and the plan of the tiny sweep in it, written down."""
    spec, store = read_spec(str(tiny)), Store.at(tmp_path)
    plan = plan_sweep(spec, store, summarize(spec.data))
    store.sweep("tiny").write(to_yaml(spec), plan.index())
    return store, plan
