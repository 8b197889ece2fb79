"""What a sweep over ImageNet costs, and how long its commands look at a folder of as many image files."""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

NUM_CLASSES = 1000
NUM_TRAIN, NUM_TEST = 1_281_000, 50_000  # ImageNet-1k has 1,281,167 and 50,000
GRID = {"temperature": [1, 2, 4, 8, 16, "sigma"], "alpha": [0.1, 0.2, 0.5]}
NUM_SEEDS = 5
VALIDATION = 0.02  # of the training images
STUDENT_IMAGES_PER_S = 2313.10  # mobilenetv2_100, forward, backward and update
TEACHER_IMAGES_PER_S = {  # forward only
    "convnext_large": 561.47,
    "vit_base_patch16": 1133.45,
    "resnet152v2": 2321.74,  # resnetv2_101
    "convnext_tiny": 2379.50,
}
RATES_FROM = (
    "timm's results/benchmark-train-amp-nhwc-pt112-cu113-rtx3090.csv and benchmark-infer-… (commit 5e7d47c): "
    "one RTX 3090, PyTorch 1.12, mixed precision, channels last, 224 pixels"
)
DOLLARS_PER_GPU_HOUR = 0.30  # an assumption; all dollars of GPUs are proportional to it
DOLLARS_PER_TB_MONTH = 23.0  # the list price of Amazon S3 Standard in us-east-1, first 50 TB


def measure(num_train: int = NUM_TRAIN, num_test: int = NUM_TEST) -> dict[str, Any]:
    """GPU-hours, bytes and dollars of 4 teachers × 6 T × 3 alpha × 5 seeds on ImageNet by the plan of kdsweep and by
    the rates in this file; and seconds of commands on 1.33 million image files of 8 pixels, without and with an index:
    of `plan`, of a `run` of one short trial on 1,000 of them, of what every worker begins with, and of a mere walk."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = folder / "images"
        write_images(images / "train", num_train)
        write_images(images / "val", num_test)
        figures: dict[str, Any] = {"images": num_train + num_test}
        figures["walk_s"], _ = _timed(lambda: _walk(str(images)))
        spec = _written(folder / "imagenet.yaml", _imagenet(images))
        figures["plan_first_s"], _ = _timed(lambda: _kdsweep(folder, "plan", spec))
        figures["plan_again_s"], plan = _timed(lambda: _kdsweep(folder, "plan", spec, "--json"))
        short = _written(folder / "short.yaml", _short(images))
        figures["worker_s"], _ = _timed(lambda: _look(folder, short))
        figures["run_s"], _ = _timed(lambda: _kdsweep(folder, "run", short))
    return figures | costs(json.loads(plan), round(num_train * (1 - VALIDATION)))


def costs(plan: dict[str, Any], num_images: int) -> dict[str, float]:
    """What a plan, as `kdsweep plan --json` prints it, takes of GPUs and storage.

    Hours of a GPU = passes over the training images × images / images a second / 3,600. A student makes a pass an
    epoch; a teacher makes one for each epoch of a shared signal, which the plan proposes where the disk has room for
    it, and without it, for each epoch of each trial.
    """
    signals = plan["signals"]
    student = sum(each["trials"] * each["epochs"] for each in signals) * num_images / STUDENT_IMAGES_PER_S / 3600
    shared, live = (
        sum(each[passes] * num_images / TEACHER_IMAGES_PER_S[each["label"].split()[0]] / 3600 for each in signals)
        for passes in ("epochs", "live_passes")
    )
    terabytes = sum(each["size_bytes"] for each in signals) / 1e12
    return {
        "trials": len(plan["trials"]),
        "student_gpu_hours": student,
        "shared_teacher_gpu_hours": shared,
        "live_teacher_gpu_hours": live,
        "live_over_shared": (student + live) / (student + shared),
        "shared_dollars": (student + shared) * DOLLARS_PER_GPU_HOUR,
        "live_dollars": (student + live) * DOLLARS_PER_GPU_HOUR,
        "signal_terabytes": terabytes,
        "signal_dollars_per_month": terabytes * DOLLARS_PER_TB_MONTH,
    }


def write_images(folder: Path, count: int) -> None:
    """Write PNG files of a few bytes, each with other bytes, into folders of classes."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (90, 120, 150)).save(buffer, "PNG")
    for label in range(NUM_CLASSES):
        inside = folder / f"class-{label:04d}"
        inside.mkdir(parents=True)
        for number in range(count // NUM_CLASSES):
            (inside / f"{number}.png").write_bytes(buffer.getvalue() + f"{label} {number}".encode())


def _imagenet(images: Path) -> dict[str, Any]:
    """The shipped sweep of the paper's Table 4, with more temperatures, alphas and seeds."""
    spec = yaml.safe_load(files("sweeps").joinpath("specs", "paper-imagenet.yaml").read_text())
    arm = {"method": "kd_mixup", "teacher": list(TEACHER_IMAGES_PER_S), **GRID}
    data = spec["data"] | {"path": str(images), "validation": VALIDATION}
    return spec | {"data": data, "arms": [arm], "seeds": list(range(NUM_SEEDS)), "resources": {"cpu": 1}}


def _short(images: Path) -> dict[str, Any]:
    """A sweep of one trial on 1,000 of the images."""
    return {
        "name": "short",
        "data": {"source": "folder", "path": str(images), "streaming": True, "limit": 2000, "validation": 0.5},
        "student": {"model": "test_efficientnet"},
        "train": {"epochs": 1},
        "arms": [{"method": "classic"}],
    }


def _written(path: Path, spec: dict[str, Any]) -> str:
    path.write_text(yaml.safe_dump(spec))
    return str(path)


def _walk(folder: str) -> str:
    """Ask for every file's size, which no index can do without."""
    for root, _, names in os.walk(folder):
        for name in names:
            os.stat(f"{root}/{name}")  # noqa: PTH116 - the quickest way is what others are compared with
    return ""


def _look(folder: Path, spec: str) -> str:
    """Locate and split the images as a worker does, in a process of its own."""
    code = (
        "import sys; from sweeps.config.reader import read_spec; "
        "from kd_core.data.dataset import load; load(read_spec(sys.argv[1]).data)"
    )
    return _output(folder, "-c", code, spec)


def _kdsweep(folder: Path, *arguments: str) -> str:
    return _output(folder, "-m", "sweeps", *arguments, "--storage", str(folder / "runs"))


def _output(folder: Path, *arguments: str) -> str:
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, env=environment, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout


def _timed(action: Callable[[], str]) -> tuple[float, str]:
    """Wall seconds, and what was printed."""
    started = time.perf_counter()
    output = action()
    return time.perf_counter() - started, output
