"""What each command costs of a sweep with very many trials that train next to nothing."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.benchmarks.harness import MlflowServer

NAME = "many"
SEEDS = 5
_WITH_MEMORY = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(code)
"""  # a process of its own, as a child begins with the memory of the one that starts it


def measure(num_trials: int = 1000) -> dict[str, Any]:
    """Seconds and MiB of the commands of a sweep of 1,000 trials of one epoch on 20 images, five to an arm, by the
    command line and with its embedded MLflow; then of an MLflow server that knows nothing of it yet."""
    with _measured(num_trials, epochs=1) as (folder, figures), _mlflow_server(folder) as uri:
        figures |= _of("sync_all", folder, "sync", NAME, "--tracking-uri", uri)
    return figures


def simulate(num_trials: int = 10_000) -> dict[str, Any]:
    """The same for 10,000 trials of two epochs, of which pareto_asha stops some after the first; about an hour."""
    stopping = {"pareto_asha": {"grace_epochs": 1, "reduction_factor": 2, "tolerance": 0.0}}
    with _measured(num_trials, epochs=2, early_stopping=stopping) as (_, figures):
        return figures


@contextmanager
def _measured(num_trials: int, epochs: int, **settings: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A folder in which a sweep has run, for as long as the block runs, and what its commands took."""
    with tempfile.TemporaryDirectory() as name:
        folder, spec = Path(name), Path(name) / f"{NAME}.yaml"
        spec.write_text(yaml.safe_dump(sweep_of(num_trials, epochs) | settings))
        figures = _of("plan", folder, "plan", str(spec)) | _of("run", folder, "run", str(spec))
        for phase in ("status", "report", "sync"):
            figures |= _of(phase, folder, phase, NAME)
        output, again_s, _ = _run(folder, "run", str(spec), "--json")
        counts = json.loads(output)["trials"]
        assert counts["reused"] == num_trials, counts
        per_trial = {
            "trials": num_trials,
            "stopped": counts["stopped"],
            "run_s_per_trial": figures["run_s"] / num_trials,
        }
        yield folder, per_trial | figures | {"run_again_s": again_s}


def _of(phase: str, folder: Path, *arguments: str) -> dict[str, Any]:
    _, wall_s, mib = _run(folder, *arguments)
    return {f"{phase}_s": wall_s, f"{phase}_mib": mib}


def sweep_of(num_trials: int, epochs: int) -> dict[str, Any]:
    """A sweep of so many trials, five to an arm, that distil a tiny teacher on 20 images."""
    num_arms = num_trials // SEEDS
    num_alphas = min(20, num_arms)
    distilled = {
        "method": "kd_mixup",
        "teacher": "tiny",
        "temperature": [1.0 + 0.1 * step for step in range(num_arms // num_alphas)],
        "alpha": [round(0.05 * step, 2) for step in range(num_alphas)],
    }
    network = {"model": "test_efficientnet", "image_size": 8, "stem_stride": 1}
    return {
        "name": NAME,
        "data": {"source": "digits", "limit": 40, "validation": 0.5, "test": 0.1},
        "view": {"padding": 0, "flip": False},
        "student": network,
        "train": {"epochs": epochs, "batch_size": 20},
        "teachers": {"tiny": network | {"finetune": {"epochs": 1, "batch_size": 20}}},
        "arms": [distilled],
        "seeds": list(range(SEEDS)),
    }


def _run(folder: Path, *arguments: str) -> tuple[str, float, float]:
    """What a command prints, its wall seconds, and the most memory that it or a process it waited for had, in MiB."""
    command = [sys.executable, "-m", "sweeps", *arguments, "--storage", str(folder / "runs")]
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-S", "-c", _WITH_MEMORY, *command], capture_output=True, text=True, check=False
    )
    wall_s = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    return done.stdout, wall_s, int(done.stderr.split()[-1]) / 1024


@contextmanager
def _mlflow_server(folder: Path) -> Iterator[str]:
    """An MLflow server that answers."""
    server = MlflowServer(folder / "server")
    server.start()
    try:
        server.wait()
        yield server.uri
    finally:
        server.kill()
