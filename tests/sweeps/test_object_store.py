"""A whole sweep whose store is an object store: a real S3 server."""

import json
import logging
import re
from contextlib import contextmanager
from io import BytesIO
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from kd_core.data.survey import summarize
from kd_core.store.records import Store
from sweeps.config.reader import read_spec
from sweeps.plan.plan import plan_sweep
from tests.benchmarks.object_store import RequestCounter


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@contextmanager
def counted():
    """Counts the requests to the server for trials, by their kind."""
    log = logging.getLogger("werkzeug")
    counter = RequestCounter(lambda url: re.search("/trials/[0-9a-f]{16}", unquote(url)) is not None)
    log.addHandler(counter)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield counter.requests
    finally:
        log.propagate = True
        log.setLevel(logging.WARNING)
        log.removeHandler(counter)


def front_of(store):
    """All that the report says in figures."""
    return json.loads((store.sweep("tiny").report / "front.json").read_bytes())


def test_a_sweep_on_an_object_store_ends_as_on_a_disk(kdsweep, sweep, tiny, s3, tiny_store, students_of):
    url = f"{s3}team"
    bucket = Store.at(url)

    def printed(*arguments):
        """What a command prints as JSON."""
        done = kdsweep(*arguments, f"--storage={url}", "--json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    with counted() as run:
        sweep(bucket)
    assert students_of(bucket) == students_of(tiny_store)
    assert front_of(bucket) == front_of(tiny_store)
    assert all(run[kind] <= 3 * most for kind, most in {"read": 20, "write": 12, "list": 4}.items()), run
    with counted() as again:
        assert printed("run", tiny)["trials"] == {"finished": 3, "stopped": 0, "failed": 0, "reused": 3}
    assert again.total() <= 3 * 2

    (verified,) = printed("verify", "tiny")["signals"]
    assert (verified["epochs"], verified["argmax_flips"], verified["problem"]) == ([1, 2], 0, None)
    assert printed("signal", "prune", "--finished")["freed_bytes"] > 0
    assert bucket.signals() == []


def test_data_on_an_object_store_give_the_same_trials_as_in_a_folder(kdsweep, tiny, s3, tmp_path):
    digits, encoded = load_digits(), []
    for image in digits.images[:200]:
        file = BytesIO()
        Image.fromarray(np.uint8(image * 15)).save(file, "PNG")
        encoded.append({"bytes": file.getvalue(), "path": None})
    (tmp_path / "digits").mkdir()
    table = pa.table({"image": encoded, "label": digits.target[:200]})
    pq.write_table(table, tmp_path / "digits" / "train-00000.parquet")
    data = "data={{source: parquet, path: {}, validation: 0.25, test: 0.4}}"
    s3.fs.put(str(tmp_path / "digits"), f"{s3.path}digits", recursive=True)

    def keys_of(path):
        """The keys of what a plan of the images at a path would make."""
        spec = read_spec(str(tiny), [data.format(path)])
        plan = plan_sweep(spec, Store.at(tmp_path / "runs"), summarize(spec.data))
        return [each.product.key for each in (*plan.teachers, *plan.trials)]

    def planned(path):
        """What `kdsweep plan` gives, without what it measures, and what it says meanwhile."""
        done = kdsweep("plan", tiny, "--set", data.format(path), f"--storage={tmp_path / 'runs'}", "--json")
        plan = json.loads(done.stdout or "{}")
        plan.pop("bfloat16_gains", None)
        return done.exit_code, plan, done.stderr

    code, plan, said = planned(f"{s3}digits")
    assert (code, f"in 1 file from {s3}digits" in said) == (0, True)
    assert planned(f"{s3}digits") == (0, plan, "")  # fetched once
    assert planned(tmp_path / "digits") == (0, plan, "")
    assert keys_of(f"{s3}digits") == keys_of(tmp_path / "digits")

    code, _, said = planned(f"{s3}digit")
    assert (code, f"tiny.yaml: data.path: {s3}digit: no such folder; give the URL" in said) == (2, True)
