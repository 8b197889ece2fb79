"""Image folders and parquet files that a seeded generator has spoilt: each must be read as what it is, or refused.

The truth of a spoilt source is what its user would say of it. A moved or renamed thing is meant: an image has the name
of the class folder in which it lies now, a labels file says what it says, a number in a parquet file means the name
that this file's metadata have for it. Damage is not meant: a file that was cut short, or whose checksums do not fit,
shows what it was or cannot be read. A format without checksums shows what can be decoded of it.

A mutant is silently wrong if it is neither of these:

- refused by a DataError of one printable line that begins with a key of `data`;
- read, so that every image shows the pixels of one of the files, in as many places as there are such files, under the
  true name of its class, in the split of its own part (validation may be held out of train, and test if it is said),
  with a note on each image that is not there, is unusual, is in two splits, or has two labels.

A survey and the dataset that is loaded must agree.
"""

import os
import random
import re
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kd_core.config.data import DataConfig, Note
from kd_core.config.errors import DataError
from kd_core.data.dataset import Dataset, load
from kd_core.data.survey import survey_of
from tests.benchmarks import folder_mutations, folder_sources, parquet_mutations, parquet_sources
from tests.benchmarks.data_truth import Comparison, loaded_from
from tests.benchmarks.pictures import SIZE

MOST_CHARACTERS = 900  # of a sentence, without the path of the source
_SENTENCE = re.compile(r"data\.[a-z_]+: ")


def measure(num_mutants: int = 2_000, seed: int = 0) -> dict[str, Any]:
    """How many of 2,000 spoilt folders and parquet files are read as they are, one sentence, or (none may be) wrong."""
    started, counts = time.perf_counter(), Counter({"dataset": 0, "sentence": 0})
    num_wrong, slowest = 0, 0.0
    with tempfile.TemporaryDirectory() as folder, _cache_in(Path(folder)):
        for number in range(num_mutants):
            began = time.perf_counter()
            problem = problem_of(f"{seed}/{number}", Path(folder, "set"), counts)
            slowest = max(slowest, time.perf_counter() - began)
            if problem:
                num_wrong += 1
                print(problem, flush=True)
    return {
        "data_mutants": num_mutants,
        "data_read": counts["dataset"],
        "data_sentences": counts["sentence"],
        "data_wrong": num_wrong,
        "data_slowest_s": slowest,
        "data_seconds": time.perf_counter() - started,
    }


def problem_of(name: str, root: Path, counts: Counter[str]) -> str:
    """What is wrong with the answer to a mutant, or ""; counts it as a dataset or a sentence.

    All mutants lie in one place, so that what the cache has of the one before is of no use.
    """
    generator = random.Random(name)
    number = generator.choice([1, 1, 2, 3])
    if generator.random() < 0.6:
        source, layout = "folder", generator.choice(folder_sources.LAYOUTS)
        made = folder_sources.folder_of(layout, generator)
        story = [layout, *(folder_mutations.mutate(made, generator) for _ in range(number))]
    else:
        source, layout = "parquet", generator.choice(parquet_sources.LAYOUTS)
        made = parquet_sources.tables_of(layout, generator)
        story = [layout, *(parquet_mutations.mutate(made, generator) for _ in range(number))]
    config = _config(source, root, generator, labels=layout.startswith("labelled"))
    shutil.rmtree(root, ignore_errors=True)
    truth = made.truth()
    made.write(root)
    try:
        notes, dataset = _answer(config)
        problems = [] if dataset is None else Comparison(truth, config, notes).wrongs(loaded_from(dataset))
    except DataError as error:
        dataset, problems = None, _no_sentence(str(error).replace(str(root), ""))
    except Exception:
        return f"{name} {story}: {traceback.format_exc(limit=-5)}"
    counts["sentence" if dataset is None else "dataset"] += 1
    return f"{name} {story} {_options(config)}: {problems[:4]}" if problems else ""


def _answer(config: DataConfig) -> tuple[tuple[Note, ...], Dataset]:
    """What is said of a source and the dataset, as every command has them; raises DataError."""
    survey = survey_of(config)
    survey.as_json()
    dataset = load(config)
    sizes = [len(split) for split in (dataset.train, dataset.validation, dataset.test)]
    assert sizes == [sum(counts) for counts in survey.counts.values()], f"{survey.counts} and {sizes}"
    return survey.notes, dataset


def _no_sentence(text: str) -> list[str]:
    """Why an error is no sentence, if it is none."""
    is_one = _SENTENCE.match(text) and text.isprintable() and len(text) <= MOST_CHARACTERS
    return [] if is_one else [f"no sentence: {text!r}"]


def _config(source: Any, root: Path, generator: random.Random, *, labels: bool) -> DataConfig:
    """Random options, all of them valid."""
    options: dict[str, Any] = {
        "skip_unreadable": generator.random() < 0.6,
        "image_size": generator.choice([None, SIZE, SIZE, 5]),
        "validation": generator.choice([None, None, 0.3]),
        "duplicates": generator.choice(["keep", "keep", "drop_train"]),
        "background": generator.choice(["white", "black"]),
        "streaming": generator.random() < 0.15,
        "labels": str(root.parent / "labels.csv") if labels else None,
    }
    if source == "parquet":
        options["label_column"] = generator.choice([None, None, "label"])
        options["image_column"] = generator.choice([None, None, "image"])
    return DataConfig(source=source, path=str(root), **options)


def _options(config: DataConfig) -> dict[str, Any]:
    return config.model_dump(exclude_defaults=True, exclude={"source", "path", "labels"})


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """Let the cache lie in a folder for as long as the block runs."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    try:
        yield
    finally:
        os.environ.pop("XDG_CACHE_HOME")
        if before is not None:
            os.environ["XDG_CACHE_HOME"] = before
