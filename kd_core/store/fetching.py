"""Copies in this node's cache of data at a URL: files whole or not at all, and anew only those that have changed."""

import errno
import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import Callback
from fsspec.spec import AbstractFileSystem

from kd_core.spec.data_config import DataError
from kd_core.spec.fields import shown, size_text
from kd_core.spec.keys import digest
from kd_core.store.cache import Cached, Room, is_complete
from kd_core.store.files import cache_folder, read_json, write_json

_AT_A_TIME, _SLICE = 16, 4096  # files fetched by threads, and files handed to them
_LINE_S = 10.0  # between two lines about a fetch
_VERSIONS = ("etag", "lastmodified", "updated", "mtime", "modify")  # as file systems call what changes with a file
_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

_log = logging.getLogger(__name__)


class UnreachableError(DataError):
    """A URL cannot be listed now, though it may be right."""


@dataclass(frozen=True)
class Listing:
    """The files below a URL: by relative name, their size in bytes and version, and their paths at the source."""

    file_system: Any
    paths: dict[str, str]
    files: dict[str, list[Any]]

    @property
    def version(self) -> str:
        """Sixteen hexadecimal digits that change when a file's name, size or version does."""
        return digest(self.files)


def fetched(url: str, suffixes: Collection[str]) -> Cached:
    """This node's copy of the files below a URL that have one of these suffixes; raises DataError with a remedy.

    Only the listing is read now. If that fails, as without a network, the last complete copy is used, with a warning.
    """
    suffixes = tuple(sorted(suffixes))
    source = digest([url.rstrip("/"), suffixes])
    try:
        version = listing_of(url, suffixes).version
    except UnreachableError as error:
        copies = [path for path in _copies(source) if is_complete(path)]
        if not copies:
            raise
        last = max(copies, key=lambda path: (path / "state.json").stat().st_mtime)
        version = last.name.removeprefix(f"{source}-")
        _log.warning("%s; going on with the copy in %s", error, last)
    return Cached("fetched", f"{source}-{version}", url, partial(_fetch, url, suffixes, version))


def listing_of(url: str, suffixes: Collection[str]) -> Listing:
    """The files below a URL that have one of these suffixes, of any case; raises DataError."""
    with _reaching(url):
        file_system, root = fsspec.url_to_fs(url)
        file_system.invalidate_cache()
        found = {path: info for path, info in _found(file_system, root).items() if info.get("type") == "file"}
        found = {path: info for path, info in found.items() if path != root and _suffix(path) in suffixes}
        paths = {_relative(path, root, url, "http" in file_system.protocol): path for path in sorted(found)}
        if any(info.get("size") is None for info in found.values()):  # HTTP lists names only
            with ThreadPoolExecutor(_AT_A_TIME) as pool:
                found = dict(zip(found, pool.map(file_system.info, found), strict=True))
    if not found:
        kinds = ", ".join(sorted(suffixes))
        raise DataError(f"data.path: {url}: holds no file of {kinds}; give the URL of the folder that holds the data")
    files = {name: [found[path]["size"], _version(found[path])] for name, path in paths.items()}
    if unknown := next((name for name, (size, _) in files.items() if size is None), None):
        raise DataError(f"data.path: {url}: its server does not tell the size of {shown(unknown)}; use another server")
    return Listing(file_system, paths, files)


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    """Raise DataError for what goes wrong when a URL is listed; each file system raises its own errors."""
    try:
        yield
    except DataError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"data.path: {url}: no such folder; give the URL of the folder that holds the data") from None
    except PermissionError as error:
        raise DataError(f"data.path: {url}: may not be read ({_line(error)}); give credentials that may") from error
    except ImportError as error:
        raise DataError(f"data.path: {url}: lacks its driver ({_line(error)}); install that on all nodes") from None
    except ValueError as error:
        raise DataError(f"data.path: {url}: is no URL of fsspec ({_line(error)}); correct it") from error
    except Exception as error:
        raise UnreachableError(
            f"data.path: {url}: cannot be listed ({_line(error)}); check the URL, the network and the credentials"
        ) from error


def _line(error: Exception) -> str:
    return " ".join(f"{error or type(error).__name__}".split())[:200]


def _found(file_system: Any, root: str) -> dict[str, Any]:
    """What is known of each file below a root; raises the errors of the file system, also of one folder of many."""
    finds, walks = ("_find", AsyncFileSystem._find) if file_system.async_impl else ("find", AbstractFileSystem.find)
    if getattr(type(file_system), finds) is walks:  # and passes over folders that it cannot list
        return dict(_walked(file_system, root))
    found = file_system.find(root, detail=True)
    if not found:
        file_system.ls(root)
    return found


def _walked(file_system: Any, folder: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of a folder and what is known of them; `above` are those on the way, which a link may lead back to."""
    is_local = "file" in file_system.protocol
    here = os.path.realpath(folder) if is_local else folder.rstrip("/")
    if here in above:
        return
    for info in _linked(folder) if is_local else file_system.ls(folder, detail=True):
        if info["type"] == "directory":
            yield from _walked(file_system, info["name"], (*above, here))
        else:
            yield info["name"], info


def _linked(folder: str) -> Iterator[dict[str, Any]]:
    """What is known of each entry of a local folder; links, which fsspec does not follow, are what they lead to."""
    with os.scandir(folder) as entries:
        for entry in entries:
            kind = "directory" if entry.is_dir() else "file" if entry.is_file() else "other"
            size_and_time = {"size": entry.stat().st_size, "mtime": entry.stat().st_mtime_ns} if kind == "file" else {}
            yield {"name": entry.path, "type": kind, **size_and_time}


def _version(info: dict[str, Any]) -> str:
    """What changes with a file; empty where the file system does not tell, so that only its size counts."""
    known = {key.lower().replace("-", "").replace("_", ""): value for key, value in info.items()}
    return next((str(known[key]) for key in _VERSIONS if known.get(key)), "")


def _suffix(path: str) -> str:
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 - of a million names


def _relative(path: str, root: str, url: str, quoted: bool) -> str:
    """The name of a file below the root, safe to be joined to a local folder; raises DataError."""
    start = root.rstrip("/") + "/"
    name = path.removeprefix(start)
    name = unquote(name) if quoted else name
    strange = any(part in ("", ".", "..") or "\0" in part for part in name.split("/"))
    if strange or not path.startswith(start) or name != name.encode(errors="ignore").decode():
        raise DataError(f"data.path: {url}: has a file named {shown(repr(path))}, which is no path below it; rename it")
    return name


def _copies(source: str) -> list[Path]:
    return list((cache_folder() / "fetched").glob(f"{source}-*"))


def _fetch(url: str, suffixes: Collection[str], version: str, content: Path, room: Room) -> None:
    """Bring a folder to what a version of a URL's listing says, with what it and older copies have already."""
    listing = listing_of(url, suffixes)
    if listing.version != version:
        raise _changed(url)
    write_json(content.parent / "listing.json", {"files": listing.files})
    _link_known(listing, content)
    sizes = {name: size for name, (size, _) in listing.files.items()}
    missing = [name for name, size in sizes.items() if _size(content / name) != size]
    num_bytes = sum(sizes[name] for name in missing)
    room(sum(sizes.values()), num_bytes)
    if not missing:
        return
    in_files = f"{len(missing)} file{'' if len(missing) == 1 else 's'}"
    _log.info("fetching %s in %s from %s", size_text(num_bytes), in_files, url)
    _fetch_files(listing, missing, content, _Progress(url, num_bytes))
    later = listing_of(url, suffixes)
    for name in (name for name in missing if later.files.get(name) != listing.files[name]):
        (content / name).unlink()
    if later.version != version:
        raise _changed(url)


def _changed(url: str) -> DataError:
    return DataError(f"data.path: {url}: has changed meanwhile; give the same command again when nobody writes to it")


def _link_known(listing: Listing, content: Path) -> None:
    """Link the files that other copies of the URL have in the same version."""
    source = content.parent.name.partition("-")[0]
    for other in _copies(source):
        known = (read_json(other / "listing.json") or {}).get("files", {}) if other != content.parent else {}
        for name in (name for name, file in listing.files.items() if known.get(name) == file):
            with suppress(OSError):  # it is here already, or there no longer
                (content / name).parent.mkdir(parents=True, exist_ok=True)
                (content / name).hardlink_to(other / "content" / name)


def _size(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_size
    return None


def _fetch_files(listing: Listing, names: list[str], content: Path, progress: "_Progress") -> None:
    partly = content.parent / "partly"  # here by this process alone
    shutil.rmtree(partly, ignore_errors=True)
    partly.mkdir()

    def fetch(name: str) -> None:
        """Fetch one file, whole or not at all."""
        temporary, size, counter = partly / uuid.uuid4().hex, listing.files[name][0], _Counter(progress)
        try:
            listing.file_system.get_file(listing.paths[name], str(temporary), callback=counter)
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
                raise
            raise DataError(
                f"data.path: {progress.url}: {shown(name)} cannot be fetched ({_line(error)}); give the same command "
                "again: what has been fetched is kept"
            ) from error
        if temporary.stat().st_size != size:
            raise _changed(progress.url)
        (content / name).parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(content / name)
        progress.add(size - counter.counted)  # not all file systems tell

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        try:
            for start in range(0, len(names), _SLICE):
                list(pool.map(fetch, names[start : start + _SLICE]))
        except BaseException:
            progress.ended = True
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shutil.rmtree(partly)


class _Progress:
    """Counts the bytes of a fetch, and says now and then how far it is."""

    def __init__(self, url: str, num_bytes: int) -> None:
        self.url, self.num_bytes, self.ended = url, num_bytes, False
        self._done, self._said, self._lock = 0, time.monotonic(), threading.Lock()

    def add(self, num_bytes: int) -> None:
        """Count more bytes; raises InterruptedError if the fetch has ended, so that threads end too."""
        if self.ended:
            raise InterruptedError
        with self._lock:
            self._done += num_bytes
            if (now := time.monotonic()) - self._said > _LINE_S:
                self._said = now
                _log.info("fetched %s of %s from %s", size_text(self._done), size_text(self.num_bytes), self.url)


class _Counter(Callback):
    """Passes the bytes of one file on to the progress of all."""

    def __init__(self, progress: _Progress) -> None:
        super().__init__()
        self.counted, self._progress = 0, progress

    def relative_update(self, inc: int = 1) -> None:
        """Count more bytes."""
        self.counted += inc
        self._progress.add(inc)
