"""Folders in this node's cache, such as copies of data at a URL: made once, shared by all, evicted if nobody uses them.

A folder holds `content`, `state.json`, which is written last, and `lock`, which its users share; the lock beside it is
for the one process that makes or evicts it. Folders take at most half of the disk, or KDSWEEP_CACHE_GIB; the least
recently used go first.
"""

import fcntl
import logging
import os
import posixpath
import shutil
import weakref
from collections.abc import Callable, Collection
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fsspec
from filelock import FileLock, Timeout

from kd_core.config.errors import DataError
from kd_core.config.identity import digest
from kd_core.fields import shown, size_text
from kd_core.store.files import FULL, cache_folder, read_ahead, read_json, write_json

LIMIT = "KDSWEEP_CACHE_GIB"
Room = Callable[[int, int], None]  # makes room for a folder of so many bytes, of which so many are still to be written

_VERSIONS = ("etag", "lastmodified", "updated", "mtime", "modify")  # as file systems call what changes with a file
_MISTAKES = {
    FileNotFoundError: "no such folder; give the URL of the folder that holds the data",
    PermissionError: "may not be read ({}); give credentials that may",
    ImportError: "lacks its driver ({}); install that on all nodes",
    ValueError: "is no URL of fsspec ({}); correct it",
}

_log = logging.getLogger(__name__)


@dataclass
class Cached(os.PathLike[str]):
    """A folder of the cache as a path: made on this node when the path is first taken, kept as long as this lives.

    `make` is called with a folder, which may hold what a killed process made of it, and with a Room to be called before
    something large is written. It is pickled along, for nodes that lack the folder; errors name the origin.
    """

    kind: str  # fetched or unpacked
    name: str
    origin: str
    make: Callable[[Path, Room], None]
    _path: str | None = field(default=None, init=False, compare=False)

    def __fspath__(self) -> str:
        if self._path is None:
            folder = cache_folder() / self.kind / self.name
            try:
                self._use(folder)
            except OSError as error:
                raise DataError(
                    f"data.path: {self.origin}: cannot be copied into {folder} ({error}); set XDG_CACHE_HOME to a "
                    f"folder {'with room' if error.errno in FULL else 'that can be written'}"
                ) from error
            self._path = str(folder / "content")
        return self._path

    def __str__(self) -> str:
        return self.origin

    def __reduce__(self) -> tuple[type["Cached"], tuple[object, ...]]:
        return Cached, (self.kind, self.name, self.origin, self.make)

    def _use(self, folder: Path) -> None:
        """Make a folder unless it is complete, and keep it from being evicted."""
        content, lock = folder / "content", FileLock(f"{folder}.lock")
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            locked = lock.acquire(timeout=0)
        except Timeout:
            _log.info("waiting for another process that makes %s", folder)
            locked = lock.acquire()
        with locked:
            if not is_complete(folder):
                content.mkdir(parents=True, exist_ok=True)
                self.make(content, partial(_make_room, folder, self.origin))
                os.sync()  # once, for all of its files
                write_json(folder / "state.json", {"bytes": _size(folder), "files": _num_files(content)})
            os.utime(folder)
            shared = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
            weakref.finalize(self, os.close, shared)
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(shared, fcntl.LOCK_SH)


def is_complete(folder: Path) -> bool:
    """Whether a folder of the cache has been made to the end, and no file of it was removed since, as by a cleaner."""
    num_files = (read_json(folder / "state.json") or {}).get("files")
    return num_files is not None and num_files == _num_files(folder / "content")


def _num_files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _size(folder: Path) -> int:
    """The bytes that a folder takes, or is to take when it is complete."""
    state = read_json(folder / "state.json")
    return state["bytes"] if state else sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _make_room(folder: Path, origin: str, total: int, missing: int) -> None:
    """Reserve `total` bytes of the cache for a folder, of which `missing` are to be written; evicts others for it."""
    cache = cache_folder()
    with FileLock(cache / "lock"), ExitStack() as locks:
        others = {*cache.glob("fetched/*/"), *cache.glob("unpacked/*/")} - {folder}
        sizes = {path: _size(path) for path in sorted(others, key=os.path.getmtime)}
        idle = [path for path in sizes if _is_idle(path, locks)]
        used, in_use = sum(sizes.values()), sum(sizes[path] for path in sizes.keys() - idle)
        on_disk = shutil.disk_usage(cache).free + used + total - missing
        limit, remedy = min((_limit(cache), f"set {LIMIT} to more GiB"), (on_disk, "make room on its disk"))
        if in_use + total > limit:
            by_others = f", of which others use {size_text(in_use)}" if in_use else ""
            raise DataError(
                f"data.path: {origin}: takes {size_text(total)}, and the cache {cache} may hold {size_text(limit)}"
                f"{by_others}; {remedy}, or set XDG_CACHE_HOME to a folder on a larger disk"
            )
        for path in idle:
            if used + total > limit:
                shutil.rmtree(path)
                used -= sizes[path]
                _log.info("evicted %s from the cache", path)
        write_json(folder / "state.json", {"bytes": total, "files": None})


def _is_idle(folder: Path, locks: ExitStack) -> bool:
    """Whether nobody makes or uses a folder; then nobody does until the locks are released."""
    with suppress(OSError):  # somebody does, or it cannot be locked here
        locks.enter_context(FileLock(f"{folder}.lock", timeout=0))
        shared = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        locks.callback(os.close, shared)
        fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _limit(cache: Path) -> int:
    """The bytes that the cache may hold."""
    given = os.environ.get(LIMIT)
    if not given:
        return shutil.disk_usage(cache).total // 2
    with suppress(ValueError, OverflowError):
        if (limit := int(float(given) * 2**30)) > 0:
            return limit
    raise DataError(f"{LIMIT}: {shown(given)}: must be a number of GiB above 0; set it so, or unset it")


class UnreachableError(DataError):
    """A URL cannot be listed now, though it may be right."""


def fetched(url: str, suffixes: Collection[str]) -> Cached:
    """This node's copy of the files below a URL that have one of these suffixes; raises DataError with a remedy.

    Only the listing is read now. If that fails, as without a network, the last complete copy is used, with a warning.
    """
    suffixes = tuple(sorted(suffixes))
    source = digest([url.rstrip("/"), suffixes])
    try:
        version = digest(listing_of(url, suffixes)[0])
    except UnreachableError as error:
        copies = filter(is_complete, cache_folder().glob(f"fetched/{source}-*/"))
        last = max(copies, key=os.path.getmtime, default=None)
        if last is None:
            raise
        version = last.name.removeprefix(f"{source}-")
        _log.warning("%s; going on with the copy in %s", error, last)
    return Cached("fetched", f"{source}-{version}", url, partial(_fetch, url, suffixes, version))


def listing_of(url: str, suffixes: Collection[str]) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Of the files below a URL with one of these suffixes, of any case: sizes in bytes and versions, and their paths.

    Both are by their names below the URL. Raises DataError.
    """
    try:
        file_system, root = fsspec.url_to_fs(url)
        file_system.invalidate_cache()
        found = {path: info for path, info in _found(file_system, root).items() if path.lower().endswith((*suffixes,))}
        names = {path: _relative(path, root, url, "http" in file_system.protocol) for path in sorted(found)}
        if any(info.get("size") is None for info in found.values()):  # HTTP lists names only
            found = dict(zip(found, read_ahead(file_system.info, found), strict=True))
    except DataError:
        raise
    except Exception as error:  # each file system raises its own
        kind = next((kind for kind in _MISTAKES if isinstance(error, kind)), None)
        problem = _MISTAKES[kind] if kind else "cannot be listed ({}); check the URL, the network and the credentials"
        raise (DataError if kind else UnreachableError)(f"data.path: {url}: {problem.format(shown(error))}") from error
    files = {name: [found[path].get("size"), _version(found[path])] for path, name in names.items()}
    if not files:
        kinds = ", ".join(sorted(suffixes))
        raise DataError(f"data.path: {url}: holds no file of {kinds}; give the URL of the folder that holds the data")
    if unknown := next((name for name, (size, _) in files.items() if size is None), None):
        raise DataError(f"data.path: {url}: its server does not tell the size of {shown(unknown)}; use another server")
    return files, dict(zip(files, names, strict=True))


def _found(file_system: Any, folder: str) -> dict[str, dict[str, Any]]:
    """What is known of each file below a folder; raises the errors of the file system, which its `find` passes over.

    Links, which only local folders have, are followed, but not round in circles.
    """
    found, folders = {}, [folder]
    while folders:
        above = {posixpath.normpath(each) for each in folders}
        listed = read_ahead(partial(file_system.ls, detail=True), folders)
        entries = {entry["name"]: entry for entries in listed for entry in entries}
        links = [Path(path) for path, entry in entries.items() if entry.get("islink") and Path(path).exists()]
        entries |= {str(link): file_system.info(str(link)) for link in links}  # of what they lead to
        circles = {str(link) for link in links if link.is_dir() and any(map(link.samefile, link.parents))}
        found |= {path: entry for path, entry in entries.items() if entry["type"] == "file" and path != folder}
        folders = [path for path in entries.keys() - circles if entries[path]["type"] == "directory"]
        folders = [path for path in folders if posixpath.normpath(path) not in above]
    return found


def _relative(path: str, root: str, url: str, quoted: bool) -> str:
    """The name of a file below the root, safe to be joined to a local folder; raises DataError."""
    name = path[len(root.rstrip("/")) + 1 :]
    name = unquote(name) if quoted else name
    if posixpath.normpath(f"x/{name}".replace("\0", "/")).encode(errors="ignore").decode() != f"x/{name}":
        raise DataError(f"data.path: {url}: has a file named {shown(repr(path))}, which is no path below it; rename it")
    return name


def _version(info: dict[str, Any]) -> str:
    """What changes with a file; empty where the file system does not tell, so that only its size counts."""
    known = {key.lower().replace("-", "").replace("_", ""): value for key, value in info.items()}
    return next((str(known[key]) for key in _VERSIONS if known.get(key)), "")


def _fetch(url: str, suffixes: Collection[str], version: str, content: Path, room: Room) -> None:
    """Bring a folder to what a version of a URL's listing says, with what it and older copies have already."""
    files, paths = listing_of(url, suffixes)
    partly = content.parent / "partly"
    shutil.rmtree(partly, ignore_errors=True)  # of a killed process
    changed = DataError(f"data.path: {url}: has changed meanwhile; give the same command again when it is left alone")
    if digest(files) != version:
        raise changed
    for copy in cache_folder().glob(f"fetched/{content.parent.name.removesuffix(version)}*/"):
        known = (read_json(copy / "listing.json") or {}).get("files", {})
        for name in (name for name, file in files.items() if known.get(name) == file):
            with suppress(OSError):  # it is here already, or there no longer
                (content / name).parent.mkdir(parents=True, exist_ok=True)
                (content / name).hardlink_to(copy / "content" / name)
    write_json(content.parent / "listing.json", {"files": files})
    here = {path.relative_to(content).as_posix(): path.stat().st_size for path in content.rglob("*")}
    missing = [name for name, (size, _) in files.items() if here.get(name) != size]
    num_bytes = sum(files[name][0] for name in missing)
    room(sum(size for size, _ in files.values()), num_bytes)
    if not missing:
        return
    in_files = f"{len(missing)} file{'' if len(missing) == 1 else 's'}"
    _log.info("fetching %s in %s from %s", size_text(num_bytes), in_files, url)
    at_once = max(16, len(missing) // 100)  # which a killed process has to fetch again
    for start in range(0, len(missing), at_once):
        _get(url, {content / name: paths[name] for name in missing[start : start + at_once]}, partly)
        if 10 * start // len(missing) < 10 * (start + at_once) // len(missing) < 10:  # another tenth
            _log.info("fetched %d of %s from %s", start + at_once, in_files, url)
    later, _ = listing_of(url, suffixes)
    for name in missing:
        if later.get(name) != files[name] or (content / name).stat().st_size != files[name][0]:
            (content / name).unlink()
            later.pop(name, None)
    if later != files:
        raise changed


def _get(url: str, paths: dict[Path, str], partly: Path) -> None:
    """Fetch files to where they belong, all of them whole or none; till then they are in a folder of this process."""
    partly.mkdir()
    copies = [partly / str(number) for number in range(len(paths))]
    try:
        fsspec.url_to_fs(url)[0].get(list(paths.values()), list(map(str, copies)))
    except Exception as error:
        if getattr(error, "errno", None) in FULL:
            raise
        raise DataError(
            f"data.path: {url}: cannot be fetched ({shown(error)}); give the same command again: it goes on from there"
        ) from error
    for path, copy in zip(paths, copies, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        copy.replace(path)
    partly.rmdir()
