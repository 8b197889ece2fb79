"""Atomic file writes, locally by write, fsync and rename, elsewhere as whole objects; files that say if they are whole.

A JSON file, and a line of a journal, is an object whose last entry, `sha256`, is the checksum of the text before it. A
file of bytes ends in its checksum, or has it in a manifest. A damaged file is as good as a missing one.
"""

import errno
import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from upath import UPath

from kd_core.config.errors import DamagedError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

FULL = {errno.ENOSPC, errno.EDQUOT}  # the errors of a disk without room
NUM_AT_ONCE = 16  # reads: a request to an object store, or a network file system, is mostly waited for
_DAY_S = 86_400.0
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-[0-9a-f]{32}\.tmp")


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside a local path; it replaces the path when the block ends, or is removed on error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{_host()}-{os.getpid()}-{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: UPath | Path, content: bytes) -> None:
    """Write a file atomically, replacing an earlier one."""
    if isinstance(path, Path):
        with writing(path) as temporary:
            temporary.write_bytes(content)
    else:
        _put(path, content)


def _put(path: UPath, content: bytes, **options: Any) -> None:
    """Write a whole object, in one request where no folder has to be made."""
    file_system: Any = path.fs
    try:
        file_system.pipe_file(path.path, content, **options)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file_system.pipe_file(path.path, content, **options)


def append_line(path: UPath | Path, lines: Sequence[bytes]) -> None:
    """Append the last of some lines to a file that has the others; an object store gets all of them anew."""
    if not isinstance(path, Path):
        return write_bytes(path, b"".join(lines))
    with path.open("ab") as file:
        file.write(lines[-1])
        file.flush()
        os.fsync(file.fileno())


def remove(path: UPath | Path) -> None:
    """Remove a file, if it is there, in one request to an object store."""
    with suppress(FileNotFoundError, KeyError):  # the latter from a file system in memory
        if isinstance(path, Path):
            path.unlink()
        else:
            path.fs.rm_file(path.path)


def json_text(value: dict[str, Any], indent: int | None = 1) -> str:
    """A JSON object with its checksum as its last entry; raises ValueError for NaN and infinities."""
    text = json.dumps(value | {"sha256": "0" * 64}, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
    start = text.rindex('"sha256"')
    return text[:start] + text[start:].replace("0" * 64, hashlib.sha256(text[:start].encode()).hexdigest())


def from_json(text: bytes) -> dict[str, Any]:
    """The object of `json_text`, without its checksum; raises ValueError, saying what is wrong, if it is damaged."""
    if not text.strip():
        raise ValueError("it is empty")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(value, dict) or not value:
        raise ValueError("it holds nothing")
    name, last = value.popitem()
    before = text[: text.rfind(b'"sha256"')]
    if name != "sha256" or last != hashlib.sha256(before).hexdigest():
        raise ValueError("its checksum is another")
    return value


def write_json(path: UPath | Path, value: dict[str, Any]) -> None:
    """Write an object as indented JSON with its checksum, atomically; raises ValueError for NaN and infinities."""
    write_bytes(path, json_text(value).encode())


def create_json(path: UPath | Path, value: dict[str, Any]) -> bool:
    """Write an object as `write_json` does unless the file exists; returns whether it was written.

    Of several writers at once, only one succeeds where an object store has exclusive writes, such as Amazon S3. On
    local storage, the caller keeps other writers out.
    """
    if isinstance(path, Path):
        if path.exists():
            return False
        write_json(path, value)
        return True
    try:
        _put(path, json_text(value).encode(), mode="create")
    except FileExistsError:
        return False
    return True


def read_bytes(path: UPath | Path) -> bytes:
    """The content of a file; one request to an object store, where `open` makes two, also for a missing file."""
    if isinstance(path, Path):
        return path.read_bytes()
    file_system: Any = path.fs
    return file_system.cat_file(path.path, max_concurrency=1)  # with more, s3fs asks for the size first


def load_json(path: UPath | Path) -> dict[str, Any]:
    """The JSON object of a file, without its checksum; raises FileNotFoundError and DamagedError."""
    content = read_bytes(path)
    try:
        return from_json(content)
    except ValueError as error:
        raise DamagedError(f"{path}: is damaged: {error}") from None


def read_json(path: UPath | Path) -> Any:
    """The JSON object of a file, without its checksum; None if the file does not exist or is damaged."""
    with suppress(FileNotFoundError, DamagedError):
        return load_json(path)
    return None


def damage_in(path: UPath | Path) -> str:
    """What is wrong with a JSON file, in one line that names it; empty if it is whole or does not exist."""
    try:
        load_json(path)
    except FileNotFoundError:
        return ""
    except DamagedError as error:
        return str(error)
    return ""


def read_ahead(read: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """What `read` returns for each item, in their order; 16 are read at once, and at most 32 ahead of what is taken.

    Raises what `read` raises, in the item's turn.
    """
    with ThreadPoolExecutor(NUM_AT_ONCE, thread_name_prefix="read") as threads:
        ahead: deque[Future[_Result]] = deque()
        for item in items:
            ahead.append(threads.submit(read, item))
            if len(ahead) > 2 * NUM_AT_ONCE:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def write_sealed(path: UPath | Path, content: bytes) -> None:
    """Write bytes followed by their sha256, atomically."""
    write_bytes(path, content + hashlib.sha256(content).digest())


def read_sealed(path: UPath | Path) -> bytes:
    """The bytes of `write_sealed`; raises FileNotFoundError, and DamagedError if the checksum is another."""
    content = read_bytes(path)
    size = len(content) - hashlib.sha256().digest_size
    if size < 0 or hashlib.sha256(content[:size]).digest() != content[size:]:
        raise DamagedError(f"{path}: is damaged: its checksum is another")
    return content[:size]


def sizes_in(folder: UPath | Path) -> dict[str, int]:
    """The size in bytes of each file of a folder, by name, from one listing; empty if there is no such folder."""
    sizes: dict[str, int] = {}
    with suppress(FileNotFoundError, NotADirectoryError):
        if not isinstance(folder, Path):
            listed = folder.fs.ls(folder.path, detail=True)
            return {entry["name"].rstrip("/").rsplit("/", 1)[-1]: entry["size"] for entry in listed}
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # a temporary file that was removed meanwhile
                    sizes[entry.name] = entry.stat().st_size
    return sizes


def clear_orphans(folder: UPath | Path) -> None:
    """Remove temporary files that killed processes of this host left in a local folder, and any after a day."""
    if not isinstance(folder, Path) or not folder.is_dir():
        return
    for path in folder.iterdir():
        written = _TEMPORARY.fullmatch(path.name)
        with suppress(FileNotFoundError):  # another process has removed it
            if written and _is_orphan(written[1], int(written[2]), path.stat().st_mtime):
                path.unlink()


def _is_orphan(host: str, pid: int, written_at: float) -> bool:
    return not is_alive(pid) if host == _host() else time.time() - written_at > _DAY_S


def is_alive(pid: int) -> bool:
    """Whether a process exists on this host."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def cache_folder() -> Path:
    """The folder of downloads, fetched data, unpacked images and signals: kd-sweeps in XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kd-sweeps"


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
