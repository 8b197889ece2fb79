"""The sweeps that two benchmarks run: trials of a few epochs on a small part of CIFAR-100, and their teacher."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from kd_core.data.splits import stratified_sample
from kd_core.store.product import Product
from kd_core.store.records import Store
from sweeps.config.sweep import SweepSpec
from tests.benchmarks.harness import timed_sweep

CIFAR100 = Path(__file__).parents[3] / "shared" / "data" / "cifar100"
MISSING = {"skipped": f"no CIFAR-100 at {CIFAR100}"}
TEACHER, NETWORK = "resnet", {"model": "resnet18", "stem_stride": 1}


def write_part(folder: Path, num_train: int, num_test: int) -> None:
    """Write a stratified part of CIFAR-100 in the layout of the whole, class names included."""
    folder.mkdir()
    for split, count in (("train", num_train), ("test", num_test)):
        table = pa.concat_tables([pq.read_table(file) for file in sorted(CIFAR100.glob(f"{split}-*.parquet"))])
        kept = stratified_sample(table["fine_label"].to_numpy(), count)
        pq.write_table(table.take(kept), folder / f"{split}.parquet")


def sweep_spec(
    data: Path,
    arm: dict[str, Any],
    num_seeds: int,
    num_epochs: int,
    signal: str = "auto",
    precision: str = "float32",
) -> SweepSpec:
    """Trials of one arm on such a part, with ResNet-18 for a teacher and a half-width MobileNetV2 for a student."""
    return SweepSpec.model_validate(
        {
            "name": "distillation",
            "data": {"source": "parquet", "path": str(data), "label_column": "fine_label", "validation": 0.1},
            "teachers": {TEACHER: NETWORK | {"precision": precision, "finetune": {"epochs": 1}}},
            "student": {"model": "mobilenetv2_050"},
            "train": {"epochs": num_epochs, "batch_size": 128},
            "arms": [arm],
            "seeds": list(range(num_seeds)),
            "signal": signal,
        }
    )


def finetune_teacher(data: Path, storage: Path) -> None:
    """Make the teacher in a store, by way of a sweep with one short trial."""
    timed_sweep(sweep_spec(data, {"method": "kd_mixup", "teacher": TEACHER}, 1, 1, "live"), storage)


def teacher_record(storage: Path) -> Product:
    """The only teacher of a store."""
    (path,) = (storage / "teachers").iterdir()
    return Store.at(storage).teacher(path.name)


def store_with_teacher(source: Path, storage: Path) -> Path:
    """A new store that holds nothing but the teacher of another one."""
    shutil.copytree(source / "teachers", storage / "teachers")
    return storage
