import numpy as np
import pytest
from PIL import Image

import kd_core.data.look as look_module
from kd_core.config.data import DataConfig
from kd_core.data.look import look_at, names_in
from kd_core.data.pixels import KINDS
from kd_core.data.sources import read_source
from tests.image_sources import noise, part, write_images


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A training and a test part of two classes, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_images(tmp_path / "set", [*part("train", count=3), *part("test", count=2)])
    return tmp_path / "set"


def seen(folder):
    """The source in a folder, and what a look at it shows."""
    source = read_source(DataConfig(source="folder", path=str(folder)))
    return source, look_at(source)


def test_a_look_sees_each_image_by_its_place(folder):
    Image.new("RGBA", (4, 3)).save(folder / "train/a/1.png")
    (folder / "test/b/0.png").write_bytes(b"no image")
    (folder / "test/b/1.png").write_bytes((folder / "train/b/0.png").read_bytes())
    source, look = seen(folder)
    names = ["/".join(name.split("/")[-3:]) for name in names_in(source)]
    assert names == [*part("train", count=3), *part("test", count=2)]
    assert look.readable.tolist() == [name != "test/b/0.png" for name in names]
    assert look.sizes[names.index("train/a/1.png")].tolist() == [3, 4]
    assert look.digests[names.index("test/b/1.png")] == look.digests[names.index("train/b/0.png")]
    assert len(set(look.digests.tolist())) == 9
    assert [note.text for note in look.notes()] == [f"1 images {list(KINDS)[1]}"]


def test_images_that_look_alike_have_one_hash_and_others_another(folder):
    bright = np.asarray(noise(5, (64, 64))).astype(int)
    for name, pixels in (
        ("train/a/0", bright),
        ("train/a/1", np.clip(bright + 8, 0, 255)),
        ("train/a/2", 255 - bright),
    ):
        Image.fromarray(pixels.astype(np.uint8)).resize((64, 64)).save(folder / f"{name}.png")
    _, look = seen(folder)
    first, alike, inverse = (int(number) for number in look.average_hashes[:3])
    assert (first ^ alike).bit_count() <= 2
    assert (first ^ inverse).bit_count() > 50


def test_a_second_look_is_taken_from_the_cache_until_an_image_changes(folder, monkeypatch):
    reads = []
    monkeypatch.setattr(
        look_module,
        "_see",
        lambda content, background, see=look_module._see: (reads.append(1), see(content, background))[1],
    )
    first = seen(folder)[1]
    assert len(reads) == 10
    again = seen(folder)[1]
    assert len(reads) == 10
    for name, values in vars(first).items():
        np.testing.assert_array_equal(values, getattr(again, name))
    noise(77).save(folder / "train/a/1.png")
    assert seen(folder)[1].digests[1] != first.digests[1]
    assert len(reads) == 20


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut"])
def test_a_damaged_cache_is_looked_past(folder, tmp_path, content):
    first = seen(folder)[1]
    [kept] = (tmp_path / "cache/kd-sweeps/looks").iterdir()
    kept.write_bytes(content)
    np.testing.assert_array_equal(seen(folder)[1].digests, first.digests)


def test_progress_counts_the_images(folder, monkeypatch):
    monkeypatch.setattr(look_module, "_BLOCK", 4)
    told = []
    look_at(read_source(DataConfig(source="folder", path=str(folder))), lambda done, total: told.append((done, total)))
    assert told == [(4, 10), (8, 10)]
