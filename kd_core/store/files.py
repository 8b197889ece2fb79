"""Atomic file writes: locally by write, fsync and rename, elsewhere as whole objects."""

import hashlib
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from upath import UPath

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
    else:  # an object store writes whole objects
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_json(path: UPath | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; raises ValueError for NaN and infinities."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: UPath | Path) -> Any:
    """The JSON value of a file, or None if it does not exist."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


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
    """The folder of downloads, unpacked images and fetched signals: kd-sweeps in XDG_CACHE_HOME or ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kd-sweeps"


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
