"""Teachers and trials on Ray: the resources of each."""

import io

import pytest

from kd_core.data.dataset import load
from kd_core.data.splits import summarize
from kd_core.store.records import Store
from kd_core.trial import run_trial
from sweeps.engine.trials import trial_resources
from sweeps.plan.plan import plan_sweep
from sweeps.spec.reader import read_spec
from sweeps.spec.sweep_config import ResourcesConfig
from sweeps.terminal.progress import SweepProgress


@pytest.mark.usefixtures("ray_cluster")
def test_a_trial_that_cannot_be_measured_costs_a_line_and_not_the_sweep(tiny, tmp_path):
    spec = read_spec(str(tiny), ["resources={auto: true, workers: 1}", "arms.0={method: kd, teacher: resnet}"])
    store, dataset, log = Store.at(tmp_path / "runs"), load(spec.data), io.StringIO()
    (teacher,) = plan_sweep(spec, store, summarize(spec.data)).teachers
    list(run_trial(teacher.finetuning, dataset, teacher.record))
    teacher.record.weights.unlink()
    with SweepProgress(log) as progress:
        resources = trial_resources(plan_sweep(spec, store, summarize(spec.data)), dataset, store, progress)
    assert resources == ResourcesConfig(cpu=1, gpu=0, workers=1)
    assert "resources: no trial could be measured: " in log.getvalue()
    assert "holds no finished teacher; run the sweep again to make it; each has cpu 1, gpu 0" in log.getvalue()
