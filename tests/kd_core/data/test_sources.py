"""The sources of a DataConfig; reading folders and parquet files is tested in test_dataset.py."""

import urllib.request

import numpy as np
import pytest
from PIL import Image

from kd_core.config.data import DataConfig
from kd_core.config.errors import DataError
from kd_core.data.dataset import load
from kd_core.data.sources import read_source
from kd_core.data.splits import fingerprint_of

OFFLINE = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"), "http://127.0.0.1:9")


@pytest.fixture(autouse=True)
def _offline(monkeypatch) -> None:
    """Whatever is asked for over the network is refused."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(urllib.request, "_opener", None)  # urllib keeps the first opener, proxies and all


@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
def test_cifar_without_a_network_says_where_to_put_the_archive(tmp_path, source):
    with pytest.raises(DataError) as refused:
        load(DataConfig(source=source, path=str(tmp_path)))
    (sentence,) = str(refused.value).splitlines()
    assert sentence.startswith(f"data.path: {tmp_path}: {source} cannot be downloaded into it")
    assert sentence.endswith("or use source: parquet")
    assert f"put {source.replace('cifar', 'cifar-')}-python.tar.gz there" in sentence


def test_a_damaged_archive_is_refused_by_its_checksum(tmp_path):
    """The file there is not the published archive, which cannot be downloaded."""
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


def test_a_folder_of_this_machine_is_read_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "images" / name / "0.png")
    source = read_source(DataConfig(source="folder", path=str(tmp_path / "images")))
    assert source.identity()["files"].keys() == {"ant/0.png", "bee/0.png"}
    assert not (tmp_path / "cache" / "kd-sweeps" / "fetched").exists()
