"""The archive that a cluster receives with a sweep: our three packages and one spec, by explicit rules."""

import zipfile
from importlib import import_module
from pathlib import Path

PACKAGES = ("kd_core", "analysis", "sweeps")
CARRIED = {".py", ".json", ".yaml", ".j2", ".css", ".js"}  # suffixes; nothing else is code or read by it
MOST_BYTES = 8 * 2**20
SPEC_FILE = "submitted.yaml"
_EPOCH = (1980, 1, 1, 0, 0, 0)


class PackageError(ValueError):
    """The archive would be too large; the message is one sentence."""


def write_package(path: Path, spec_yaml: str) -> int:
    """Write the archive to a path, and return its size in bytes; equal code and spec give an equal archive.

    Only files of our packages with one of the suffixes CARRIED enter it: never what happens to lie beside them. Raises
    PackageError above MOST_BYTES.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in [*_code(), (SPEC_FILE, spec_yaml.encode())]:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise PackageError(f"the package takes {size} bytes where at most {MOST_BYTES} are sent; shorten the spec")
    return size


def _code() -> list[tuple[str, bytes]]:
    """Name in the archive and content of each file of our packages, in order."""
    found = []
    for package in PACKAGES:
        root = Path(import_module(package).__path__[0])
        files = [path for path in root.rglob("*") if path.suffix in CARRIED and path.is_file()]
        found += [(f"{package}/{path.relative_to(root).as_posix()}", path.read_bytes()) for path in sorted(files)]
    return found
