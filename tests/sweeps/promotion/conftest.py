"""One student of the tiny sweep, promoted and exported from a copy of the finished store."""

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from analysis.snapshot import read_sweep
from kd_core.store.records import Store
from sweeps.promotion.choice import Choice, choose_trial
from sweeps.promotion.student import Student, student_of


@dataclass(frozen=True)
class Promoted:
    """A promoted student: its store, its trial, where it was exported, what the command printed, the registry's URI."""

    store: Store
    choice: Choice
    student: Student
    export: Path
    printed: dict[str, Any]
    stderr: str
    uri: str


@pytest.fixture(scope="session")
def promoted(tiny_store: Store, kdsweep: Callable[..., Result], tmp_path_factory: pytest.TempPathFactory) -> Promoted:
    """The knee of the tiny sweep, promoted as champion and exported; only to be read."""
    folder = tmp_path_factory.mktemp("promoted")
    assert tiny_store.local is not None
    shutil.copytree(tiny_store.local, folder / "runs")
    store, export = Store.at(folder / "runs"), folder / "export"
    options = ["--as", "champion", "--export", export, "--storage", store.root, "--json"]
    done = kdsweep("promote", "tiny", "knee", *options)
    assert done.exit_code == 0, done.output
    printed, choice = json.loads(done.stdout), choose_trial(read_sweep(store, "tiny"), "knee")
    student = student_of(store.sweep("tiny"), choice.trial)
    return Promoted(store, choice, student, export, printed, done.stderr, f"sqlite:///{folder / 'runs' / 'mlflow.db'}")


@pytest.fixture(scope="session")
def assert_stored(promoted: Promoted) -> Callable[[np.ndarray], None]:
    """Asserts that probabilities are those that the trial's record holds of its test images."""
    stored = promoted.student.probabilities

    def check(made: np.ndarray) -> None:
        """To 1e-5, and to a thousandth of how much the images differ in them, since two epochs teach little."""
        assert made.shape == stored.shape
        assert np.abs(made - stored).max() < min(1e-5, 0.001 * stored.std(axis=0).max())

    return check


@pytest.fixture(scope="session")
def classifier(promoted: Promoted) -> Any:
    """The predictor of the promoted student, in this process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow, about itself
        from sweeps.promotion.predictor import ImageClassifier
    return ImageClassifier().open(promoted.export / "student.onnx")
