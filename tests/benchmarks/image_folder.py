"""How long `kdsweep plan` looks at a folder of as many image files as ImageNet, the first time and again."""

import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

NUM_CLASSES = 1000
SPEC = """
name: many
data: {{source: folder, path: {path}, streaming: true, validation: 0.04}}
student: {{model: test_efficientnet}}
train: {{epochs: 1}}
arms: [{{method: classic}}]
"""


def measure(num_train: int = 1_280_000, num_test: int = 50_000) -> dict[str, Any]:
    """Seconds of `kdsweep plan` on 1,280,000 training and 50,000 test images of 8 pixels, with and without an index in
    the cache; and of a walk over the folder that only asks for every file's size, which no index can do without."""
    with tempfile.TemporaryDirectory() as folder:
        images, spec = Path(folder) / "images", Path(folder) / "many.yaml"
        write_images(images / "train", num_train)
        write_images(images / "val", num_test)
        spec.write_text(SPEC.format(path=images))
        figures = {"images": num_train + num_test, "walk_s": _seconds(lambda: _walk(str(images)))}
        for name in ("first_s", "again_s"):
            figures[name] = _seconds(lambda: _plan(spec, Path(folder)))
    return figures


def write_images(folder: Path, count: int) -> None:
    """Write PNG files of a few bytes, each with other bytes, into folders of classes."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (90, 120, 150)).save(buffer, "PNG")
    for label in range(NUM_CLASSES):
        inside = folder / f"class-{label:04d}"
        inside.mkdir(parents=True)
        for number in range(count // NUM_CLASSES):
            (inside / f"{number}.png").write_bytes(buffer.getvalue() + f"{label} {number}".encode())


def _walk(folder: str) -> None:
    for root, _, files in os.walk(folder):
        for name in files:
            os.stat(f"{root}/{name}")  # noqa: PTH116 - the quickest way is what others are compared with


def _plan(spec: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "sweeps", "plan", str(spec), "--storage", str(folder / "runs")]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run(command, env=environment, check=True, stderr=subprocess.DEVNULL)


def _seconds(action: Any) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started
