"""How long the report of a sweep of thousands of trials takes, and how much memory."""

import json
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from kd_core.measure.predictions import Predictions, predictions_of, predictions_to_bytes, summary_of
from kd_core.store.files import write_bytes
from kd_core.store.manifest import File
from kd_core.store.records import Store
from kd_core.store.writer import ProductWriter
from tests.products import finish, write_members

NAME, NUM_CLASSES, NUM_DIFFERENT = "large", 10, 40
SPLITS = ("validation", "test")
METHODS = ("classic", "mixup", "kd", "kd_mixup")
CODE = """
import json, resource, sys, time
started = time.perf_counter()
from analysis.report import write_report
from analysis.snapshot import read_sweep
from kd_core.store.records import Store
report = write_report(read_sweep(Store.at(sys.argv[1]), sys.argv[2]))
page = report.path.stat().st_size
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": time.perf_counter() - started, "peak_mib": peak / 1024, "page_mib": page / 2**20}))
"""


def measure(num_trials: int = 2000, num_images: int = 10_000, num_seeds: int = 2) -> dict[str, Any]:
    """Seconds and peak MiB of the report of a sweep of 2,000 trials with 10,000 validation and 10,000 test images each,
    from its records to its page, in a process of its own, imports included; and the page's MiB."""
    with tempfile.TemporaryDirectory() as folder:
        write_records(Store.at(folder), num_trials, num_images, num_seeds)
        done = subprocess.run([sys.executable, "-c", CODE, folder, NAME], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout) | {"trials": num_trials, "images": num_images}


def write_records(store: Store, num_trials: int, num_images: int, num_seeds: int) -> None:
    """The records of a sweep whose trials share a few different predictions, which is quicker to write."""
    generator = np.random.default_rng(0)
    models = [_model(generator, num_images) for _ in range(NUM_DIFFERENT)]
    contents = [{split: predictions_to_bytes(each[split]) for split in SPLITS} for each in models]
    metrics = [summary_of(model) for model in models]
    members = []
    for number in range(num_trials):
        key, place, seed = f"trial-{number}", number // num_seeds, number % num_seeds
        method, distilled = METHODS[place % 4], place % 4 > 1
        arm = f"{method} resnet T={place}" if distilled else f"{method} {place}"
        record, chosen = store.trial(key), int(generator.integers(NUM_DIFFERENT))
        config = {"method": method, "student": {"model": "tiny"}, "seed": seed, "train": {"epochs": 1}}
        config |= {"temperature": float(place), "alpha": 0.0, "teacher": {"model": "resnet18"}} if distilled else {}
        writer = ProductWriter(record, config)
        for split in SPLITS:
            write_bytes(record.path / f"predictions-{split}.npz", contents[chosen][split])
            writer.files[f"predictions-{split}.npz"] = File.of(contents[chosen][split])
        finish(record, writer=writer, metrics=metrics[chosen])
        teacher = "resnet" if distilled else None
        members.append({"key": key, "label": f"{arm} seed {seed}", "arm": arm, "teacher": teacher, "seed": seed})
    objectives = {"validation/accuracy": "max", "validation/ece": "min"}
    write_members(store.sweep(NAME), "", {"sweep": NAME, "objectives": objectives, "trials": members})


def _model(generator: np.random.Generator, num_images: int) -> dict[str, Predictions]:
    """A random model of its own accuracy and confidence, on the labels of all."""
    margin, sharpness, predictions = generator.uniform(1, 4), generator.uniform(0.7, 1.9), {}
    for seed, split in enumerate(SPLITS):
        labels = np.random.default_rng(seed).integers(NUM_CLASSES, size=num_images)
        logits = generator.normal(size=(num_images, NUM_CLASSES)) + margin * np.eye(NUM_CLASSES)[labels]
        predictions[split] = predictions_of(sharpness * logits, labels, 1.3, keep_logits=False)
    return predictions
