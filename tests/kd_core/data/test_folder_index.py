import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kd_core.data.folder_index as folder_index
from kd_core.data import images
from kd_core.data.folder_index import index_of
from kd_core.data.images import identity_of

names = st.text("aB.é_1", min_size=1, max_size=4).filter(lambda name: not name.startswith("."))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of the cache, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that have been read to hash them."""
    read = []
    monkeypatch.setattr(
        folder_index,
        "file_sha256",
        lambda path, hashed=folder_index.file_sha256: (read.append(path.name), hashed(path))[1],
    )
    return read


def write(root, *paths):
    """Write a file at each path, with its path as content."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(paths=st.sets(st.tuples(names, names), min_size=1, max_size=8))
def test_files_are_in_the_order_of_their_paths_and_have_the_identity_of_a_plain_walk(paths, tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    write(root, *(f"{folder}/{name}.png" for folder, name in paths))
    files = sorted(file for file in root.rglob("*.png"))
    index = index_of(root, {".png"})
    assert [os.fsdecode(name) for name in index.names.tolist()] == [str(file.relative_to(root)) for file in files]
    assert index.identity() == identity_of(files, root)
    assert index.identity() == identity_of(files, root)  # from the cache


def test_only_what_has_changed_is_read_again(tmp_path, reads):
    write(tmp_path / "data", "a/1.png", "a/2.png", "b/3.png", "b/notes.txt")
    first = index_of(tmp_path / "data", {".png"}).identity()
    assert reads == ["1.png", "2.png", "3.png"]
    assert index_of(tmp_path / "data", {".png"}).identity() == first
    assert len(reads) == 3

    write(tmp_path / "data", "b/0.png")
    (tmp_path / "data" / "a" / "2.png").write_text("a/9.png")  # of equal size
    changed = index_of(tmp_path / "data", {".png"}).identity()
    assert reads[3:] == ["2.png", "0.png"]
    assert changed["a/2.png"] != first["a/2.png"]
    assert {name: changed[name] for name in ("a/1.png", "b/3.png")} == {
        name: first[name] for name in ("a/1.png", "b/3.png")
    }


@pytest.mark.parametrize("content", [b"", b"{}", b"PK\x03\x04 cut"])
def test_a_damaged_cache_is_read_anew_and_one_that_cannot_be_written_is_done_without(tmp_path, cache, reads, content):
    write(tmp_path / "data", "a/1.png")
    first = index_of(tmp_path / "data", {".png"}).identity()
    [kept] = (cache / "kd-sweeps" / "indexes").iterdir()
    kept.write_bytes(content)
    assert index_of(tmp_path / "data", {".png"}).identity() == first
    assert len(reads) == 2
    kept.unlink()
    kept.parent.rmdir()
    kept.parent.write_text("a file where the folder should be")
    assert index_of(tmp_path / "data", {".png"}).identity() == first


def test_of_a_large_folder_every_nth_file_is_hashed(tmp_path, monkeypatch):
    write(tmp_path / "data", *(f"a/{number}.png" for number in range(10)))
    monkeypatch.setattr(images, "HASHED_BYTES", 25)  # of 70
    files = sorted((tmp_path / "data").rglob("*.png"))
    assert index_of(tmp_path / "data", {".png"}).identity() == identity_of(files, tmp_path / "data")


def test_links_to_folders_are_followed_but_not_round_in_circles(tmp_path):
    write(tmp_path, "elsewhere/1.png", "data/a/2.png")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")
    index = index_of(tmp_path / "data", {".png"})
    assert index.names.tolist() == [b"a/2.png", b"b/1.png"]


def test_what_is_no_image_is_remembered_and_what_is_hidden_is_not_entered(tmp_path):
    write(tmp_path, "a/1.png", "a/notes.TXT", ".git/2.png", "a/.3.png", "__MACOSX/a/4.png", "b/Thumbs.db", "b/c/d.heic")
    (tmp_path / "a" / "5.png").symlink_to("nowhere.png")
    index = index_of(tmp_path, {".png"})
    assert index.names.tolist() == [b"a/1.png"]
    assert index.rest.folders == ["a", "b", "b/c"]
    assert sorted(index.rest.hidden) == [".git", "__MACOSX", "a/.3.png", "b/Thumbs.db"]
    assert index.rest.other == ["a/notes.TXT", "b/c/d.heic"]
    assert index.rest.dangling == ["a/5.png"]


def test_rows_can_be_left_out(tmp_path):
    write(tmp_path, "a/1.png", "a/22.png", "b/3.png")
    index = index_of(tmp_path, {".png"}).without(np.array([False, True, False]))
    assert index.names.tolist() == [b"a/1.png", b"b/3.png"]
    assert index.sizes.tolist() == [7, 7]


def test_digests_are_numbers_of_the_hashes_and_none_where_a_file_is_not_hashed(tmp_path, monkeypatch):
    write(tmp_path / "data", *(f"a/{number}.png" for number in range(10)))
    (tmp_path / "data/a/7.png").write_text("a/3.png")
    index = index_of(tmp_path / "data", {".png"})
    numbers = index.digests(np.arange(10)).tolist()
    assert numbers[7] == numbers[3]
    assert len(set(numbers)) == 9
    assert index.digests(np.array([7, 0])).tolist() == [numbers[7], numbers[0]]
    monkeypatch.setattr(images, "HASHED_BYTES", 25)  # of 70
    sampled = index_of(tmp_path / "data", {".png"}).digests(np.arange(10)).tolist()
    assert [number > 0 for number in sampled] == [row % 3 == 0 for row in range(10)]


def test_names_that_are_no_text_are_found_among_all(tmp_path):
    for name in (b"caf\xe9.png", "café.png".encode(), b"back\\xe9.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    assert index_of(tmp_path, {".png"}).names_that_are_no_text == ["caf\\xe9.png"]
