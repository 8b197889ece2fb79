"""Real evaluations of the tiny sweep on a real local Ray."""

import io
import re

import pytest

from analysis.snapshot import read_sweep
from kd_core.config.evaluation import EvaluateConfig
from kd_core.data.dataset import load
from kd_core.store.evaluation import ARRAYS
from sweeps.config.reader import parse_spec
from sweeps.config.sweep import ResourcesConfig
from sweeps.engine.evaluations import run_evaluations, shares
from sweeps.plan.evaluations import plan_evaluations
from sweeps.terminal.progress import SweepProgress

CONFIG = EvaluateConfig(images=20, pairs=10, lambdas=3, draws=1, resamples=50)


@pytest.fixture
def evaluated(store, ray_cluster):
    """Returns what evaluating the tiny sweep logs, its plan, and the problems."""
    snapshot = read_sweep(store, "tiny")
    dataset = load(parse_spec(snapshot.spec_yaml, "tiny").data)

    def run():
        plan, log = plan_evaluations(snapshot, [each.key for each in snapshot.trials], CONFIG, {}), io.StringIO()
        with SweepProgress(log) as progress:
            problems = run_evaluations(plan, dataset, ResourcesConfig(), 1, 0, progress)
        return log.getvalue(), plan, problems

    return run


def contents(store):
    """The bytes of all arrays of a store."""
    return {path: path.read_bytes() for path in store.local.rglob(ARRAYS)}


def test_models_run_once_a_set_and_what_is_there_is_not_made_again(evaluated, store):
    log, plan, problems = evaluated()
    assert (problems, plan.missing) == ([], [])
    assert set(re.findall(r"finished  outputs (\w+) of", log)) == {"clean", "mixed", "near", "corrupted"}
    assert len(list((store.local / "outputs").iterdir())) == 4 * 4  # models by sets
    made = contents(store)
    times = {path: path.stat().st_mtime_ns for path in made}
    assert evaluated()[0] == ""
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_what_is_lost_or_damaged_is_made_again_with_equal_bytes(evaluated, store):
    evaluated()
    made = contents(store)
    outputs, answers = (sorted((store.local / kind).iterdir()) for kind in ("outputs", "evaluations"))
    (outputs[0] / ARRAYS).write_bytes(made[outputs[0] / ARRAYS][:-1] + b"?")  # found when it is read
    (outputs[1] / "manifest.json").unlink()
    for answer in answers:
        (answer / ARRAYS).unlink()
    _, plan, problems = evaluated()
    assert (problems, plan.missing) == ([], [])
    assert contents(store) == made


def test_a_model_that_is_damaged_is_named_and_the_others_are_evaluated(evaluated, store):
    trial = read_sweep(store, "tiny").trials[0]
    content = bytearray(trial.product.weights.read_bytes())
    content[-1] ^= 1
    trial.product.weights.write_bytes(content)
    _, plan, problems = evaluated()
    assert {each.model.label for each in plan.missing} == {trial.entry.label}
    assert any("student.safetensors: is damaged" in problem for problem in problems)


def test_models_are_shared_out_by_their_size(store):
    plan = plan_evaluations(
        read_sweep(store, "tiny"), [each.key for each in read_sweep(store, "tiny").trials], CONFIG, {}
    )
    models = list({each.model.label: each.model for each in plan.questions}.values())
    groups = shares(models, 2)
    assert sorted(each.label for group in groups for each in group) == sorted(each.label for each in models)
    assert [each.label for each in groups[0]] == ["teacher resnet"]
    assert shares(models[:1], 5) == [models[:1]]
