"""How fast images are corrupted."""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

from kd_core.config.data import DataConfig
from kd_core.data.dataset import Split, load
from kd_core.evaluate.corruptions import CORRUPTIONS, NUM_SEVERITIES, corrupted

CIFAR100 = Path(__file__).parents[1] / "cifar100"


def measure(num_repetitions: int = 10) -> dict[str, Any]:
    """Images a second of one core that corrupts 100 test images of CIFAR-100 at all severities, by each corruption and
    over all of them, in the median of some repetitions."""
    config = DataConfig(source="parquet", path=str(CIFAR100), label_column="fine_label", validation=0.5)
    test = load(config).test
    assert isinstance(test, Split)
    seconds = {
        name: statistics.median(seconds_of(name, test.images) for _ in range(num_repetitions)) for name in CORRUPTIONS
    }
    num_corrupted = NUM_SEVERITIES * len(test)
    return {"images_per_s": len(CORRUPTIONS) * num_corrupted / sum(seconds.values())} | {
        f"{name}_images_per_s": num_corrupted / each for name, each in seconds.items()
    }


def seconds_of(corruption: str, images: np.ndarray) -> float:
    """The CPU time of one corruption of all images, at every severity."""
    started = time.process_time()
    for severity in range(1, NUM_SEVERITIES + 1):
        for number, image in enumerate(images):
            corrupted(image, corruption, severity, 0, number)
    return time.process_time() - started
