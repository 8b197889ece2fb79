"""What a trial costs beyond its training."""

import itertools
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from ray import tune

from kd_core.store.product import State
from kd_core.store.records import Store
from sweeps.config.sweep import SweepSpec
from tests.benchmarks.harness import ray_cluster, timed_sweep
from tests.products import members_of


def measure(num_trials: int = 100, num_functions: int = 25) -> dict[str, Any]:
    """Seconds a trial beyond its training, where that is next to nothing, against Ray Tune function trainables that
    import torch and report once; one core, Ray is up before, and all else counts: data, actor, records and report."""
    with tempfile.TemporaryDirectory() as name, ray_cluster(num_cpus=1):
        storage = Path(name)
        wall_s = timed_sweep(_spec(num_trials), storage / "store")
        states = _finished(Store.at(storage / "store"))
        function_s = _function_trainables_s(num_functions, storage / "tune") / num_functions
    gaps = [_gap_s(*pair) for pair in itertools.pairwise(states)]
    own_s = (wall_s - sum(state.result.wall_s for state in states if state.result)) / num_trials
    return {
        "trials": num_trials,
        "seconds_per_trial": own_s,
        "function_trainable_seconds_per_trial": function_s,
        "function_trainable_over_ours": function_s / own_s,
        "median_gap_s": statistics.median(gaps),
        "max_gap_s": max(gaps),
    }


def _spec(num_trials: int) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "overhead",
            "data": {"source": "digits", "limit": 40, "validation": 0.5, "test": 0.1},
            "view": {"padding": 0, "flip": False},
            "student": {"model": "test_efficientnet", "image_size": 8, "stem_stride": 1},
            "train": {"epochs": 1, "batch_size": 20},
            "arms": [{"method": "classic"}],
            "seeds": list(range(num_trials)),
        }
    )


def _finished(store: Store) -> list[State]:
    """The finished trials, in the order in which they ended."""
    states = store.states(store.trial(trial["key"]) for trial in members_of(store.sweep("overhead"))["trials"])
    return sorted((state for state in states if state.manifest), key=_ended_at)


def _ended_at(state: State) -> float:
    assert state.manifest is not None
    return state.manifest.finished_at


def _gap_s(earlier: State, later: State) -> float:
    """From the end of one trial to the beginning of the next one's first epoch."""
    return later.epochs[0]["time"] - later.epochs[0]["epoch_s"] - _ended_at(earlier)


def _function_trainables_s(num_trials: int, storage: Path) -> float:
    """Wall seconds of as many trials of nothing, each a process of its own as Tune has it for functions."""

    def train_nothing(config: dict[str, Any]) -> None:
        import torch

        tune.report({"loss": float(torch.zeros(()))})

    tuner = tune.Tuner(
        tune.with_resources(train_nothing, {"cpu": 1}),
        param_space={"seed": tune.grid_search(list(range(num_trials)))},
        run_config=tune.RunConfig(storage_path=str(storage), verbose=0),
    )
    started = time.perf_counter()
    results = tuner.fit()
    wall_s = time.perf_counter() - started
    assert len(results) == num_trials
    assert not results.errors
    return wall_s
