"""The resources of trials that are chosen by measuring."""

import dataclasses
import io

import pytest

from kd_core.data.dataset import load
from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.measuring import trial_resources
from sweeps.plan.plan import plan_sweep
from sweeps.terminal.progress import SweepProgress


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_that_cannot_be_measured_costs_a_line_and_not_the_sweep(tiny, tmp_path):
    """The data have lost their validation images."""
    spec = read_spec(str(tiny), ["resources={auto: true, workers: 1}", "arms=[{method: classic}]"])
    store, dataset, log = Store.at(tmp_path / "runs"), load(spec.data), io.StringIO()
    plan = plan_sweep(spec, store, summarize(spec.data))
    broken = dataclasses.replace(dataset, validation=None)
    with SweepProgress(log) as progress:
        resources = trial_resources(plan, broken, progress)
    assert resources == ResourcesConfig(cpu=1, gpu=0, workers=1)
    assert "resources: no trial could be measured: " in log.getvalue()
    assert "; each has cpu 1, gpu 0" in log.getvalue()
