"""A sweep small enough for tests, a real local Ray, a real store."""

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a spec with one teacher and three trials of two epochs; only to be read."""
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(textwrap.dedent(TINY))
    return path


@pytest.fixture
def overrides_of(cifar100: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """What points a shipped spec to data that is here, by the spec's name."""

    def point(name: str) -> list[str]:
        if name == "quickstart":
            return []
        if name != "paper-imagenet":
            return [
                f"data={{source: parquet, path: {cifar100}, label_column: fine_label, limit: 1000, validation: 0.2}}"
            ]
        for index, part in enumerate(("train", "val")):
            for shade, wordnet_id in enumerate(("n01440764", "n01443537")):
                folder = tmp_path / "imagenet" / part / wordnet_id
                folder.mkdir(parents=True, exist_ok=True)
                for number in range(5):
                    Image.new("RGB", (40, 30), (90 * shade, 40 * number, 99 * index)).save(folder / f"{number}.JPEG")
        return [f"data.path={tmp_path / 'imagenet'}", "data.validation=0.4"]

    return point


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """One local Ray for every test that runs a sweep in this process."""
    import ray

    import sweeps.engine  # noqa: F401 - sets what Ray reads when it is imported

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
