"""Copies of URLs: a folder, a real S3 server, and a real HTTP server that counts what is asked of it."""

import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kd_core.config.errors import DataError
from kd_core.store.cache import fetched, listing_of

FETCH = "import sys; from pathlib import Path; from kd_core.store.cache import fetched; "
FETCH += "print(Path(fetched(sys.argv[1], {'.png'})))"


class Server(ThreadingHTTPServer):
    """A folder served on a port of its own: counts the files that are fetched, and holds one back while told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self.fetches: Counter[str] = Counter()
        self.held_back, self.may_go_on, self.broken = "", threading.Event(), ""
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Answer no more."""
        self.may_go_on.set()
        self.shutdown()
        self.server_close()


class Handler(SimpleHTTPRequestHandler):
    """Serves files, and folders as pages of links."""

    def do_GET(self) -> None:
        """Serve one, when it may go on."""
        assert isinstance(self.server, Server)
        if self.path == self.server.broken:
            self.send_error(404)
            return
        if self.path.endswith(".png"):
            self.server.fetches[self.path] += 1
            if self.path == self.server.held_back:
                self.server.may_go_on.wait()
        with suppress(ConnectionError):  # whoever asked was killed
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """The cache folder of this process and of those that it starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kd-sweeps"


@pytest.fixture
def remote(tmp_path) -> Path:
    """A folder with two images and a file of another kind."""
    for name in ("train/a/1.png", "train/b/two words é.png", "train/readme.txt"):
        (tmp_path / "remote" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "remote" / name).write_text(name * 100)
    return tmp_path / "remote"


@pytest.fixture
def server(remote) -> Iterator[Server]:
    """Serves the folder."""
    server = Server(remote)
    yield server
    server.stop()


def contents(folder: os.PathLike[str]) -> dict[str, str]:
    """The text of each file by its relative path."""
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def names_below(folder: os.PathLike[str]) -> set[str]:
    """The names of all files below a folder that another process may be changing (os.walk passes over what goes)."""
    return {name for _, _, names in os.walk(folder) for name in names}


@pytest.mark.parametrize("kind", ["file", "http", "s3"])
def test_a_copy_has_the_files_of_its_kind_under_their_names(kind, remote, server, request):
    url = {"file": f"file://{remote}", "http": server.url}.get(kind)
    if kind == "s3":
        bucket = request.getfixturevalue("s3")
        bucket.fs.put(str(remote), f"{bucket.path}remote", recursive=True)
        url = f"{bucket}remote"
    local = {name: text for name, text in contents(remote).items() if name.endswith(".png")}
    assert contents(fetched(url, {".png"})) == local
    assert contents(fetched(f"{url}/train/", {".png"})) == {n.removeprefix("train/"): t for n, t in local.items()}


def test_processes_that_start_at_once_fetch_each_file_once(server):
    command = [sys.executable, "-c", FETCH, server.url]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = {process.communicate()[0] for process in started}
    assert len(outputs) == 1
    assert len(contents(Path(outputs.pop().strip()))) == 2
    assert list(server.fetches.values()) == [1, 1]


def test_a_killed_fetch_goes_on_with_the_files_it_had(server, remote, cache, wait_until):
    for number in range(20):  # more than are fetched at once
        (remote / "train" / "a" / f"{number}.png").write_text(f"{number}")
    server.held_back = "/train/b/two%20words%20%C3%A9.png"
    process = subprocess.Popen([sys.executable, "-c", FETCH, server.url])
    wait_until(lambda: "1.png" in names_below(cache) and server.fetches[server.held_back], process)
    process.kill()
    process.wait()
    kept = {name for name in names_below(cache) if name.endswith(".png")}
    assert len(kept) == 16
    server.held_back = ""
    assert len(contents(fetched(server.url, {".png"}))) == 21
    assert {path.rpartition("/")[2] for path, count in server.fetches.items() if count == 1} >= kept
    assert not list(cache.rglob("partly"))


def test_a_file_that_a_cleaner_removed_is_fetched_again(server):
    copy = contents(first := fetched(server.url, {".png"}))
    Path(first, "train/a/1.png").unlink()
    del first
    assert contents(fetched(server.url, {".png"})) == copy
    assert sorted(server.fetches.values()) == [1, 2]


def test_only_what_has_changed_is_fetched_anew_and_the_copy_in_use_stays(server, remote, caplog):
    caplog.set_level(logging.INFO)
    first = fetched(server.url, {".png"})
    before = contents(first)
    (remote / "train" / "a" / "1.png").write_text("changed")
    (remote / "train" / "a" / "3.png").write_text("new")
    (remote / "train" / "b" / "two words é.png").rename(remote / "train" / "b" / "2.png")
    changed = contents(fetched(server.url, {".png"}))
    assert (changed["train/a/1.png"], set(changed)) == (
        "changed",
        {f"train/{name}.png" for name in ("a/1", "a/3", "b/2")},
    )
    assert contents(first) == before
    server.fetches.clear()
    (remote / "train" / "a" / "3.png").unlink()
    assert len(contents(fetched(server.url, {".png"}))) == 2
    assert not server.fetches
    assert [each.getMessage() for each in caplog.records if "fetching" in each.getMessage()] == [
        f"fetching 3.61 KiB in 2 files from {server.url}",
        f"fetching 2.35 KiB in 3 files from {server.url}",
    ]


def test_a_file_that_changes_while_others_are_fetched_is_fetched_the_next_time(server, remote):
    server.held_back = "/train/b/two%20words%20%C3%A9.png"
    with ThreadPoolExecutor(1) as pool:
        copy = pool.submit(lambda: os.fspath(fetched(server.url, {".png"})))
        while len(server.fetches) < 2:
            time.sleep(0.01)
        os.utime(remote / "train" / "a" / "1.png", (0, 0))
        server.may_go_on.set()
        with pytest.raises(DataError, match="has changed meanwhile"):
            copy.result()
    assert len(contents(fetched(server.url, {".png"}))) == 2
    assert server.fetches == {"/train/a/1.png": 2, server.held_back: 1}


def test_a_source_that_changes_before_it_is_fetched_is_refused_and_fetched_the_next_time(remote):
    copy = fetched(f"file://{remote}", {".png"})
    (remote / "train" / "a" / "1.png").write_text("changed")
    with pytest.raises(
        DataError, match=f"data.path: file://{remote}: has changed meanwhile; give the same command again"
    ):
        os.fspath(copy)
    assert contents(fetched(f"file://{remote}", {".png"}))["train/a/1.png"] == "changed"


def test_a_node_without_the_copy_fetches_the_same_version_or_none(remote, tmp_path, monkeypatch):
    sent = pickle.dumps(fetched(f"file://{remote}", {".png"}))
    assert len(sent) < 1000
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    there = pickle.loads(sent)
    assert Path(there).is_relative_to(tmp_path / "another")
    assert len(contents(there)) == 2
    (remote / "train" / "a" / "1.png").unlink()
    assert len(contents(pickle.loads(sent))) == 2  # it has the copy now
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a third"))
    with pytest.raises(DataError, match="has changed meanwhile"):
        os.fspath(pickle.loads(sent))


def test_without_a_network_the_copy_serves_with_a_warning(server, caplog):
    complete = contents(fetched(server.url, {".png"}))
    server.stop()
    assert contents(fetched(server.url, {".png"})) == complete
    (warning,) = (each.getMessage() for each in caplog.records if each.levelno == logging.WARNING)
    assert warning.startswith(f"data.path: {server.url}: cannot be listed (Cannot connect to host")
    assert "; going on with the copy in " in warning
    with pytest.raises(DataError, match=r"cannot be listed .*; check the URL, the network and the credentials"):
        fetched(server.url, {".jpg"})


def test_links_are_followed_but_not_round_in_circles(remote):
    (remote / "train" / "round").symlink_to(remote)
    (remote / "train" / "c").symlink_to(remote / "train" / "a")
    (remote / "train" / "2.png").symlink_to(remote / "train" / "a" / "1.png")
    (remote / "train" / "3.png").symlink_to("nowhere")
    names = {"train/a/1.png", "train/b/two words é.png", "train/c/1.png", "train/2.png"}
    assert set(listing_of(f"file://{remote}", {".png"})[0]) == names
    assert set(contents(fetched(f"file://{remote}", {".png"}))) == names


@pytest.mark.parametrize(
    "link", ["../outside.png", "%2e%2e/outside.png", "%2Fetc%2Foutside.png", "a/%00.png", "a//b.png"]
)
def test_names_that_lead_outside_are_refused(server, remote, tmp_path, link):
    (remote / "train" / "index.html").write_text(f'<a href="{server.url}/train/{link}">')
    with pytest.raises(DataError, match=r"has a file named .*, which is no path below it; rename it"):
        fetched(f"{server.url}/train", {".png"})
    assert not list((tmp_path / "cache").rglob("*.png"))


def test_what_cannot_be_listed_is_one_sentence(remote, s3, server):
    for url, sentence in {
        "s3://no-such-bucket/data": "no such folder; give the URL of the folder that holds the data",
        f"{s3}data": "no such folder; give the URL of the folder that holds the data",
        f"file://{remote}/none": "no such folder; give the URL of the folder that holds the data",
        f"{server.url}/none": "no such folder; give the URL of the folder that holds the data",
        f"file://{remote}/train/readme.txt": "holds no file of .tiff; give the URL of the folder that holds the data",
        f"file://{remote}": "holds no file of .tiff; give the URL of the folder that holds the data",
        "gs://bucket/data": "lacks its driver (Please install gcsfs to access Google Storage); "
        "install that on all nodes",
        "s4://bucket/data": "is no URL of fsspec (Protocol not known: s4); correct it",
    }.items():
        with pytest.raises(DataError) as refused:
            fetched(url, {".tiff"})
        assert str(refused.value) == f"data.path: {url}: {sentence}"


def test_a_folder_that_cannot_be_listed_does_not_pass_for_an_empty_one(server):
    assert len(listing_of(server.url, {".png"})[0]) == 2
    server.broken = "/train/b/"
    with pytest.raises(DataError, match="no such folder"):
        listing_of(server.url, {".png"})
