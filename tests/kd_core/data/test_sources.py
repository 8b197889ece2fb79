"""The sources of a DataConfig; reading folders and parquet files is tested in test_dataset.py."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from kd_core.data.dataset import load
from kd_core.data.sources import read_source
from kd_core.data.splits import fingerprint_of
from kd_core.spec.data_config import DataConfig

OFFLINE = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9")
READ = """
import sys
from kd_core.spec.data_config import DataConfig
from kd_core.data.dataset import load
from kd_core.spec.data_config import DataError
try:
    load(DataConfig(source=sys.argv[1], path=sys.argv[2]))
except DataError as error:
    print(error)
"""


@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
def test_cifar_without_a_network_says_where_to_put_the_archive(tmp_path, source):
    command = [sys.executable, "-c", READ, source, str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"} | OFFLINE
    ran = subprocess.run(
        command, cwd=Path(__file__).parents[3], env=environment, capture_output=True, text=True, check=True
    )
    (sentence,) = ran.stdout.splitlines()
    assert sentence.startswith(f"data.path: {tmp_path}: {source} cannot be downloaded into it")
    assert sentence.endswith("or use source: parquet")
    assert f"put {source.replace('cifar', 'cifar-')}-python.tar.gz there" in sentence


def test_a_damaged_archive_is_refused_by_its_checksum(tmp_path, monkeypatch):
    """The file there is not the published archive, which cannot be downloaded."""
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib keeps the first opener, proxies and all
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half an archive")
    with pytest.raises(ValueError, match="cifar10 cannot be downloaded"):
        read_source(DataConfig(source="cifar10", path=str(tmp_path)))


def test_cifar_has_a_fingerprint_before_it_is_downloaded():
    prints = {
        fingerprint_of(DataConfig(source=source, limit=limit))
        for source in ("cifar10", "cifar100")
        for limit in (None, 100)
    }
    assert len(prints) == 4


def test_digits_are_resized_like_every_source():
    plain, larger = (load(DataConfig(source="digits", limit=50, image_size=size)) for size in (None, 12))
    assert (plain.test.size, larger.test.size) == ((8, 8), (12, 12))
    np.testing.assert_array_equal(plain.test.labels, larger.test.labels)
