import subprocess
import sys
from pathlib import Path

from kd_core.config.evaluation import EvaluateConfig
from kd_core.reliability.registry import EVALUATORS
from kd_core.reliability.sets import OPTIONS


def test_every_evaluator_reads_sets_and_options_that_there_are():
    for name, evaluator in EVALUATORS.items():
        assert set(evaluator.inputs) <= set(OPTIONS), name
        assert set(evaluator.options) <= set(EvaluateConfig.model_fields), name
        assert all(metric.startswith(f"{name}/") for metric in (*evaluator.headlines, *evaluator.objectives)), name
        assert set(evaluator.objectives.values()) <= {"max", "min"}


def test_the_registry_needs_neither_torch_nor_ray():
    code = "import kd_core.reliability.registry, sys; sys.exit(bool({'torch', 'ray'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
