import json
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from upath import UPath

from kd_core.config.errors import DamagedError
from kd_core.store.files import (
    append_line,
    cache_folder,
    clear_orphans,
    damage_in,
    from_json,
    is_alive,
    json_text,
    read_bytes,
    read_json,
    read_sealed,
    remove,
    sizes_in,
    write_bytes,
    write_json,
    write_sealed,
    writing,
)

KILLED_WRITER = """
import os, sys
from pathlib import Path
from kd_core.store.files import writing
with writing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


def names(folder: Path) -> set[str]:
    """The files in a folder, including temporary ones."""
    return {path.name for path in folder.iterdir()}


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = UPath(tmp_path / "value.json")
    write_json(path, {"number": 0, "filling": [0] * 20_000})
    done = threading.Event()

    def poll() -> set[int]:
        seen = set()
        while not done.is_set():
            value = json.loads(path.read_bytes())
            assert value["filling"] == [value["number"]] * 20_000
            seen.add(value["number"])
        return seen

    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(poll)
        for number in range(60):
            write_json(path, {"number": number, "filling": [number] * 20_000})
        done.set()
    assert len(seen.result()) > 1
    assert names(tmp_path) == {"value.json"}


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_json(path, {"value": float("nan")}),
        lambda path: write_json(path, {"value": object()}),
        lambda path: write_bytes(path, "not bytes"),  # type: ignore[arg-type]
    ],
    ids=["nan", "object", "text"],
)
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, write):
    path = UPath(tmp_path / "value.json")
    write_json(path, {"value": 1})
    with pytest.raises((ValueError, TypeError)):
        write(path)
    assert read_json(path) == {"value": 1}
    assert names(tmp_path) == {"value.json"}


def test_a_replacement_that_fails_leaves_no_temporary_file(tmp_path):
    (tmp_path / "value.json" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match=r"value\.json"):
        write_json(UPath(tmp_path / "value.json"), {})
    assert names(tmp_path) == {"value.json"}


def test_what_a_killed_writer_leaves_is_cleared_and_what_a_living_one_writes_is_not(tmp_path):
    path = tmp_path / "value.npy"
    subprocess.run([sys.executable, "-c", KILLED_WRITER, str(path)], check=False)
    assert len(names(tmp_path)) == 1
    assert not path.exists()
    with writing(path) as temporary:
        temporary.write_bytes(b"whole")
        clear_orphans(tmp_path)
        assert names(tmp_path) == {temporary.name}
    assert path.read_bytes() == b"whole"
    assert names(tmp_path) == {"value.npy"}


def test_what_another_host_left_is_cleared_a_day_later(tmp_path):
    left = tmp_path / f".value.npy.{'0' * 8}-1-{'0' * 32}.tmp"
    left.touch()
    clear_orphans(tmp_path)
    assert left.exists()
    os.utime(left, (0, 0))
    clear_orphans(tmp_path)
    assert not left.exists()


def test_clearing_leaves_files_of_users_and_folders_that_are_not_there_alone(tmp_path):
    for name in (".notes.tmp", "value.tmp", ".value.json.0-1-2.tmp"):
        (tmp_path / name).touch()
    before = names(tmp_path)
    clear_orphans(tmp_path)
    clear_orphans(tmp_path / "nothing")
    clear_orphans(UPath("memory://nothing"))
    assert names(tmp_path) == before


def test_a_process_is_alive_until_it_has_ended():
    assert is_alive(os.getpid())
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not is_alive(process.pid)


def test_the_cache_folder_follows_the_users_own(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "kd-sweeps"


VALUE = {"name": "héllo", "figures": {"test/ece": 0.1234567890123, "none": None}, "rows": [1, 2.5, True]}


def flipped(content: bytes, at: int, bit: int = 0) -> bytes:
    """The same bytes but for one bit."""
    return content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]


def test_an_object_says_itself_that_it_is_whole_and_stays_json_for_everybody(tmp_path):
    path = UPath(tmp_path / "value.json")
    write_json(path, VALUE | {"pair": (1, 2)})
    assert read_json(path) == VALUE | {"pair": [1, 2]}
    assert damage_in(path) == ""
    assert json.loads(path.read_text()).keys() - VALUE.keys() == {"pair", "sha256"}
    assert read_json(tmp_path / "absent.json") is None
    assert damage_in(tmp_path / "absent.json") == ""


@pytest.mark.parametrize("bit", range(8))
def test_no_flipped_bit_of_an_object_changes_what_is_read(tmp_path, bit):
    """Only white space may change without being noticed."""
    whole = json_text(VALUE).encode()
    for at in range(len(whole)):
        if whole[at : at + 1].isspace() and flipped(whole, at, bit)[at : at + 1].isspace():
            continue
        with pytest.raises(ValueError, match=r"it is no JSON|its checksum is another"):
            from_json(flipped(whole, at, bit))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"{}", "it holds nothing"),
        (b"[]", "it holds nothing"),
        (b"null", "it holds nothing"),
        (b'{"a": 1', "it is no JSON"),
        (b'{"a": "\xff"}', "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b'{"a": 1, "sha256": "0"}', "its checksum is another"),
        (b'{"a": 1, "sha356": "' + b"0" * 64 + b'"}', "its checksum is another"),
    ],
)
def test_a_damaged_object_is_as_good_as_missing_and_named(tmp_path, content, said):
    path = UPath(tmp_path / "value.json")
    path.write_bytes(content)
    assert read_json(path) is None
    assert damage_in(path).startswith(f"{path}: is damaged: {said}")


def test_what_has_no_checksum_is_damaged_and_what_is_written_may_be_empty(tmp_path):
    path = UPath(tmp_path / "value.json")
    path.write_text(json.dumps(VALUE))
    assert damage_in(path) == f"{path}: is damaged: its checksum is another"
    write_json(path, {})
    assert read_json(path) == {}
    assert damage_in(path) == ""


@pytest.mark.parametrize("root", ["", "memory://"])
def test_lines_are_appended_and_files_removed_wherever_they_are(tmp_path, root):
    path = UPath(f"{root}{tmp_path}") / "folder" / "lines.txt"
    write_bytes(path, b"one\n")
    append_line(path, [b"one\n", b"two\n"])
    assert path.read_bytes() == b"one\ntwo\n"
    for _ in range(2):
        remove(path)
    assert not path.exists()


def test_sealed_bytes_come_back_or_not_at_all(tmp_path):
    path = UPath(tmp_path / "value.pt")
    write_sealed(path, b"weights")
    assert read_sealed(path) == b"weights"
    whole = path.read_bytes()
    damaged = [whole[:-1], whole[:10], b"", b"{}", *(flipped(whole, at) for at in range(len(whole)))]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(DamagedError, match=r"value\.pt: is damaged"):
            read_sealed(path)


def test_the_sizes_of_a_folder_come_from_one_listing(tmp_path):
    for folder in (UPath(tmp_path / "sizes"), UPath(f"memory://{tmp_path.name}/sizes")):
        assert sizes_in(folder) == {}
        write_bytes(folder / "a.bin", b"123")
        write_bytes(folder / "b.bin", b"")
        assert sizes_in(folder) == {"a.bin": 3, "b.bin": 0}


def test_a_file_is_read_from_an_object_store_by_one_request(s3, caplog):
    (s3 / "there").write_bytes(b"content")
    with caplog.at_level(logging.INFO, "werkzeug"):
        assert read_bytes(s3 / "there") == b"content"
        with pytest.raises(FileNotFoundError):
            read_bytes(s3 / "missing")
    requests = [record.getMessage() for record in caplog.records if record.name == "werkzeug"]
    assert ["there" in requests[0], "missing" in requests[1], len(requests)] == [True, True, 2]
