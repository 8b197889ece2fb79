"""A sweep small enough for tests, a real local Ray, a real store."""

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

TINY = """
name: tiny
data: {source: digits, limit: 120, validation: 0.25, test: 0.4}
view: {padding: 1, flip: false}
teachers:
  resnet: {model: test_resnet, stem_stride: 1, image_size: 8, finetune: {epochs: 2, batch_size: 32}}
student: {model: test_efficientnet, stem_stride: 1, image_size: 8}
train: {epochs: 2, batch_size: 32}
arms:
  - {method: classic}
  - {method: kd_mixup, teacher: resnet, temperature: [2, sigma]}
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The file of a spec with one teacher and three trials of two epochs."""
    path = tmp_path / "tiny.yaml"
    path.write_text(textwrap.dedent(TINY))
    return path


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray for every test that runs a sweep in this process."""
    import ray

    import sweeps.engine  # noqa: F401 - sets what Ray reads when it is imported

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
