"""What a trial costs beyond its training."""

import io
import itertools
import statistics
import tempfile
from typing import Any

from kd_core.records import Store
from sweeps.progress import SweepProgress
from sweeps.run import run_sweep
from sweeps.spec import SweepSpec

NUM_TRIALS = 40
SPEC = {
    "name": "overhead",
    "data": {"source": "digits", "limit": 40, "validation": 0.5, "test": 0.1},
    "view": {"padding": 0, "flip": False},
    "student": {"model": "test_efficientnet", "image_size": 8, "stem_stride": 1},
    "train": {"epochs": 1, "batch_size": 20},
    "arms": [{"method": "classic"}],
    "seeds": list(range(NUM_TRIALS)),
}


def measure() -> dict[str, Any]:
    """Seconds from one trial's end to the next one's first step, on one reused actor."""
    import ray

    import sweeps.engine  # noqa: F401 - sets what Ray reads when it starts

    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with tempfile.TemporaryDirectory() as folder:
            store = Store.at(folder)
            with SweepProgress(io.StringIO()) as progress:
                outcome = run_sweep(SweepSpec.model_validate(SPEC), store, progress)
            gaps = _gaps(store)
    finally:
        ray.shutdown()
    return {"trials": outcome.counts["finished"], "median_s": statistics.median(gaps), "max_s": max(gaps)}


def _gaps(store: Store) -> list[float]:
    """From each verdict to the beginning of the following trial's first epoch."""
    spans = []
    for trial in store.sweep("overhead").members()["trials"]:
        record = store.trial(trial["key"])
        first, verdict = record.journal()[0], record.verdict()
        assert verdict is not None
        spans.append((first["time"] - first["epoch_s"], verdict["finished_at"]))
    spans.sort()
    return [later[0] - earlier[1] for earlier, later in itertools.pairwise(spans)]
