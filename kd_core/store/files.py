"""Files that appear whole or not at all: locally by write, fsync and rename, elsewhere as whole objects."""

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
    """A temporary file beside a local path, which takes the path's place when the block ends, and goes if it fails."""
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
    """Make a file appear whole or not at all; a second write replaces the first."""
    if isinstance(path, Path):
        with writing(path) as temporary:
            temporary.write_bytes(content)
    else:  # an object store puts whole objects
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_json(path: UPath | Path, value: Any) -> None:
    """Write a value as indented JSON, atomically; NaN and infinities are refused."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())


def read_json(path: UPath | Path) -> Any:
    """The JSON value of a file, or None where there is no such file."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def clear_orphans(folder: UPath | Path) -> None:
    """Remove what killed processes left half-written in a local folder: those of this host, and any a day later."""
    if not isinstance(folder, Path) or not folder.is_dir():
        return
    for path in folder.iterdir():
        written = _TEMPORARY.fullmatch(path.name)
        with suppress(FileNotFoundError):  # another process clears it too
            if written and _is_orphan(written[1], int(written[2]), path.stat().st_mtime):
                path.unlink()


def _is_orphan(host: str, pid: int, written_at: float) -> bool:
    return not is_alive(pid) if host == _host() else time.time() - written_at > _DAY_S


def is_alive(pid: int) -> bool:
    """Whether a process of this host is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def cache_folder() -> Path:
    """Where downloads, unpacked images and fetched signals are kept: kd-sweeps in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "kd-sweeps"


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
